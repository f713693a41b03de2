//! The document as one page: no script, nothing from another server, one style sheet of its own.
//!
//! Invariant: whatever stands in the document is escaped on its way into the page.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// Nothing may be loaded but the style sheet beside the page.
pub(super) const POLICY: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// How the page looks.
pub(super) const STYLE: &str = include_str!("style.css");

/// The page.
pub(super) fn html(document: &Value) -> String {
    let info = &document["info"];
    let mut page = String::new();
    let title = escaped(text(&info["title"]));
    page += "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n";
    page += "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n";
    put(
        &mut page,
        format_args!("<title>{title}: the API</title>\n<link rel=\"stylesheet\" href=\"/docs/style.css\">\n"),
    );
    put(&mut page, format_args!("</head>\n<body>\n<nav>\n<h2>{title}</h2>\n"));
    let tags = list(&document["tags"]);
    for tag in tags {
        put(&mut page, format_args!("<h3>{}</h3>\n<ul>\n", escaped(text(&tag["name"]))));
        for (path, method, operation) in operations(document, &tag["name"]) {
            let (id, method) = (escaped(text(&operation["operationId"])), method.to_uppercase());
            put(&mut page, format_args!("<li><a href=\"#{id}\"><b>{method}</b> {}</a></li>\n", escaped(path)));
        }
        page += "</ul>\n";
    }
    page += "<h3>shapes</h3>\n<ul>\n";
    for name in object(&document["components"]["schemas"]).keys() {
        put(&mut page, format_args!("<li><a href=\"#{0}\">{0}</a></li>\n", escaped(name)));
    }
    page += "</ul>\n</nav>\n<main>\n";
    let version = escaped(text(&info["version"]));
    put(&mut page, format_args!("<h1>{title} {version}</h1>\n{}", paragraphs(text(&info["description"]))));
    page += "<p>The same for machines: <a href=\"/openapi.json\">/openapi.json</a>.</p>\n";
    for tag in tags {
        let (name, said) = (escaped(text(&tag["name"])), escaped(text(&tag["description"])));
        put(&mut page, format_args!("<h2>{name}</h2>\n<p>{said}.</p>\n"));
        for (path, method, operation) in operations(document, &tag["name"]) {
            write_operation(&mut page, path, method, operation);
        }
    }
    page += "<h2>shapes</h2>\n";
    for (name, schema) in object(&document["components"]["schemas"]) {
        put(&mut page, format_args!("<section id=\"{0}\">\n<h3>{0}</h3>\n", escaped(name)));
        write_schema(&mut page, schema);
        page += "</section>\n";
    }
    page += "</main>\n</body>\n</html>\n";
    page
}

/// The operations of one tag: path, method, description.
fn operations<'a>(document: &'a Value, tag: &'a Value) -> impl Iterator<Item = (&'a str, &'a str, &'a Value)> {
    let all = object(&document["paths"]).iter().flat_map(|(path, methods)| {
        object(methods).iter().map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    });
    all.filter(move |(_, _, operation)| list(&operation["tags"]).contains(tag))
}

fn write_operation(page: &mut String, path: &str, method: &str, operation: &Value) {
    let (id, shown) = (escaped(text(&operation["operationId"])), method.to_uppercase());
    put(page, format_args!("<section id=\"{id}\">\n<h3><b>{shown}</b> <code>{}</code></h3>\n", escaped(path)));
    put(page, format_args!("<p><strong>{}.</strong></p>\n", inline(text(&operation["summary"]))));
    *page += &paragraphs(text(&operation["description"]));
    let parameters = list(&operation["parameters"]);
    if !parameters.is_empty() {
        *page += "<table>\n<tr><th>parameter</th><th></th><th></th></tr>\n";
        for parameter in parameters {
            let mark = if parameter["in"] == "header" { " <i>header, optional</i>" } else { "" };
            write_row(page, text(&parameter["name"]), mark, &parameter["schema"], text(&parameter["description"]));
        }
        *page += "</table>\n";
    }
    for (media, content) in object(&operation["requestBody"]["content"]) {
        put(page, format_args!("<p>Body, {}: {}</p>\n", escaped(media), type_of(&content["schema"])));
        if let Some(example) = content.get("example") {
            put(page, format_args!("<pre>{}</pre>\n", escaped(&format!("{example:#}"))));
        }
    }
    *page += "<table>\n<tr><th>status</th><th>answer</th><th></th></tr>\n";
    for (status, response) in object(&operation["responses"]) {
        let contents = object(&response["content"]).iter();
        let answers: Vec<String> = contents.map(|(media, content)| answer(media, &content["schema"])).collect();
        let (answers, said) = (answers.join("<br>"), inline(text(&response["description"])));
        put(page, format_args!("<tr><td>{}</td><td>{answers}</td><td>{said}</td></tr>\n", escaped(status)));
    }
    *page += "</table>\n</section>\n";
}

