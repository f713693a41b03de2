//! Errors as OFREP shapes them. Every one has `errorDetails`, without which one of the published clients fails by itself.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::openapi::schema::{one_of, shapes};
use crate::http::problem::Problem;

/// What kinds of error the protocol knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// The body is not JSON.
    ParseError,
    /// Nothing can be said without a visitor.
    TargetingKeyMissing,
    /// The context is not one.
    InvalidContext,
    /// Anything else.
    General,
    /// There is no such experiment.
    FlagNotFound,
}

impl Code {
    const ALL: [Self; 5] =
        [Self::ParseError, Self::TargetingKeyMissing, Self::InvalidContext, Self::General, Self::FlagNotFound];

    const fn word(self) -> &'static str {
        match self {
            Self::ParseError => "PARSE_ERROR",
            Self::TargetingKeyMissing => "TARGETING_KEY_MISSING",
            Self::InvalidContext => "INVALID_CONTEXT",
            Self::General => "GENERAL",
            Self::FlagNotFound => "FLAG_NOT_FOUND",
        }
    }
}

shapes! {
    /// The protocol's word for what went wrong.
    CodeWord "FlagErrorCode" = one_of(Code::ALL.map(Code::word));
}

/// What went wrong with a flag, or with all.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = FlagError)]
pub(crate) struct FailureBody<'a> {
    /// The flag; absent where all were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    key: Option<&'a str>,
    #[schema(value_type = CodeWord)]
    error_code: &'static str,
    /// What went wrong this time, for people.
    error_details: &'a str,
}

/// One error: a whole answer, or the place of one flag among others.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    pub(crate) details: String,
    /// Of which flag; of none where all were asked for.
    pub(crate) key: Option<String>,
}

impl Failure {
    pub(crate) fn new(code: Code, details: impl ToString) -> Self {
        Self { code, details: details.to_string(), key: None }
    }

    pub(crate) fn of(self, key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..self }
    }

    pub(crate) fn body(&self) -> FailureBody<'_> {
        FailureBody { key: self.key.as_deref(), error_code: self.code.word(), error_details: &self.details }
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::new(Code::General, problem)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.details)
    }
}

impl ResponseError for Failure {
    fn status_code(&self) -> StatusCode {
        if self.code == Code::FlagNotFound { StatusCode::NOT_FOUND } else { StatusCode::BAD_REQUEST }
    }

    fn error_response(&self) -> HttpResponse {
        HttpResponse::build(self.status_code()).json(self.body())
    }
}
