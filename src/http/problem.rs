//! Problem details (RFC 9457): every error of the API, in one table.

pub(crate) mod document;

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// What is said of one kind of error, wherever that is: in answers, in the OpenAPI document, in `docs/API.md`.
pub(crate) struct Row {
    /// The last part of `type`.
    pub(crate) name: &'static str,
    pub(crate) status: u16,
    pub(crate) title: &'static str,
    /// When it happens, and what to do.
    pub(crate) advice: &'static str,
}

/// The kinds and their rows, so that none is without one.
macro_rules! kinds {
    ($($(#[$doc:meta])+ $kind:ident = $status:literal $name:literal, $title:literal, $advice:literal;)+) => {
        /// What kinds of error there are. The last part of `type` is the kind; it never changes its meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Kind {
            $($(#[$doc])+ $kind,)+
        }

        impl Kind {
            /// Every kind, in order of the table.
            pub(crate) const ALL: &[Self] = &[$(Self::$kind),+];

            pub(crate) const fn row(self) -> Row {
                match self {
                    $(Self::$kind => Row { name: $name, status: $status, title: $title, advice: $advice },)+
                }
            }
        }
    };
}

kinds! {
    /// The body is not JSON of the expected shape.
    Malformed = 400 "malformed", "The body does not have the expected shape",
        "It is no JSON, a field is unknown or missing, or one is of another type; `field` names it where one is at fault. Mend the request: nothing was changed.";
    /// A field's value is not allowed.
    FieldRefused = 422 "field-refused", "A field's value is not allowed",
        "`field`, `given` and `allowed` say which, what it was and what it may be. Mend the request: nothing was changed.";
    /// The body is longer than allowed.
    BodyTooLarge = 413 "body-too-large", "The body is too large",
        "A body has at most 1 MiB. Send a long list in parts.";
    /// The body did not come in time.
    BodyTooSlow = 408 "body-too-slow", "The body did not come in time",
        "A body must be there ten seconds after its headers. Send it again over a faster connection, or in parts.";
    /// A key is asked for, and none came.
    KeyRequired = 401 "key-required", "A key is needed",
        "Send one as `Authorization: Bearer KEY` or `X-API-Key: KEY`. `mabel keys create` makes one.";
    /// The key that came is none.
    KeyRefused = 401 "key-refused", "The key is not known",
        "There is none like it, or it was revoked. Compare its id, its second last part, with `mabel keys list`.";
    /// The key's role is not enough.
    RoleRequired = 403 "role-required", "The key's role does not allow this",
        "`allowed` says which roles do. Keys of pages can be read by everybody, and may do little.";
    /// The page may not use the key, or none.
    OriginRefused = 403 "origin-refused", "Pages of this origin may not do this",
        "The key is for other origins; or the server has no keys yet, and lets in pages of its own machine only, under a name of it: `localhost` or a loopback address. Make a key with this origin.";
    /// A limit of requests a second.
    TooManyRequests = 429 "too-many-requests", "There are too many requests",
        "The key's `rate`, or the server's limit for an address, is used up. Send it again after as many seconds as `Retry-After` says; a batch is one request.";
    /// There is no key of this id.
    KeyUnknown = 404 "key-unknown", "There is no such key",
        "None has this id. Compare it with `GET /v1/keys`.";
    /// The last admin key is not revoked.
    LastAdminKey = 409 "last-admin-key", "The last admin key stays",
        "Without it nobody could make keys over HTTP any more. Make another admin key first.";
    /// There are as many keys as may be.
    TooManyKeys = 409 "too-many-keys", "There are too many keys",
        "A server has at most 1,000. Revoke those that are not used.";
    /// There is nothing at this address.
    NotFound = 404 "not-found", "There is nothing at this address",
        "No endpoint has it. `/openapi.json` lists all of them, and `/docs` describes them.";
    /// The address does not take this method.
    MethodNotAllowed = 405 "method-not-allowed", "The address does not take this method",
        "`Allow` names those that it takes.";
    /// There is no such experiment.
    ExperimentUnknown = 404 "experiment-unknown", "There is no such experiment",
        "None was ever saved under this key. Compare it with `GET /v1/experiments`.";
    /// The experiment was deleted.
    ExperimentDeleted = 404 "experiment-deleted", "The experiment was deleted",
        "A deletion is final, and the key stays taken. Take its code off the site, or save an experiment under another key.";
    /// The experiment has ended.
    ExperimentEnded = 409 "experiment-ended", "The experiment has ended",
        "An end is final. Save a new experiment under another key.";
    /// Too many epochs are open.
    TooManyEpochs = 409 "too-many-epochs", "Too many epochs are open",
        "What is measured was changed so often that receipts of too many epochs are valid at once. Wait until some expire, or save a new experiment under another key.";
    /// The receipt is not the text of any receipt.
    ReceiptMalformed = 400 "receipt-malformed", "The receipt is malformed",
        "The text was cut off or changed on its way. Send it exactly as the decision answered it.";
    /// The receipt was made elsewhere.
    ReceiptForeign = 422 "receipt-foreign", "The receipt was made elsewhere",
        "It is of a server with another secret. Send it to the server that decided, or give all of them one secret.";
    /// The receipt was forged or altered.
    ReceiptForged = 422 "receipt-forged", "The receipt was forged or altered",
        "This server did not make it as it stands. Send it exactly as the decision answered it.";
    /// The receipt's time is over.
    ReceiptExpired = 410 "receipt-expired", "The receipt has expired",
        "90 days after the longest window nothing counts for the decision any more. Drop it.";
    /// The receipt's visitor was erased.
    VisitorErased = 410 "visitor-erased", "The visitor was erased",
        "The decision was taken back with its visitor. Drop the receipt, and decide anew.";
    /// The visitor stays with nothing in the experiment.
    VisitorUnassigned = 404 "visitor-unassigned", "The visitor has no assignment in the experiment",
        "It was never decided for, or was erased, or the unit is the decision. Decide first, or send the receipt.";
    /// Two ids cannot be one visitor's in this way.
    AliasRefused = 409 "alias-refused", "The two ids cannot be joined in this way",
        "Both are one visitor's already, or the anonymous id is one that others were joined to. Nothing was changed.";
    /// The decision's epoch is closed for good.
    EpochClosed = 410 "epoch-closed", "The decision's epoch is closed",
        "What is measured has changed since, and nothing is counted in that epoch any more. Drop the receipt.";
    /// The decision has as many rewards as are remembered.
    TooManyRewards = 409 "too-many-rewards", "The decision has too many rewards",
        "64 rewards, amendments and retractions of one decision are remembered. Send fewer, larger ones.";
    /// The decision has no such reward, so that it cannot be amended or retracted.
    RewardUnknown = 404 "reward-unknown", "The decision has no such reward",
        "Only what was recorded can be amended or retracted. Compare decision, `goal` and `reward_id` with those of the reward.";
    /// The experiment has no such goal.
    GoalUnknown = 422 "goal-unknown", "The experiment has no such goal",
        "`allowed` lists the goals that it has.";
    /// Too much waits to be recorded.
    Overloaded = 503 "overloaded", "Too much is waiting to be recorded",
        "Nothing was recorded. Send it again after as many seconds as `Retry-After` says.";
    /// Nothing can be recorded now.
    Unavailable = 503 "unavailable", "Nothing can be recorded now",
        "Nothing was recorded, as far as the store could tell. Send it again after as many seconds as `Retry-After` says: what turns out to be on disk all the same counts once.";
}

/// A text from outside as a problem shows it: in quotes, the first 80 characters.
pub(crate) fn quoted(text: &str) -> String {
    format!("{:?}", text.chars().take(80).collect::<String>())
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

    /// Names the field at fault where the problem is of this kind and names none: what refused it knows less of the request.
    pub(crate) fn about(mut self, kind: Kind, field: &str, given: &str, allowed: &str) -> Self {
        if self.kind == kind && self.field.is_none() {
            self.field = Some((field.to_owned(), given.to_owned(), allowed.to_owned()));
        }
        self
    }

    /// As [`Self::about`], for what names an experiment.
    pub(crate) fn of_experiment(self, field: &str, given: &str) -> Self {
        self.about(Kind::ExperimentUnknown, field, given, "the key of an experiment that was saved")
            .about(Kind::ExperimentDeleted, field, given, "an experiment that was not deleted")
            .about(Kind::ExperimentEnded, field, given, "an experiment that has not ended")
    }

    /// As JSON: a whole answer, or one place in a batch's.
    pub(crate) fn to_json(&self) -> Value {
        serde_json::to_value(self.body()).expect("a problem is made of texts and a number")
    }

    fn body(&self) -> ProblemBody<'_> {
        let Row { name, status, title, .. } = self.kind.row();
        let (field, given, allowed) = match &self.field {
            Some((field, given, allowed)) => (Some(&**field), Some(&**given), Some(&**allowed)),
            None => (None, None, None),
        };
        ProblemBody { kind: format!("/problems/{name}"), title, status, detail: &self.detail, field, given, allowed }
    }
}

/// What went wrong (RFC 9457), and which field was at fault where one was.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody<'a> {
    /// The kind of problem. Its meaning never changes: branch on it. `GET` answers what it means and what to do.
    #[serde(rename = "type")]
    #[schema(value_type = document::ProblemType)]
    kind: String,
    /// The kind in words.
    #[schema(example = "A field's value is not allowed")]
    title: &'static str,
    /// The status that a whole answer has, also of a problem within a list.
    #[schema(minimum = 400, maximum = 599, example = 422)]
    status: u16,
    /// What went wrong this time, for people.
    #[schema(
        example = "policy.floor: 0.4 is not allowed: a number from 0 to 0.25, half of the traffic over 2 variations"
    )]
    detail: &'a str,
    /// Path of the field at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, example = "policy.floor")]
    field: Option<&'a str>,
    /// What was given there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, example = "0.4")]
    given: Option<&'a str>,
    /// What is allowed there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, example = "a number from 0 to 0.25, half of the traffic over 2 variations")]
    allowed: Option<&'a str>,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.kind.row().status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
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
