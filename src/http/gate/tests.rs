//! Every address with every role: what a caller's role does not allow, no handler sees.

use std::sync::Arc;

use actix_http::Request;
use actix_service::{Service as _, ServiceFactory as _};
use actix_web::App;
use actix_web::dev::AppConfig;
use actix_web::http::header::{ALLOW, WWW_AUTHENTICATE};
use actix_web::http::{Method, StatusCode};
use actix_web::test::TestRequest;
use actix_web::web::Data;

use crate::access::key::{Role, Wanted};
use crate::access::{Access, Keys, Open, Rates};
use crate::domain::Timestamp;
use crate::engine::secret::Secret;
use crate::http::front::{Front, State};
use crate::http::limits::Limits;
use crate::http::metrics::Latencies;
use crate::http::roles::ROWS;
use crate::http::routes;
use crate::service::clock::SystemClock;
use crate::service::{Options, Service};
use crate::store::memory::MemoryStore;

fn service() -> Data<Service> {
    let store = Arc::new(MemoryStore::new());
    let service = Service::start(store, Secret::new([3; 32]), 4, Arc::new(SystemClock), Options::default());
    Data::new(service.expect("an empty store starts"))
}

fn key(access: &Access, role: Role) -> String {
    let wanted = Wanted { name: role.to_string(), role, origins: vec![], rate: None };
    access.keys().create(wanted, Timestamp::ZERO).expect("made").1
}

/// An address with something in the places of what varies.
fn address(path: &str) -> String {
    path.replace("{key}", "hero").replace("/keys/{id}", "/keys/0123456789abcdef").replace("{id}", "v-1")
}

#[actix_web::test]
async fn every_address_with_every_role() {
    let access = Access::new(Keys::in_memory(), Open::Here, Rates::default());
    let admin = key(&access, Role::Admin);
    let holders = [
        (Some(admin), Some(Role::Admin)),
        (Some(key(&access, Role::Write)), Some(Role::Write)),
        (Some(key(&access, Role::Decide)), Some(Role::Decide)),
        (Some("mbl_admin_0123456789abcdef_0".to_owned()), None),
        (None, None),
    ];
    let (service, latencies) = (service(), Arc::new(Latencies::new()));
    let access = Data::new(access);
    let app = App::new()
        .app_data(service.clone())
        .app_data(access.clone())
        .configure(|config| routes::configure(config, &latencies, None));
    let state = State {
        service: service.into_inner(),
        access: access.into_inner(),
        limits: Limits::default(),
        latencies: Arc::clone(&latencies),
    };
    let open = Front::before(app, state).new_service(AppConfig::default()).await.expect("it begins");
    let ask = async |request: Request| open.call(request).await.expect("whatever it is, it is answered");
    for row in ROWS {
        for (key, role) in &holders {
            let mut request = TestRequest::with_uri(&address(row.path)).method(row.method.clone()).set_payload("{}");
            if let Some(key) = key {
                request = request.insert_header(("x-api-key", key.clone()));
            }
            let response = ask(request.to_request()).await;
            let status = response.status();
            let about = format!("{} {} as {role:?} with {key:?}: {status}", row.method, row.path);
            match (row.needs, role) {
                (Some(needed), Some(role)) if *role < needed => assert_eq!(status, StatusCode::FORBIDDEN, "{about}"),
                (Some(_), None) => {
                    assert_eq!(status, StatusCode::UNAUTHORIZED, "{about}");
                    assert!(response.headers().contains_key(WWW_AUTHENTICATE), "{about}");
                }
                (Some(_), Some(_)) | (None, _) => {
                    assert!(![StatusCode::FORBIDDEN, StatusCode::UNAUTHORIZED].contains(&status), "{about}");
                }
            }
        }
        let takes = |method: &Method| ROWS.iter().any(|other| other.path == row.path && other.method == *method);
        for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS] {
            if !takes(&method) {
                let request = TestRequest::with_uri(&address(row.path)).method(method.clone()).to_request();
                let response = ask(request).await;
                assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{method} {}", row.path);
                let allow = response.headers().get(ALLOW).expect("what it takes").to_str().expect("text");
                assert!(allow.contains(row.method.as_str()), "{method} {}: {allow}", row.path);
            }
        }
    }
}
