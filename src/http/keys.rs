//! `GET` and `POST /v1/keys`, `DELETE /v1/keys/{id}`.

use std::num::NonZeroU32;

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, block};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::access::key::{Key, KeyId, Role, Wanted};
use crate::access::{Access, KeyError};
use crate::http::audit::about;
use crate::http::body::{Body, parse, rfc3339};
use crate::http::openapi::schema::{one_of, shapes};
use crate::http::problem::document::problems;
use crate::http::problem::{Kind, Problem};
use crate::service::Service;

/// A key that somebody wants.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = KeyRequest)]
struct KeyBody {
    /// What it is for, for people: 1 to 100 bytes without control characters.
    #[schema(min_length = 1, max_length = 100, example = "shop")]
    name: String,
    #[schema(value_type = RoleWord)]
    role: String,
    /// Origins of the pages that may use it, as browsers write them; any if there are none.
    #[serde(default)]
    #[schema(max_items = 64, example = json!(["https://shop.example"]))]
    origins: Vec<String>,
    /// Requests a second, and as many at once; not limited if absent.
    #[schema(minimum = 1, maximum = 1_000_000)]
    rate: Option<u32>,
}

/// A key.
#[derive(Serialize, ToSchema)]
#[schema(as = AccessKey)]
struct Shown {
    /// By which it is revoked; no secret.
    #[schema(pattern = "^[0-9a-f]{16}$")]
    id: String,
    name: String,
    #[schema(value_type = RoleWord)]
    role: &'static str,
    origins: Vec<String>,
    /// `null` where it is not limited.
    #[schema(required, value_type = Option<u32>, minimum = 1)]
    rate: Option<NonZeroU32>,
    #[schema(format = DateTime)]
    created_at: String,
    /// The key itself: shown to whoever makes it, this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    key: Option<String>,
}

/// All keys that were not revoked.
#[derive(Serialize, ToSchema)]
#[schema(as = AccessKeys)]
struct All {
    keys: Vec<Shown>,
}

shapes! {
    /// What the holder of a key may do.
    RoleWord "Role" = one_of(Role::ALL.map(Role::word));
}

/// Which key.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes the parameter for the OpenAPI document; handlers take the text itself")]
struct KeyPath {
    /// The key's id, and never the key itself.
    #[param(pattern = "^[0-9a-f]{16}$", example = "0123456789abcdef")]
    id: String,
}

/// All keys
///
/// Without the keys themselves, of which a hash is kept.
#[utoipa::path(
    get, path = "/v1/keys", tag = "operations", operation_id = "listKeys",
    responses((status = 200, description = "In order of their making", body = All)),
)]
pub(crate) async fn list(access: Data<Access>) -> HttpResponse {
    HttpResponse::Ok().json(All { keys: access.keys().list().iter().map(|key| shown(key)).collect() })
}

/// Make a key
///
/// From the first one on, every address that needs a key asks for it. The first must be an admin's.
#[utoipa::path(
    post, path = "/v1/keys", tag = "operations", operation_id = "createKey",
    request_body(content = KeyBody, example = json!({"name": "mine", "role": "admin"})),
    responses((status = 201, description = "The key, on disk", body = Shown), CreateProblems),
)]

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
    let mut response = HttpResponse::Created().json(Shown { key: Some(text), ..shown(&key) });
    about(&mut response, &key);
    Ok(response)
}

/// Revoke a key
#[utoipa::path(
    delete, path = "/v1/keys/{id}", tag = "operations", operation_id = "revokeKey",
    params(KeyPath),
    responses((status = 204, description = "It is revoked, on disk"), RevokeProblems),
)]
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

fn shown(key: &Key) -> Shown {
    Shown {
        id: key.id.to_string(),
        name: key.name.clone(),
        role: key.role.word(),
        origins: key.origins.clone(),
        rate: key.rate,
        created_at: rfc3339(key.created_at),
        key: None,
    }
}

problems!(CreateProblems: Malformed, FieldRefused, BodyTooLarge, BodyTooSlow, TooManyKeys, Unavailable);
problems!(RevokeProblems: FieldRefused, KeyUnknown, LastAdminKey, Unavailable);
