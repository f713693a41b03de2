//! Values as texts.

use std::time::Duration;

use mabel::domain::Span;

pub(super) fn boolean(text: &str) -> Option<bool> {
    text.parse().ok()
}

pub(super) fn span(text: &str, least: Span, most: &str) -> Option<Duration> {
    let span = Span::parse(text)?;
    (span >= least && span <= Span::parse(most)?).then(|| Duration::from_millis(span.as_millis()))
}

pub(super) fn bytes(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let unit: u64 = match text[digits..].trim_start() {
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    let bytes = text[..digits].parse::<u64>().ok()?.checked_mul(unit)?;
    (1_000_000..=1_000_000_000_000).contains(&bytes).then_some(bytes)
}

/// The address of a collector, without what stands behind host, port and path; nothing if there is none.
pub(super) fn collector(text: &str) -> Option<Option<String>> {
    if text.is_empty() {
        return Some(None);
    }
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"))?;
    // An address is one that is told in logs: a name and a password are no part of it.
    let plain = rest.bytes().all(|byte| byte.is_ascii_graphic() && !b"@?#".contains(&byte));
    (plain && !rest.is_empty() && !rest.starts_with(['/', ':'])).then(|| Some(text.trim_end_matches('/').to_owned()))
}