/// What an answer is; of a problem the shape says enough, its kinds stand beside it.
fn answer(media: &str, schema: &Value) -> String {
    let shape = schema["allOf"].get(0).unwrap_or(schema);
    match media {
        "application/json" | "application/problem+json" => type_of(shape),
        other => escaped(other),
    }
}

fn write_schema(page: &mut String, schema: &Value) {
    *page += &paragraphs(text(&schema["description"]));
    let properties = object(&schema["properties"]);
    if properties.is_empty() {
        put(page, format_args!("<p>{}</p>\n", type_of(schema)));
        return;
    }
    let required = list(&schema["required"]);
    *page += "<table>\n<tr><th>field</th><th>type</th><th></th></tr>\n";
    for (name, property) in properties {
        let mark = if required.iter().any(|known| known == name) { "" } else { " <i>optional</i>" };
        write_row(page, name, mark, property, about(property));
    }
    *page += "</table>\n";
}

fn write_row(page: &mut String, name: &str, mark: &str, schema: &Value, said: &str) {
    let (name, shape, said) = (escaped(name), type_of(schema), inline(said));
    put(page, format_args!("<tr><td><code>{name}</code>{mark}</td><td>{shape}</td><td>{said}</td></tr>\n"));
}

/// What is said of a field; where it may be `null`, that stands with what it is otherwise.
fn about(schema: &Value) -> &str {
    let alternatives = list(&schema["oneOf"]).iter();
    schema["description"]
        .as_str()
        .or_else(|| alternatives.filter_map(|one| one["description"].as_str()).next())
        .unwrap_or_default()
}

/// A type in a few words, with its limits; what has a name is a link to it.
fn type_of(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|reference| reference.rsplit('/').next()) {
        return format!("<a href=\"#{0}\">{0}</a>", escaped(name));
    }
    if let Some(alternatives) = schema["oneOf"].as_array() {
        return alternatives.iter().map(type_of).collect::<Vec<_>>().join(" or ");
    }
    if let Some(values) = schema["enum"].as_array() {
        return values
            .iter()
            .map(|value| format!("<code>{}</code>", escaped(&value.to_string())))
            .collect::<Vec<_>>()
            .join(" ");
    }
    let mut said = match &schema["type"] {
        Value::String(one) => escaped(one),
        Value::Array(several) => several.iter().map(|one| escaped(text(one))).collect::<Vec<_>>().join(" or "),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => "any JSON".to_owned(),
    };
    if let Some(items) = schema.get("items") {
        put(&mut said, format_args!(" of {}", type_of(items)));
    }
    if let Some(values) = schema.get("additionalProperties").filter(|values| values.is_object()) {
        put(&mut said, format_args!(" of {} by name", type_of(values)));
    }
    for (keyword, words) in LIMITS {
        if let Some(limit) = schema.get(*keyword) {
            let limit = limit.as_str().map_or_else(|| limit.to_string(), str::to_owned);
            put(&mut said, format_args!("<br><small>{words} {}</small>", escaped(&limit)));
        }
    }
    said
}

/// Keywords that limit a value, in words.
const LIMITS: &[(&str, &str)] = &[
    ("format", "as"),
    ("minimum", "from"),
    ("exclusiveMinimum", "above"),
    ("maximum", "to"),
    ("exclusiveMaximum", "below"),
    ("minLength", "characters from"),
    ("maxLength", "characters up to"),
    ("minItems", "entries from"),
    ("maxItems", "entries up to"),
    ("maxProperties", "entries up to"),
    ("pattern", "matches"),
];

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn object(value: &Value) -> &Map<String, Value> {
    static NONE: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
    value.as_object().unwrap_or(&NONE)
}

fn put(page: &mut String, said: std::fmt::Arguments<'_>) {
    page.write_fmt(said).expect("a text takes every write");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

/// A text with what stands between backticks as code.
fn inline(text: &str) -> String {
    let part = |(index, part): (usize, &str)| {
        if index % 2 == 1 { format!("<code>{}</code>", escaped(part)) } else { escaped(part) }
    };
    text.split('`').enumerate().map(part).collect()
}

fn paragraphs(text: &str) -> String {
    let parts = text.split("\n\n").map(str::trim).filter(|part| !part.is_empty());
    parts.map(|part| format!("<p>{}</p>\n", inline(part))).collect()
}
