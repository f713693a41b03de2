//! What integration tests share: talking to a server, and reading what it says.

#![allow(dead_code, reason = "each test binary uses its own part")]

pub(crate) mod programs;
pub(crate) mod server;
pub(crate) mod site;

use std::time::Duration;

use serde_json::Value;
use ureq::http::HeaderMap;

/// Talks JSON to one server. Statuses are answers, not errors.
#[derive(Clone)]
pub(crate) struct Client {
    agent: ureq::Agent,
    base: String,
    key: Option<String>,
}

impl Client {
    pub(crate) fn new(base: &str) -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(20)))
            .build()
            .new_agent();
        Self { agent, base: base.to_owned(), key: None }
    }

    /// The same, with a key of the server's.
    pub(crate) fn with_key(self, key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..self }
    }

    /// Where the server is.
    pub(crate) fn base(&self) -> &str {
        &self.base
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
        let (status, headers, text) = self.try_raw(method, path, body, &[])?;
        let retry = headers.get("retry-after").and_then(|value| value.to_str().ok()).map(str::to_owned);
        Ok((status, retry, read_json(&text)?))
    }

    /// Sends headers besides; the answer's are told as well.
    pub(crate) fn with_headers(
        &self,
        method: &str,
        path: &str,
        body: &str,
        headers: &[(&str, &str)],
    ) -> (u16, HeaderMap, Value) {
        let (status, headers, text) = self.raw(method, path, body, headers);
        (status, headers, read_json(&text).expect("JSON"))
    }

    /// The same with the answer as it was written.
    pub(crate) fn raw(
        &self,
        method: &str,
        path: &str,
        body: &str,
        headers: &[(&str, &str)],
    ) -> (u16, HeaderMap, String) {
        self.try_raw(method, path, body, headers).expect("the server answers")
    }

    fn try_raw(
        &self,
        method: &str,
        path: &str,
        body: &str,
        headers: &[(&str, &str)],
    ) -> Result<(u16, HeaderMap, String), String> {
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
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
        let text =
            response.body_mut().with_config().limit(64 << 20).read_to_string().map_err(|error| error.to_string())?;
        Ok((response.status().as_u16(), response.headers().clone(), text))
    }

    pub(crate) fn send(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        self.try_send(method, path, &body.to_string()).expect("the server answers")
    }

    /// The same with headers.
    pub(crate) fn send_with(&self, method: &str, path: &str, body: &str, headers: &[(&str, &str)]) -> (u16, Value) {
        let mut request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.agent.run(request.body(body.to_owned()).expect("a request"));
        let mut response = response.expect("the server answers");
        let text = response.body_mut().read_to_string().expect("a text");
        (response.status().as_u16(), serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")))
    }

    /// An answer that is no JSON.
    pub(crate) fn text(&self, path: &str) -> String {
        let mut response = self.agent.get(format!("{}{path}", self.base)).call().expect("the server answers");
        assert_eq!(response.status(), 200, "GET {path}");
        response.body_mut().read_to_string().expect("a text")
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

fn read_json(text: &str) -> Result<Value, String> {
    if text.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(text).map_err(|error| format!("{error}: {text}"))
}
