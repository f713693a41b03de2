//! The script of pages, as browsers, caches and pages of other origins fetch it. What it does is tested in `browser.rs`.

mod support;

use std::io::Read as _;

use flate2::read::GzDecoder;
use support::site::Site;

/// One fetch: its status, its headers, its body as it was sent.
fn fetch(site: &Site, headers: &[(&str, &str)]) -> (u16, ureq::http::HeaderMap, Vec<u8>) {
    let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    let mut request = ureq::http::Request::builder().uri(format!("{}/sdk/mabel.js", site.client.base()));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut response = agent.run(request.body(()).expect("a request")).expect("the server answers");
    let body = response.body_mut().read_to_vec().expect("a body");
    (response.status().as_u16(), response.headers().clone(), body)
}

fn header<'a>(headers: &'a ureq::http::HeaderMap, name: &str) -> &'a str {
    headers.get(name).map_or("", |value| value.to_str().expect("text"))
}

#[test]
fn it_is_small_and_needs_no_key() {
    let site = Site::new();
    // From here on every address under /v1 asks for one.
    site.keys();
    let (status, headers, plain) = fetch(&site, &[]);
    assert_eq!((status, header(&headers, "content-encoding")), (200, ""));
    assert_eq!(header(&headers, "content-type"), "text/javascript; charset=utf-8");
    assert_eq!(header(&headers, "x-content-type-options"), "nosniff");
    let (status, headers, gzip) = fetch(&site, &[("accept-encoding", "gzip, deflate, br")]);
    assert_eq!((status, header(&headers, "content-encoding")), (200, "gzip"));
    println!("{} bytes, {} compressed", plain.len(), gzip.len());
    assert!(gzip.len() < 4_096, "{} bytes", gzip.len());
    let mut unpacked = Vec::new();
    GzDecoder::new(gzip.as_slice()).read_to_end(&mut unpacked).expect("gzip");
    assert!(unpacked == plain, "one script in both forms");
    let (_, headers, body) = fetch(&site, &[("accept-encoding", "gzip;q=0")]);
    assert!(header(&headers, "content-encoding").is_empty() && body == plain, "not to who does not take it");
}

#[test]
fn it_is_cached_and_asked_for_again_by_its_tag() {
    let site = Site::new();
    let (_, headers, _) = fetch(&site, &[]);
    assert_eq!(header(&headers, "cache-control"), "public, max-age=3600");
    assert!(header(&headers, "vary").to_lowercase().contains("accept-encoding"), "{headers:?}");
    let tag = header(&headers, "etag").to_owned();
    let (status, headers, body) = fetch(&site, &[("if-none-match", &tag), ("accept-encoding", "gzip")]);
    assert_eq!((status, header(&headers, "etag"), body.len()), (304, tag.as_str(), 0));
    assert_eq!(fetch(&site, &[("if-none-match", "W/\"other\"")]).0, 200);
}

#[test]
fn pages_of_every_origin_may_load_it() {
    let site = Site::new();
    let (_, headers, _) = fetch(&site, &[]);
    assert_eq!(header(&headers, "access-control-allow-origin"), "*", "kept by a shared cache it is good for all");
    assert_eq!(header(&headers, "cross-origin-resource-policy"), "cross-origin");
    let (status, headers, _) = fetch(&site, &[("origin", "https://shop.example")]);
    assert_eq!((status, header(&headers, "access-control-allow-origin")), (200, "https://shop.example"));
    let (status, kind, _) = site.client.problem("POST", "/sdk/mabel.js", "{}");
    assert_eq!((status, kind.as_str()), (405, "method-not-allowed"));
}
