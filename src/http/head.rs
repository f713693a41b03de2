//! What comes before a request's body, as far as gates and handlers look at it, whoever has read it.

use std::net::IpAddr;

use actix_web::dev::RequestHead;
use actix_web::http::Method;
use actix_web::http::header::HeaderName;
use actix_web::http::uri::Authority;

/// A request line and its headers.
pub(crate) trait Head {
    fn method(&self) -> &Method;
    /// Without the query.
    fn path(&self) -> &str;
    fn query(&self) -> Option<&str>;
    /// What the request calls this server in its address, where HTTP/2 and proxies have it.
    fn authority(&self) -> Option<&str>;
    /// The other end of the connection.
    fn peer(&self) -> Option<IpAddr>;
    /// A line of a header, of which there may be several.
    fn line(&self, name: &HeaderName, index: usize) -> Option<&[u8]>;
}

impl Head for RequestHead {
    fn method(&self) -> &Method {
        &self.method
    }

    fn path(&self) -> &str {
        self.uri.path()
    }

    fn query(&self) -> Option<&str> {
        self.uri.query()
    }

    fn authority(&self) -> Option<&str> {
        self.uri.authority().map(Authority::as_str)
    }

    fn peer(&self) -> Option<IpAddr> {
        self.peer_addr.map(|peer| peer.ip())
    }

    fn line(&self, name: &HeaderName, index: usize) -> Option<&[u8]> {
        self.headers.get_all(name).nth(index).map(|value| value.as_bytes())
    }
}

impl dyn Head + '_ {
    /// The first line of a header.
    pub(crate) fn value(&self, name: &HeaderName) -> Option<&[u8]> {
        self.line(name, 0)
    }

    /// All lines of a header.
    pub(crate) fn lines(&self, name: &HeaderName) -> impl Iterator<Item = &[u8]> {
        (0..).map_while(|index| self.line(name, index))
    }
}

/// A header's value, if it is one of visible characters, spaces and tabs.
pub(crate) fn text(value: &[u8]) -> Option<&str> {
    // All bytes, many at once, and not until one is found.
    let is_other = |found, byte: &u8| found | ((*byte < b' ') & (*byte != b'\t')) | (*byte > b'~');
    if value.iter().fold(false, is_other) { None } else { str::from_utf8(value).ok() }
}
