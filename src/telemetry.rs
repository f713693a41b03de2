//! Logs: structured, to stderr, as text or as JSON lines. Spans, where a collector wants them.
//!
//! Invariant: no receipt, payload, context or visitor is ever logged.

pub(crate) mod otlp;

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// For collectors, one object a line.
    Json,
}

impl LogFormat {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "text" => Some(Self::Text),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// Whether a text is a filter.
pub(crate) fn is_filter(text: &str) -> bool {
    EnvFilter::try_new(text).is_ok()
}

/// Starts logging what the filter lets through, for the life of the process. A second call does nothing.
pub(crate) fn start(filter: &str, format: LogFormat) {
    let Ok(filter) = EnvFilter::try_new(filter) else {
        unreachable!("a filter is checked where it is configured");
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Only a second call fails, and the first one's choice stands.
    let _ = match format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
}

#[cfg(test)]
mod tests {
    //! What is a filter and what is not.

    use super::*;

    #[test]
    fn filters() {
        assert!(["info", "off", "warn,mabel::service=debug"].into_iter().all(is_filter));
        assert!(!is_filter("loud=very"));
        assert_eq!(LogFormat::parse("json"), Some(LogFormat::Json));
        assert_eq!(LogFormat::parse("JSON"), None);
    }
}
