//! What integration tests share: talking to a server, and reading what it says.

#![allow(dead_code, reason = "each test binary uses its own part")]

pub(crate) mod document;
pub(crate) mod programs;
pub(crate) mod server;
pub(crate) mod site;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::Value;
use ureq::http::HeaderMap;

use crate::support::document::{Answer, Document};

/// Talks JSON to one server, and holds every answer against what the server's OpenAPI document says. Statuses are answers, not
/// errors.
#[derive(Clone)]
pub(crate) struct Client {
    agent: ureq::Agent,
    base: String,
    key: Option<String>,
    document: Arc<OnceLock<Arc<Document>>>,
}

impl Client {
    pub(crate) fn new(base: &str) -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(20)))
            .build()
            .new_agent();
        Self { agent, base: base.to_owned(), key: None, document: Arc::default() }
    }

    /// The same, with a key of the server's.
    pub(crate) fn with_key(self, key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..self }
    }

    /// Where the server is.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    pub(crate) fn address(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Sends a body as it is; the answer's status and JSON (`null` if it has no body), or the transport's error.
    pub(crate) fn try_send(&self, method: &str, path: &str, body: &str) -> Result<(u16, Value), String> {
        self.exchange(method, path, body).map(|(status, _, json)| (status, json))
    }

    /// As [`Self::try_send`], with what `Retry-After` says.
    pub(crate) fn exchange(
        &self,
        method: &str,
        path: &str,
        body: &str,
    ) -> Result<(u16, Option<String>, Value), String> {
        let (answer, headers) = self.checked(method, path, body, &[])?;
        let retry = headers.get("retry-after").and_then(|value| value.to_str().ok()).map(str::to_owned);
        Ok((answer.status, retry, answer.json()?))
    }

    /// Sends headers besides; the answer's are told as well.
    pub(crate) fn with_headers(
        &self,
        method: &str,
        path: &str,
        body: &str,
        headers: &[(&str, &str)],
    ) -> (u16, HeaderMap, Value) {
        let (answer, headers) = self.checked(method, path, body, headers).expect("the server answers");
        (answer.status, headers, answer.json().expect("JSON"))
    }

    /// The same with the answer as it was written.
    pub(crate) fn raw(
        &self,
        method: &str,
        path: &str,
        body: &str,
        headers: &[(&str, &str)],
    ) -> (u16, HeaderMap, String) {
        let (answer, headers) = self.checked(method, path, body, headers).expect("the server answers");
        (answer.status, headers, answer.text)
    }

    /// An answer that the server's document describes.
    fn checked(
        &self,
        method: &str,
        path: &str,
        body: &str,
        headers: &[(&str, &str)],
    ) -> Result<(Answer, HeaderMap), String> {
        let (answer, headers) = self.answer(method, path, body, headers)?;
        if let Err(why) = self.document()?.check(method, path, &answer) {
            panic!("{why}");
        }
        Ok((answer, headers))
    }

    /// The server's document, asked for once.
    pub(crate) fn document(&self) -> Result<&Document, String> {
        if self.document.get().is_none() {
            let (answer, _) = self.answer("GET", "/openapi.json", "", &[])?;
            assert_eq!(answer.status, 200, "{answer:?}");
            // Another thread may have been first: the document is the same.
            let _ = self.document.set(Document::shared(&answer.text));
        }
        self.document.get().map(|document| &**document).ok_or_else(|| "no document".to_owned())
    }

    /// An answer as it comes, unchecked.
    fn answer(
        &self,
        method: &str,
        path: &str,
        body: &str,
        headers: &[(&str, &str)],
    ) -> Result<(Answer, HeaderMap), String> {
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(self.address(path))
            .header("content-type", "application/json");
        if let Some(key) = &self.key {
            request = request.header("x-api-key", key);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = if method == "GET" || method == "DELETE" {
            self.agent.run(request.body(()).expect("a request"))
        } else {
            self.agent.run(request.body(body.to_owned()).expect("a request"))
        };
        let mut response = response.map_err(|error| error.to_string())?;
        let headers = response.headers().clone();
        let media = headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media = media.split(';').next().unwrap_or_default().to_owned();
        let status = response.status().as_u16();
        let text =
            response.body_mut().with_config().limit(64 << 20).read_to_string().map_err(|error| error.to_string())?;
        Ok((Answer { status, media, text }, headers))
    }

    pub(crate) fn send(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        self.try_send(method, path, &body.to_string()).expect("the server answers")
    }

    /// An answer that is no JSON.
    pub(crate) fn text(&self, path: &str) -> String {
        let (status, _, text) = self.raw("GET", path, "", &[]);
        assert_eq!(status, 200, "GET {path}");
        text
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        let (status, json) = self.send("GET", path, &Value::Null);
        assert_eq!(status, 200, "GET {path}: {json}");
        json
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Value {
        let (status, json) = self.send("POST", path, body);
        assert_eq!(status, 200, "POST {path} {body}: {json}");
        json
    }

    /// An error's status and the last part of its type; its shape is checked on the way.
    pub(crate) fn problem(&self, method: &str, path: &str, body: &str) -> (u16, String, Value) {
        let (status, json) = self.try_send(method, path, body).expect("the server answers");
        assert!(status >= 400, "{method} {path} {body}: {status} {json}");
        assert_eq!(json["status"], status, "{json}");
        assert!(json["title"].is_string() && json["detail"].is_string(), "{json}");
        let kind = json["type"].as_str().and_then(|kind| kind.strip_prefix("/problems/")).expect("a type").to_owned();
        (status, kind, json)
    }
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}
