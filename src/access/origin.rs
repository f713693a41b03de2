//! Origins of pages, as browsers write them: scheme, host, and a port that is not the scheme's own.

use std::net::Ipv6Addr;

/// Longest origin, in bytes.
pub(crate) const MAX_BYTES: usize = 255;

/// Whether a text is written as a browser writes an origin, so that comparing texts is enough.
pub(crate) fn is_origin(text: &str) -> bool {
    let Some((scheme, host, port)) = parts(text) else { return false };
    let named = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.' || c == '_';
    let host_is_sound = match host.strip_prefix('[') {
        Some(address) => address.strip_suffix(']').is_some_and(|address| address.parse::<Ipv6Addr>().is_ok()),
        None => !host.is_empty() && host.chars().all(named),
    };
    let own_port = if scheme == "https" { "443" } else { "80" };
    let port_is_sound = port.is_none_or(|port| {
        port != own_port && !port.starts_with('0') && port.parse::<u16>().is_ok() && !port.starts_with('+')
    });
    text.len() <= MAX_BYTES && host_is_sound && port_is_sound
}

/// Whether a page comes from the machine that shows it.
pub(crate) fn is_of_this_machine(origin: &str) -> bool {
    parts(origin).is_some_and(|(_, host, _)| names_this_machine(host))
}

/// Whether whoever asks calls the server by a name that means its own machine wherever it is read, as a `Host` has it. A name that
/// somebody else gives out may come to mean this machine once a page was loaded under it (DNS rebinding), and then the page asks
/// as if it were of the server itself.
pub(crate) fn is_host_of_this_machine(host: &str) -> bool {
    names_this_machine(host_and_port(host).0)
}

fn names_this_machine(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let is_loopback = |address: &str| address.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback());
    host == "localhost" || host.ends_with(".localhost") || host == "[::1]" || is_loopback(&host)
}

fn parts(text: &str) -> Option<(&str, &str, Option<&str>)> {
    let (scheme, rest) = text.split_once("://").filter(|(scheme, _)| ["http", "https"].contains(scheme))?;
    let (host, port) = host_and_port(rest);
    Some((scheme, host, port))
}

fn host_and_port(text: &str) -> (&str, Option<&str>) {
    // The colons within an IPv6 address are not the port's.
    match text.rfind(':').filter(|at| !text[*at..].contains(']')) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    //! What browsers send, and what people write instead.

    use super::*;

    #[test]
    fn origins_are_written_as_browsers_write_them() {
        for good in ["https://shop.example", "http://localhost:3000", "http://127.0.0.1:8080", "http://[::1]:5000"] {
            assert!(is_origin(good), "{good}");
        }
        for bad in [
            "shop.example",
            "https://shop.example/",
            "https://Shop.example",
            "https://shop.example:443",
            "http://shop.example:80",
            "https://",
            "https://a:port",
            "https://a:+80",
            "https://a:",
            "ftp://a",
            "https://user@a",
            "https://*.example",
            "null",
            "*",
        ] {
            assert!(!is_origin(bad), "{bad}");
        }
        assert!(!is_origin(&format!("https://{}", "a".repeat(MAX_BYTES))));
    }

    #[test]
    fn pages_of_this_machine() {
        for here in [
            "http://localhost:3000",
            "http://127.0.0.1",
            "http://127.8.9.1:1",
            "http://[::1]:5000",
            "http://a.localhost",
        ] {
            assert!(is_of_this_machine(here), "{here}");
        }
        for elsewhere in ["null", "https://localhost.example", "http://127.0.0.1.example", "http://10.0.0.1", ""] {
            assert!(!is_of_this_machine(elsewhere), "{elsewhere}");
        }
        for here in
            ["localhost:8080", "LocalHost", "127.0.0.1:8080", "127.0.0.1", "[::1]:8080", "[::1]", "a.localhost:1"]
        {
            assert!(is_host_of_this_machine(here), "{here}");
        }
        for elsewhere in
            ["evil.example:8080", "localhost.example", "127.0.0.1.example:80", "10.0.0.1:8080", "[::2]:1", ""]
        {
            assert!(!is_host_of_this_machine(elsewhere), "{elsewhere}");
        }
    }
}
