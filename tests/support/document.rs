//! Every answer against the OpenAPI document of the server that gave it: a status, a content type or a body that the document
//! does not describe fails the test that met it.
//!
//! Exempt by rule are unknown addresses and methods that an address does not take, whose answers are problems all the same, and
//! what browsers ask before they send, which every address answers alike.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jsonschema::Validator;
use serde_json::{Map, Value, json};

/// Lines of JSON: what is described is a line.
const NDJSON: &str = "application/x-ndjson";

/// An answer as it came.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Without parameters; empty if there is none.
    pub(crate) media: String,
    pub(crate) text: String,
}

impl Answer {
    /// `null` if there is no body; lines of JSON as a list; a text that is no JSON by its content type as a text.
    pub(crate) fn json(&self) -> Result<Value, String> {
        if self.media == NDJSON {
            let lines =
                self.text.lines().map(|line| serde_json::from_str(line).map_err(|error| format!("{error}: {line}")));
            lines.collect::<Result<Vec<Value>, _>>().map(Value::Array)
        } else if self.text.is_empty() {
            Ok(Value::Null)
        } else if self.media.ends_with("json") {
            serde_json::from_str(&self.text).map_err(|error| format!("{error}: {}", self.text))
        } else {
            Ok(Value::String(self.text.clone()))
        }
    }
}

/// A document, and what was compiled of it so far.
pub(crate) struct Document {
    value: Value,
    compiled: Mutex<HashMap<String, Arc<Validator>>>,
}

impl Document {
    /// The document with this text, read once however many servers of a test have it.
    pub(crate) fn shared(text: &str) -> Arc<Self> {
        static KNOWN: Mutex<Vec<(String, Arc<Document>)>> = Mutex::new(Vec::new());
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, document)) = known.iter().find(|(other, _)| other == text) {
            return Arc::clone(document);
        }
        let document = Arc::new(Self::new(text));
        known.push((text.to_owned(), Arc::clone(&document)));
        document
    }

    fn new(text: &str) -> Self {
        let mut value = serde_json::from_str(text).expect("the document is JSON");
        close(&mut value);
        Self { value, compiled: Mutex::default() }
    }

    pub(crate) fn value(&self) -> &Value {
        &self.value
    }

    /// What of an answer is not described.
    pub(crate) fn check(&self, method: &str, path: &str, answer: &Answer) -> Result<(), String> {
        let refused = |why: String| Err(format!("{method} {path} answered {answer:?}, which is not described: {why}"));
        let Some((template, operations)) = self.find(path) else {
            return match (answer.status, self.problem(answer)) {
                (404, Ok(())) => Ok(()),
                (_, outcome) => refused(format!("no such address, {outcome:?}")),
            };
        };
        if method == "OPTIONS" && answer.status == 204 && answer.text.is_empty() {
            return Ok(());
        }
        let Some(operation) = operations.get(&method.to_lowercase()) else {
            return match (answer.status, self.problem(answer)) {
                (405, Ok(())) => Ok(()),
                (_, outcome) => refused(format!("no such method of {template}, {outcome:?}")),
            };
        };
        let Some(response) = operation["responses"].get(answer.status.to_string()) else {
            return refused(format!("the status of {template}"));
        };
        let Some(contents) = response.get("content") else {
            return if answer.text.is_empty() { Ok(()) } else { refused("a body".to_owned()) };
        };
        let Some(content) = contents.get(&answer.media) else {
            return refused(format!("the content type, of {contents}"));
        };
        if !answer.media.ends_with("json") {
            return Ok(());
        }
        if !named(&answer.json()?) {
            return refused("a field was refused and not named, with what was given and what is allowed".to_owned());
        }
        let name = format!("{method} {template} {} {}", answer.status, answer.media);
        self.valid(&name, &content["schema"], answer).or_else(refused)
    }

    /// The address that a path is one of: the one with the fewest parameters.
    fn find(&self, path: &str) -> Option<(&str, &Map<String, Value>)> {
        let path: Vec<&str> = path.split('?').next().unwrap_or_default().split('/').collect();
        let parameters = |template: &str| template.matches('{').count();
        let fits = |template: &str| {
            let parts: Vec<&str> = template.split('/').collect();
            let fits = |(part, given): (&&str, &&str)| part == given || part.starts_with('{') && !given.is_empty();
            parts.len() == path.len() && parts.iter().zip(&path).all(fits)
        };
        let all = self.value["paths"].as_object().expect("paths").iter();
        let found = all.filter(|(template, _)| fits(template)).min_by_key(|(template, _)| parameters(template));
        found.map(|(template, operations)| (template.as_str(), operations.as_object().expect("operations")))
    }

    fn problem(&self, answer: &Answer) -> Result<(), String> {
        if answer.media != "application/problem+json" {
            return Err(format!("{:?} is no problem's content type", answer.media));
        }
        self.valid("a problem", &json!({"$ref": "#/components/schemas/Problem"}), answer)
    }

    /// Whether a body is one of a shape.
    fn valid(&self, name: &str, schema: &Value, answer: &Answer) -> Result<(), String> {
        let validator = Arc::clone(
            self.compiled
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .entry(name.to_owned())
                .or_insert_with(|| Arc::new(self.validator(schema))),
        );
        let body = answer.json()?;
        let lines = if answer.media == NDJSON {
            body.as_array().map_or(&[][..], Vec::as_slice)
        } else {
            std::slice::from_ref(&body)
        };
        let errors = lines.iter().flat_map(|line| validator.iter_errors(line));
        let errors: Vec<String> = errors.map(|error| format!("{}: {error}", error.instance_path())).collect();
        if errors.is_empty() { Ok(()) } else { Err(errors.join("; ")) }
    }

    /// Compiles a schema of the document.
    pub(crate) fn validator(&self, schema: &Value) -> Validator {
        let mut root = schema.clone();
        root["components"] = self.value["components"].clone();
        // Its options are generic: they would be compiled anew in every test program.
        jsonschema::draft202012::new(&root).unwrap_or_else(|error| panic!("{schema} is no schema: {error}"))
    }
}

/// Whether every refusal of a field says which, what was given and what is allowed.
fn named(body: &Value) -> bool {
    match body {
        Value::Object(object) => {
            let refused = object.get("type").is_some_and(|kind| kind == "/problems/field-refused");
            let said = ["field", "given", "allowed"].iter().all(|name| object.contains_key(*name));
            (!refused || said) && object.values().all(named)
        }
        Value::Array(list) => list.iter().all(named),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

/// Answers may gain fields, so their shapes are open; here they are closed, so that a field that is answered and not described is
/// found. Shapes that are joined stay as they are: each part would refuse the fields of the other. Times are
/// held against what is written, in UTC.
fn close(value: &mut Value) {
    match value {
        Value::Object(object) => {
            // The draft takes formats for remarks.
            if object.get("format").is_some_and(|format| format == "date-time") {
                let pattern = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$";
                object.insert("pattern".to_owned(), Value::String(pattern.to_owned()));
            }
            if object.contains_key("properties") && !object.contains_key("additionalProperties") {
                object.insert("additionalProperties".to_owned(), Value::Bool(false));
            }
            object.iter_mut().filter(|(keyword, _)| *keyword != "allOf").for_each(|(_, inner)| close(inner));
        }
        Value::Array(list) => list.iter_mut().for_each(close),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
