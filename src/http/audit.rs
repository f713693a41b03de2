//! What the audit log is told: who, when, what, about which experiment or key, and how it was answered. Never a receipt, a
//! payload, a context, a visitor or the secret of a key.

use actix_web::HttpResponse;
use actix_web::dev::ServiceRequest;
use serde_json::{Value, json};

use crate::access::key::{Key, KeyId};
use crate::access::{Access, Caller, Seen};
use crate::domain::{ExperimentKey, Timestamp};
use crate::http::body::rfc3339;

/// A change that is under way.
pub(crate) struct Change {
    action: &'static str,
    by: Option<KeyId>,
    subject: Option<String>,
}

/// What a change turned out to be about, where its address does not say.
pub(crate) struct About(KeyId);

impl Change {
    /// By whom, and about what as far as the address says it. What is no experiment's key is left out: it can be anything.
    pub(crate) fn new(action: &'static str, caller: &Caller, request: &ServiceRequest) -> Self {
        let by = match caller {
            Caller::Holder(key) => Some(key.id),
            Caller::Anyone => None,
        };
        let named = request.match_info();
        let experiment = named.get("key").and_then(|key| ExperimentKey::new(key).ok()).map(|key| key.to_string());
        // A visitor's address has an `id` as well, which is no key's.
        let key = || named.get("id").filter(|_| action.starts_with("key.")).and_then(KeyId::parse);
        Self { action, by, subject: experiment.or_else(|| key().map(|id| id.to_string())) }
    }

    /// How it was answered.
    pub(crate) fn done(self, response: &HttpResponse, access: &Access, at: Timestamp) {
        let Self { action, by, subject } = self;
        let subject = response.extensions().get::<About>().map(|About(id)| id.to_string()).or(subject);
        let by = by.map_or_else(|| "anyone".to_owned(), |id| id.to_string());
        tell(
            access,
            &json!({
                "at": rfc3339(at), "by": by, "action": action, "about": subject, "status": response.status().as_u16(),
            }),
        );
    }
}

/// Says which key a change was about.
pub(crate) fn about(response: &mut HttpResponse, key: &Key) {
    response.extensions_mut().insert(About(key.id));
}

/// Keys that were changed in their file, by whoever may write it.
pub(crate) fn seen(access: &Access, seen: &Seen, at: Timestamp) {
    let changes = [("key.create", &seen.created), ("key.revoke", &seen.revoked)];
    for (action, id) in changes.into_iter().flat_map(|(action, ids)| ids.iter().map(move |id| (action, id))) {
        tell(access, &json!({ "at": rfc3339(at), "by": "key file", "action": action, "about": id.to_string() }));
    }
}

fn tell(access: &Access, line: &Value) {
    if let Err(error) = access.audit().write(&line.to_string()) {
        tracing::error!(%error, %line, "the audit log cannot be written");
    }
}
