//! Problem details (RFC 9457): every error of the API, in one table.

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use serde_json::{Map, Value, json};

/// What kinds of error there are. The last part of `type` is the kind; it never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The body is not JSON of the expected shape.
    Malformed,
    /// A field's value is not allowed.
    FieldRefused,
    /// The body is longer than allowed.
    BodyTooLarge,
    /// The body did not come in time.
    BodyTooSlow,
    /// A key is asked for, and none came.
    KeyRequired,
    /// The key that came is none.
    KeyRefused,
    /// The key's role is not enough.
    RoleRequired,
    /// The page may not use the key, or none.
    OriginRefused,
    /// A limit of requests a second.
    TooManyRequests,
    /// There is no key of this id.
    KeyUnknown,
    /// The last admin key is not revoked.
    LastAdminKey,
    /// There are as many keys as may be.
    TooManyKeys,
    /// There is nothing at this address.
    NotFound,
    /// The address does not take this method.
    MethodNotAllowed,
    /// There is no such experiment.
    ExperimentUnknown,
    /// The experiment was deleted.
    ExperimentDeleted,
    /// The experiment has ended.
    ExperimentEnded,
    /// Too many epochs are open.
    TooManyEpochs,
    /// The receipt is not the text of any receipt.
    ReceiptMalformed,
    /// The receipt was made elsewhere.
    ReceiptForeign,
    /// The receipt was forged or altered.
    ReceiptForged,
    /// The receipt's time is over.
    ReceiptExpired,
    /// The receipt's visitor was erased.
    VisitorErased,
    /// The visitor stays with nothing in the experiment.
    VisitorUnassigned,
    /// Two ids cannot be one visitor's in this way.
    AliasRefused,
    /// The decision's epoch is closed for good.
    EpochClosed,
    /// The decision has as many rewards as are remembered.
    TooManyRewards,
    /// The decision has no such reward, so that it cannot be amended or retracted.
    RewardUnknown,
    /// The experiment has no such goal.
    GoalUnknown,
    /// Too much waits to be recorded.
    Overloaded,
    /// Nothing can be recorded now.
    Unavailable,
}

impl Kind {
    /// Name in `type`, status, title.
    const fn row(self) -> (&'static str, u16, &'static str) {
        match self {
            Self::Malformed => ("malformed", 400, "The body does not have the expected shape"),
            Self::FieldRefused => ("field-refused", 422, "A field's value is not allowed"),
            Self::BodyTooLarge => ("body-too-large", 413, "The body is too large"),
            Self::BodyTooSlow => ("body-too-slow", 408, "The body did not come in time"),
            Self::KeyRequired => ("key-required", 401, "A key is needed"),
            Self::KeyRefused => ("key-refused", 401, "The key is not known"),
            Self::RoleRequired => ("role-required", 403, "The key's role does not allow this"),
            Self::OriginRefused => ("origin-refused", 403, "Pages of this origin may not do this"),
            Self::TooManyRequests => ("too-many-requests", 429, "There are too many requests"),
            Self::KeyUnknown => ("key-unknown", 404, "There is no such key"),
            Self::LastAdminKey => ("last-admin-key", 409, "The last admin key stays"),
            Self::TooManyKeys => ("too-many-keys", 409, "There are too many keys"),
            Self::NotFound => ("not-found", 404, "There is nothing at this address"),
            Self::MethodNotAllowed => ("method-not-allowed", 405, "The address does not take this method"),
            Self::ExperimentUnknown => ("experiment-unknown", 404, "There is no such experiment"),
            Self::ExperimentDeleted => ("experiment-deleted", 404, "The experiment was deleted"),
            Self::ExperimentEnded => ("experiment-ended", 409, "The experiment has ended"),
            Self::TooManyEpochs => ("too-many-epochs", 409, "Too many epochs are open"),
            Self::ReceiptMalformed => ("receipt-malformed", 400, "The receipt is malformed"),
            Self::ReceiptForeign => ("receipt-foreign", 422, "The receipt was made elsewhere"),
            Self::ReceiptForged => ("receipt-forged", 422, "The receipt was forged or altered"),
            Self::ReceiptExpired => ("receipt-expired", 410, "The receipt has expired"),
            Self::VisitorErased => ("visitor-erased", 410, "The visitor was erased"),
            Self::VisitorUnassigned => ("visitor-unassigned", 404, "The visitor has no assignment in the experiment"),
            Self::AliasRefused => ("alias-refused", 409, "The two ids cannot be joined in this way"),
            Self::EpochClosed => ("epoch-closed", 410, "The decision's epoch is closed"),
            Self::TooManyRewards => ("too-many-rewards", 409, "The decision has too many rewards"),
            Self::RewardUnknown => ("reward-unknown", 404, "The decision has no such reward"),
            Self::GoalUnknown => ("goal-unknown", 422, "The experiment has no such goal"),
            Self::Overloaded => ("overloaded", 503, "Too much is waiting to be recorded"),
            Self::Unavailable => ("unavailable", 503, "Nothing can be recorded now"),
        }
    }
}

/// One error, ready to be answered.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    pub(crate) kind: Kind,
    pub(crate) detail: String,
    /// The field, what was given, what is allowed.
    pub(crate) field: Option<(String, String, String)>,
    /// Whole seconds after which it is worth another try, where that is known.
    pub(crate) retry_after: Option<u64>,
}

impl Problem {
    pub(crate) fn new(kind: Kind, detail: impl ToString) -> Self {
        Self { kind, detail: detail.to_string(), field: None, retry_after: None }
    }

    pub(crate) fn field(kind: Kind, field: impl ToString, given: impl ToString, allowed: impl ToString) -> Self {
        let (field, given, allowed) = (field.to_string(), given.to_string(), allowed.to_string());
        let detail = format!("{field}: {given} is not allowed: {allowed}");
        Self { kind, detail, field: Some((field, given, allowed)), retry_after: None }
    }

    /// As JSON: a whole answer, or one place in a batch's.
    pub(crate) fn to_json(&self) -> Value {
        let (name, status, title) = self.kind.row();
        let mut problem = Map::new();
        problem.insert("type".into(), json!(format!("/problems/{name}")));
        problem.insert("title".into(), json!(title));
        problem.insert("status".into(), json!(status));
        problem.insert("detail".into(), json!(self.detail));
        if let Some((field, given, allowed)) = &self.field {
            problem.insert("field".into(), json!(field));
            problem.insert("given".into(), json!(given));
            problem.insert("allowed".into(), json!(allowed));
        }
        Value::Object(problem)
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.kind.row().1).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        response.insert_header((CONTENT_TYPE, "application/problem+json"));
        let unavailable = (self.status_code() == StatusCode::SERVICE_UNAVAILABLE).then_some(1);
        if let Some(seconds) = self.retry_after.or(unavailable) {
            response.insert_header((RETRY_AFTER, seconds));
        }
        if self.status_code() == StatusCode::UNAUTHORIZED {
            response.insert_header((WWW_AUTHENTICATE, "Bearer realm=\"mabel\""));
        }
        response.body(self.to_json().to_string())
    }
}
