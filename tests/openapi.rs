//! The OpenAPI document: its examples work, its problems are explained, and the check that holds every answer of every test against it
//! can fail.

mod support;

use serde_json::{Value, json};
use support::document::Answer;
use support::site::Site;
use support::text;

fn request(method: &str, site: &Site, path: &str) -> ureq::http::Response<ureq::Body> {
    let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    let request =
        ureq::http::Request::builder().method(method).uri(site.client.address(path)).body(()).expect("a request");
    agent.run(request).expect("the server answers")
}

/// An address with the examples of its parameters.
fn filled(path: &str, operation: &Value) -> String {
    let parameters = operation["parameters"].as_array().map_or(&[][..], Vec::as_slice);
    parameters.iter().filter(|parameter| parameter["in"] == "path").fold(path.to_owned(), |path, parameter| {
        let example = parameter["schema"].get("example").or_else(|| parameter.get("example"));
        path.replace(&format!("{{{}}}", text(&parameter["name"])), text(example.expect("an example")))
    })
}

#[test]
fn the_examples_of_the_document_work() {
    let site = Site::new();
    let document = site.client.document().expect("a document");
    let operation = |path: &str, method: &str| document.value()["paths"][path][method].clone();
    for (method, path) in [
        ("put", "/v1/experiments/{key}"),
        ("post", "/v1/decide"),
        ("post", "/v1/reward"),
        ("post", "/v1/activate"),
        ("post", "/v1/rewards"),
        ("post", "/v1/track"),
        ("post", "/ofrep/v1/evaluate/flags/{key}"),
        ("post", "/ofrep/v1/evaluate/flags"),
        ("post", "/v1/alias"),
        ("get", "/v1/experiments"),
        ("get", "/v1/experiments/{key}"),
        ("get", "/v1/experiments/{key}/report"),
        ("post", "/v1/experiments/{key}/pause"),
        ("post", "/v1/experiments/{key}/start"),
        ("get", "/v1/visitors/{id}"),
        ("delete", "/v1/visitors/{id}"),
        ("get", "/healthz"),
        ("get", "/readyz"),
        ("get", "/openapi.json"),
        ("get", "/docs"),
        ("get", "/docs/style.css"),
        ("get", "/problems/{name}"),
        ("post", "/v1/experiments/{key}/end"),
        ("delete", "/v1/experiments/{key}"),
        ("get", "/metrics"),
        ("get", "/v1/keys"),
        // From here on a key is asked for.
        ("post", "/v1/keys"),
    ] {
        let described = operation(path, method);
        let contents = described["requestBody"]["content"].as_object();
        let media = contents.and_then(|contents| contents.values().next()).unwrap_or(&Value::Null);
        let body = media.get("example").cloned().unwrap_or_default();
        if !body.is_null() {
            let errors: Vec<String> =
                document.validator(&media["schema"]).iter_errors(&body).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{method} {path} {body}: {errors:?}");
        }
        let sent = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
        let (status, _, answer) = site.client.raw(&method.to_uppercase(), &filled(path, &described), &sent, &[]);
        assert!((200..300).contains(&status), "{method} {path} {body}: {status} {answer}");
    }
}

#[test]
fn every_problem_says_at_its_address_what_it_means() {
    let site = Site::new();
    let document = site.client.document().expect("a document");
    let types = document.value()["components"]["schemas"]["ProblemType"]["enum"].clone();
    let types = types.as_array().expect("a list");
    assert!(types.len() > 20, "{types:?}");
    for kind in types {
        let said = site.client.get(text(kind));
        let name = text(kind).trim_start_matches("/problems/");
        assert!(text(&said).starts_with(&format!("{name}, status ")) && text(&said).lines().count() == 5, "{said}");
    }
    assert_eq!(site.client.problem("GET", "/problems/none", "").0, 404);
}

#[test]
fn the_page_loads_nothing_but_its_own_style() {
    let site = Site::new();
    let mut page = request("GET", &site, "/docs");
    let policy = page.headers()["content-security-policy"].to_str().expect("text").to_owned();
    assert!(policy.contains("default-src 'none'") && policy.contains("style-src 'self'"), "{policy}");
    let html = page.body_mut().read_to_string().expect("text");
    assert!(html.contains("/v1/decide") && html.contains("<h3>Definition</h3>"), "{html}");
    assert_eq!(request("GET", &site, "/docs/style.css").headers()["content-type"], "text/css; charset=utf-8");
}

#[test]
fn a_method_that_an_address_does_not_take_is_told_those_that_it_takes() {
    let site = Site::new();
    let refused = request("PATCH", &site, "/v1/experiments/hero");
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["allow"]),
        (405, &"PUT, GET, DELETE".parse().expect("text"))
    );
}

#[test]
fn an_answer_that_is_not_described_is_found() {
    let site = Site::new();
    let document = site.client.document().expect("a document");
    let answer =
        |status: u16, media: &str, body: &Value| Answer { status, media: media.into(), text: body.to_string() };
    let (plain, problem) = ("application/json", "application/problem+json");
    let sound = json!({"type": "/problems/malformed", "title": "t", "status": 400, "detail": "d"});
    let with = |name: &str, value: Value| {
        let mut changed = sound.clone();
        changed[name] = value;
        changed
    };
    for (method, path, given, said) in [
        ("GET", "/healthz", answer(200, plain, &json!({"status": "ok"})), ""),
        ("GET", "/healthz", answer(500, plain, &json!({"status": "ok"})), "the status"),
        ("GET", "/healthz", answer(200, "text/plain", &json!({"status": "ok"})), "the content type"),
        ("GET", "/healthz", answer(200, plain, &json!({"status": "well"})), "\"well\" is not one of"),
        ("GET", "/healthz", answer(200, plain, &json!({})), "\"status\" is a required property"),
        ("GET", "/healthz", answer(200, plain, &json!({"status": "ok", "more": 1})), "'more' was unexpected"),
        ("POST", "/v1/decide", answer(400, problem, &sound), ""),
        ("POST", "/v1/decide", answer(400, plain, &sound), "the content type"),
        ("POST", "/v1/decide", answer(400, problem, &with("status", json!(422))), "422 is not one of"),
        (
            "POST",
            "/v1/decide",
            answer(400, problem, &with("type", json!("/problems/receipt-malformed"))),
            "is not one of",
        ),
        ("POST", "/v1/decide", answer(400, problem, &with("more", json!(1))), "'more' was unexpected"),
        ("POST", "/v1/decide", answer(200, plain, &json!({"decisions": [{}]})), "is not valid under"),
        ("POST", "/v1/decide", answer(422, problem, &with("type", json!("/problems/field-refused"))), "not named"),
        ("DELETE", "/v1/experiments/hero", answer(204, plain, &json!({})), "a body"),
        ("GET", "/v1/decide", answer(405, problem, &sound), ""),
        ("GET", "/v1/decide", answer(404, problem, &sound), "no such method"),
        ("GET", "/v1/nothing", answer(404, problem, &sound), ""),
        ("GET", "/v1/nothing", answer(404, plain, &sound), "no such address"),
        ("GET", "/v1/nothing", answer(404, problem, &json!({})), "no such address"),
    ] {
        let checked = document.check(method, path, &given);
        match checked {
            Ok(()) => assert_eq!(said, "", "{method} {path} {given:?} passed"),
            Err(why) => assert!(!said.is_empty() && why.contains(said), "{said}: {why}"),
        }
    }
}
