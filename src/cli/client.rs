//! A server's API as commands and the demo use it: JSON in, JSON out, problems as readable failures.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;
use ureq::http::Response;
use ureq::{Agent, Body, RequestBuilder};

use crate::cli::exit::Failure;
use crate::cli::trust::{Trust, is_doubted};

/// Which server a command talks to.
#[derive(Debug, clap::Args)]
pub(crate) struct Target {
    /// Address of the server
    #[arg(long, env = "MABEL_SERVER", value_name = "URL", default_value = "http://127.0.0.1:8080", global = true)]
    pub(crate) server: String,
    #[command(flatten)]
    pub(crate) key: KeyArgument,
    #[command(flatten)]
    pub(crate) trust: Trust,
}

/// With which key a command asks.
#[derive(Debug, clap::Args)]
pub(crate) struct KeyArgument {
    /// Key for the server; better in the environment, as others on the machine see arguments
    // Not named `key`: clap would take an experiment's, which stands beside it, for the same.
    #[arg(long = "key", env = "MABEL_KEY", value_name = "KEY", hide_env_values = true, global = true)]
    pub(crate) api_key: Option<String>,
}

/// Most bytes of an answer: a report on 10,000 segments fits.
const ANSWER_BYTES_MAX: u64 = 256 << 20;

/// Talks to one server over kept connections.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    agent: Agent,
    base: String,
    /// What stands in `Authorization`.
    authorization: Option<String>,
}

impl Client {
    /// One that has no key, and knows servers by the system's authorities.
    ///
    /// # Errors
    /// As of [`Self::with_key`].
    pub(crate) fn new(server: &str) -> Result<Self, Failure> {
        Self::with_key(server, None, &Trust::default())
    }

    /// The server and the key that a command's arguments name.
    ///
    /// # Errors
    /// As of [`Self::with_key`].
    pub(crate) fn of(target: &Target) -> Result<Self, Failure> {
        Self::with_key(&target.server, target.key.api_key.as_deref(), &target.trust)
    }

    /// Checks the address; connects with the first request.
    ///
    /// # Errors
    /// If it is no `http://` or `https://` address, what is given as a key could not be one, or nobody is there to be
    /// trusted.
    pub(crate) fn with_key(server: &str, key: Option<&str>, trust: &Trust) -> Result<Self, Failure> {
        let base = server.trim_end_matches('/');
        let host = ["http://", "https://"].iter().find_map(|scheme| base.strip_prefix(scheme));
        if host.is_none_or(str::is_empty) {
            let allowed = "http://HOST:PORT or https://HOST:PORT, such as http://127.0.0.1:8080";
            return Err(Failure::new(format_args!("server = {server:?} is refused; allowed: {allowed}")));
        }
        let settings = Agent::config_builder()
            // A problem's body is what the user needs to see.
            .http_status_as_error(false)
            .timeout_connect(Some(Duration::from_secs(5)))
            .timeout_global(Some(Duration::from_secs(60)))
            // A proxy of the environment is for the world outside, not for a service of one's own.
            .proxy(None)
            // A key is for the server it is given for, and no other address is followed.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .tls_config(trust.settings(base)?)
            .build();
        let key = key.map(str::trim).filter(|key| !key.is_empty());
        if key.is_some_and(|key| !key.chars().all(|c| c.is_ascii_graphic())) {
            return Err(Failure::new("the key is refused; allowed: mbl_… as `mabel keys create` printed it"));
        }
        let authorization = key.map(|key| format!("Bearer {key}"));
        Ok(Self { agent: settings.into(), base: base.to_owned(), authorization })
    }

    pub(crate) fn get(&self, path: &str) -> Result<Value, Failure> {
        self.answer("GET", path, self.keyed(self.agent.get(self.address(path))).call())
    }

    pub(crate) fn delete(&self, path: &str) -> Result<Value, Failure> {
        self.answer("DELETE", path, self.keyed(self.agent.delete(self.address(path))).call())
    }

    pub(crate) fn put(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.answer("PUT", path, self.keyed(self.agent.put(self.address(path))).send_json(body))
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.answer("POST", path, self.keyed(self.agent.post(self.address(path))).send_json(body))
    }

    /// Lines, a JSON value each, however many.
    pub(crate) fn post_lines(&self, path: &str, lines: &str) -> Result<Value, Failure> {
        let request = self.keyed(self.agent.post(self.address(path))).content_type("application/x-ndjson");
        self.answer("POST", path, request.send(lines))
    }

    /// A POST that says all in its path.
    pub(crate) fn post_empty(&self, path: &str) -> Result<Value, Failure> {
        self.answer("POST", path, self.keyed(self.agent.post(self.address(path))).send_empty())
    }

    /// What is there, or `None` if the server knows no such thing.
    pub(crate) fn find(&self, path: &str) -> Result<Option<Value>, Failure> {
        match self.keyed(self.agent.get(self.address(path))).call() {
            Ok(response) if response.status() == 404 => Ok(None),
            result => self.answer("GET", path, result).map(Some),
        }
    }

