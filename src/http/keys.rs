//! `GET` and `POST /v1/keys`, `DELETE /v1/keys/{id}`.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, block};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::access::key::{Key, KeyId, Role, Wanted};
use crate::access::{Access, KeyError};
use crate::http::audit::about;
use crate::http::body::{Body, parse, rfc3339};
use crate::http::problem::{Kind, Problem};
use crate::service::Service;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyBody {
    name: String,
    role: String,
    #[serde(default)]
    origins: Vec<String>,
    rate: Option<u32>,
}

pub(crate) async fn list(access: Data<Access>) -> HttpResponse {
    let keys: Vec<Value> = access.keys().list().iter().map(|key| to_json(key)).collect();
    HttpResponse::Ok().json(json!({ "keys": keys }))
}

pub(crate) async fn create(
    service: Data<Service>,
    access: Data<Access>,
    Body(bytes): Body,
) -> Result<HttpResponse, Problem> {
    let KeyBody { name, role, origins, rate } = parse(&bytes)?;
    let Some(role) = Role::parse(&role) else {
        return Err(Problem::field(
            Kind::FieldRefused,
            "role",
            format!("{role:?}"),
            Role::ALL.map(Role::word).join(", "),
        ));
    };
    let wanted = Wanted { name, role, origins, rate };
    let now = service.now();
    // The file is written and synced: not on a thread that answers decisions.
    let made = block(move || access.keys().create(wanted, now)).await;
    let (key, text) = made.map_err(|error| Problem::new(Kind::Unavailable, error))??;
    let mut answer = to_json(&key);
    answer["key"] = json!(text);
    let mut response = HttpResponse::Created().json(answer);
    about(&mut response, &key);
    Ok(response)
}

pub(crate) async fn revoke(access: Data<Access>, id: Path<String>) -> Result<HttpResponse, Problem> {
    let Some(id) = KeyId::parse(&id) else {
        let allowed = "the id of a key, 16 hexadecimal digits, and never the key itself";
        return Err(Problem::field(Kind::FieldRefused, "id", "what is no id", allowed));
    };
    let revoked = block(move || access.keys().revoke(id)).await;
    revoked.map_err(|error| Problem::new(Kind::Unavailable, error))??;
    Ok(HttpResponse::NoContent().finish())
}

impl From<KeyError> for Problem {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Refused(refused) => {
                Self::field(Kind::FieldRefused, refused.field, refused.given, refused.allowed)
            }
            KeyError::Unknown(_) => Self::new(Kind::KeyUnknown, error),
            KeyError::LastAdmin(_) => Self::new(Kind::LastAdminKey, error),
            KeyError::TooMany => Self::new(Kind::TooManyKeys, error),
            KeyError::File(_) | KeyError::Random(_) => Self::new(Kind::Unavailable, error),
        }
    }
}

fn to_json(key: &Key) -> Value {
    json!({
        "id": key.id.to_string(),
        "name": key.name,
        "role": key.role.word(),
        "origins": key.origins,
        "rate": key.rate,
        "created_at": rfc3339(key.created_at),
    })
}
