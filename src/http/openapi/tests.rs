//! The document and the routes say the same, and nothing in the document leads nowhere.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde_json::Value;

use super::{MADE, page};
use crate::http::problem::{Kind, Row};
use crate::http::roles::ROWS;
use crate::http::routes::FRONT;

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| serde_json::from_slice(&MADE.json).expect("JSON"));

/// Methods and addresses in `routes.rs`, read off its text: the framework does not tell them.
fn routes() -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    for part in include_str!("../routes.rs").split("at(\"").skip(1) {
        let (path, rest) = part.split_once('"').expect("an address ends");
        for method in
            rest.split("web::").skip(1).filter_map(|after| after.split_once("().to(")).map(|(method, _)| method)
        {
            found.insert((method.to_owned(), path.to_owned()));
        }
    }
    // In front of the router every method comes to the gate, which lets those of the table of roles through.
    let front = ROWS.iter().filter(|row| FRONT.iter().any(|(path, _)| *path == row.path));
    found.extend(front.map(|row| (row.method.as_str().to_lowercase(), row.path.to_owned())));
    found
}

fn operations() -> BTreeSet<(String, String)> {
    let paths = DOCUMENT["paths"].as_object().expect("paths");
    let methods = |(path, methods): (&String, &Value)| {
        let methods = methods.as_object().expect("methods");
        methods.keys().map(|method| (method.clone(), path.clone())).collect::<Vec<_>>()
    };
    paths.iter().flat_map(methods).collect()
}

#[test]
fn every_route_is_described_and_every_description_has_a_route() {
    let (routes, operations) = (routes(), operations());
    assert!(routes.len() > 20, "only {} routes were found: the search looks in the wrong place", routes.len());
    let bare: Vec<_> = routes.difference(&operations).collect();
    assert!(
        bare.is_empty(),
        "{bare:?} are not described: write `#[utoipa::path]` on the handler and list it in openapi.rs"
    );
    let stale: Vec<_> = operations.difference(&routes).collect();
    assert!(stale.is_empty(), "{stale:?} are described and have no route");
}

#[test]
fn every_operation_has_a_name_a_tag_and_an_answer() {
    let mut names = BTreeSet::new();
    let tags: Vec<&Value> = DOCUMENT["tags"].as_array().expect("tags").iter().map(|tag| &tag["name"]).collect();
    for (path, methods) in DOCUMENT["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let name = operation["operationId"].as_str().expect("a name");
            assert!(names.insert(name), "{name} stands twice");
            assert!(
                operation["tags"].as_array().is_some_and(|own| own.iter().all(|tag| tags.contains(&tag))),
                "{path}"
            );
            assert!(operation["summary"].is_string(), "{method} {path} has no summary");
            let responses = operation["responses"].as_object().expect("responses");
            assert!(responses.keys().any(|status| status.starts_with('2')), "{method} {path}");
        }
    }
}

#[test]
fn every_operation_says_who_may_use_it() {
    for row in ROWS {
        let operation = &DOCUMENT["paths"][row.path][row.method.as_str().to_lowercase()];
        let named = |status: &str| operation["responses"][status]["content"]["application/problem+json"].is_object();
        let Some(role) = row.needs else {
            assert!(operation.get("security").is_none() && !named("401") && !named("403"), "{row:?}");
            continue;
        };
        assert!(named("401") && named("403"), "{row:?}");
        let said = operation["description"].as_str().expect("a description");
        assert!(said.contains(&format!("Needs a key with role `{role}`")), "{row:?}: {said}");
        let ways: Vec<&String> = operation["security"].as_array().expect("ways").iter().flat_map(names).collect();
        let known = DOCUMENT["components"]["securitySchemes"].as_object().expect("schemes");
        assert!(ways.iter().all(|way| known.contains_key(*way)), "{row:?}: {ways:?}");
        assert_eq!(ways.contains(&&"query".to_owned()), row.from_pages, "{row:?}");
    }
}

fn names(object: &Value) -> impl Iterator<Item = &String> {
    object.as_object().expect("an object").keys()
}

#[test]
fn every_reference_leads_somewhere_and_every_shape_is_used() {
    fn walk<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
        match value {
            Value::Object(object) => {
                found.extend(object.get("$ref").and_then(Value::as_str));
                object.values().for_each(|inner| walk(inner, found));
            }
            Value::Array(list) => list.iter().for_each(|inner| walk(inner, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut found = BTreeSet::new();
    walk(&DOCUMENT, &mut found);
    let shapes = DOCUMENT["components"]["schemas"].as_object().expect("shapes");
    let known: BTreeSet<String> = shapes.keys().map(|name| format!("#/components/schemas/{name}")).collect();
    let found: BTreeSet<String> = found.into_iter().map(str::to_owned).collect();
    assert_eq!(found, known);
}

#[test]
fn the_page_shows_every_operation_and_loads_nothing_from_elsewhere() {
    let page = page::html(&DOCUMENT);
    for (method, path) in operations() {
        let shown = format!("<h3><b>{}</b> <code>{path}</code></h3>", method.to_uppercase());
        assert!(page.contains(&shown), "{shown}");
    }
    for foreign in ["<script", "src=", "http://", "https://", "@import", "url("] {
        assert!(!page.contains(foreign) && !page::STYLE.contains(foreign), "{foreign}");
    }
    let hostile = serde_json::json!({"info": {"title": "<script>\"'&"}});
    assert!(page::html(&hostile).contains("<title>&lt;script&gt;&quot;&#39;&amp;: the API</title>"));
}

/// The table of `docs/API.md`, in order of statuses.
fn markdown() -> String {
    let mut rows: Vec<Row> = Kind::ALL.iter().map(|kind| kind.row()).collect();
    rows.sort_by_key(|row| row.status);
    let line = |Row { name, status, title, advice }: Row| format!("| {status} | `{name}` | {title}. {advice} |\n");
    let lines: String = rows.into_iter().map(line).collect();
    format!("| status | `type`, after `/problems/` | what happened, and what to do |\n|---|---|---|\n{lines}")
}

/// `UPDATE=1 cargo test --lib the_table_of_errors` writes it anew.
#[test]
fn the_table_of_errors_in_the_documentation_is_that_of_the_code() {
    const BEGINS: &str = "<!-- errors: made from src/http/problem.rs -->\n\n";
    const ENDS: &str = "\n<!-- errors end -->\n";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/API.md");
    let written = std::fs::read_to_string(path).expect("docs/API.md can be read");
    let (before, rest) = written.split_once(BEGINS).expect("a line where the table begins");
    let (_, after) = rest.split_once(ENDS).expect("a line where the table ends");
    let made = format!("{before}{BEGINS}{}{ENDS}{after}", markdown());
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, &made).expect("docs/API.md can be written");
    } else {
        assert!(made == written, "the table of errors has changed: UPDATE=1 cargo test --lib the_table_of_errors");
    }
}