    /// Writes what is there, however long; says how many bytes.
    pub(crate) fn download(&self, path: &str, out: &mut dyn std::io::Write) -> Result<u64, Failure> {
        // However long it takes: its end is told by what is written.
        let result = self.keyed(self.agent.get(self.address(path))).config().timeout_global(None).build().call();
        match result {
            Ok(mut response) if response.status().is_success() => {
                let mut body = response.body_mut().as_reader();
                let copied = std::io::copy(&mut body, out);
                copied.map_err(|error| Failure::new(format!("GET {}{path}: the answer broke off: {error}", self.base)))
            }
            result => {
                let answer = self.answer("GET", path, result)?;
                Err(Failure::new(format!("GET {}{path}: an answer of another kind: {answer}", self.base)))
            }
        }
    }

    fn keyed<B>(&self, request: RequestBuilder<B>) -> RequestBuilder<B> {
        match &self.authorization {
            Some(authorization) => request.header("authorization", authorization),
            None => request,
        }
    }

    fn address(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn answer(&self, method: &str, path: &str, result: Result<Response<Body>, ureq::Error>) -> Result<Value, Failure> {
        let request = format_args!("{method} {}{path}", self.base);
        let mut response = result.map_err(|error| {
            let hint = if is_doubted(&error) {
                "--ca names a file with the certificates by which the server is known"
            } else {
                "is the server running there? `mabel serve` starts one, --server names another"
            };
            Failure::new(format!("{request}: {error}; {hint}"))
        })?;
        let status = response.status();
        if let Some(location) = response.headers().get("location").filter(|_| status.is_redirection()) {
            let hint = "is not followed; name its address with --server";
            return Err(Failure::new(format!("{request}: {status} to {location:?} {hint}")));
        }
        let text = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
        let text = text.map_err(|error| Failure::new(format!("{request}: the answer broke off: {error}")))?;
        let value = if text.is_empty() { Ok(Value::Null) } else { serde_json::from_str(&text) };
        match (status.is_success(), value) {
            (true, Ok(value)) => Ok(value),
            (true, Err(error)) => Err(Failure::new(format!("{request}: the answer is not JSON: {error}"))),
            (false, Ok(problem)) if problem.is_object() => {
                Err(Failure::new(format!("{request}: {status}{}", readable(&problem))))
            }
            (false, _) => Err(Failure::new(format!("{request}: {status}: {}", text.trim()))),
        }
    }
}

/// The path of one experiment; what a key may not contain cannot change the path either.
pub(crate) fn experiment_path(key: &str) -> String {
    let mut path = String::from("/v1/experiments/");
    for byte in key.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            path.push(char::from(byte));
        } else {
            write!(path, "%{byte:02X}").expect("a text takes what is written");
        }
    }
    path
}

/// Problem details (RFC 9457) as lines under each other: what happened, then which field, what was given, what is allowed.
pub(crate) fn readable(problem: &Value) -> String {
    let mut lines = String::new();
    // Where a field is named, the detail only says in one line what the three lines below say.
    let what = if problem["field"].is_null() { &problem["detail"] } else { &problem["title"] };
    if let Some(what) = what.as_str().or_else(|| problem["title"].as_str()) {
        write!(lines, ": {what}").expect("a text takes what is written");
    }
    for name in ["field", "given", "allowed"] {
        let text = match &problem[name] {
            Value::Null => continue,
            Value::String(text) => text.clone(),
            Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
            other @ (Value::Bool(_) | Value::Number(_) | Value::Object(_)) => other.to_string(),
        };
        write!(lines, "\n  {name}: {text}").expect("a text takes what is written");
    }
    lines
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    //! Problems read well; keys stay in their place in a path.

    use serde_json::json;

    use super::*;

    #[test]
    fn problems_name_field_given_and_allowed() {
        let problem = json!({"type": "about:blank", "title": "Not allowed", "status": 422, "detail": "no such policy",
            "field": "policy.kind", "given": "dice", "allowed": ["uniform", "thompson"]});
        assert_eq!(
            readable(&problem),
            ": Not allowed\n  field: policy.kind\n  given: dice\n  allowed: uniform, thompson"
        );
        assert_eq!(readable(&json!({"title": "Gone"})), ": Gone");
        assert_eq!(readable(&json!({"title": "Gone", "detail": "ended in May"})), ": ended in May");
    }

    #[test]
    fn keys_stay_in_their_place() {
        assert_eq!(experiment_path("hero-2"), "/v1/experiments/hero-2");
        assert_eq!(experiment_path("../a b?"), "/v1/experiments/..%2Fa%20b%3F");
    }

    #[test]
    fn addresses_are_checked() {
        for bad in ["127.0.0.1:8080", "ftp://x", "http://", "https:///"] {
            let error = Client::new(bad).expect_err(bad).to_string();
            assert!(error.contains("https://HOST:PORT"), "{error}");
        }
        assert!(Client::new("http://127.0.0.1:8080/").is_ok());
    }
}
