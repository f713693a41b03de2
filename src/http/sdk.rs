//! `GET /sdk/mabel.js`: the client of pages. Read once, compressed once, the same for everybody.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Write as _;
use std::sync::LazyLock;

use actix_web::http::header::{
    ACCEPT_ENCODING, ACCESS_CONTROL_ALLOW_ORIGIN, AcceptEncoding, CACHE_CONTROL, CONTENT_ENCODING, ETag, Encoding,
    EntityTag, Header as _, IfNoneMatch, VARY, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use flate2::Compression;
use flate2::write::GzEncoder;

/// As it is written.
const SOURCE: &str = include_str!("sdk/mabel.js");

/// As it is sent.
struct Script {
    plain: Bytes,
    gzip: Bytes,
    /// Weak, as it stands for both.
    tag: EntityTag,
}

static SCRIPT: LazyLock<Script> = LazyLock::new(|| {
    let plain = stripped(SOURCE);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let gzip = encoder.write_all(plain.as_bytes()).and_then(|()| encoder.finish());
    let mut hasher = DefaultHasher::new();
    plain.hash(&mut hasher);
    Script {
        tag: EntityTag::new_weak(format!("{:016x}", hasher.finish())),
        gzip: gzip.expect("memory takes every write").into(),
        plain: plain.into(),
    }
});

/// Without indentation, blank lines and lines of comments. Sound where no text of the source goes over several lines.
fn stripped(source: &str) -> String {
    let lines = source.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with("//"));
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// The client of pages
///
/// Stripped of comments, and compressed for whoever takes that.
#[utoipa::path(
    get, path = "/sdk/mabel.js", tag = "operations", operation_id = "getScript",
    params(("if-none-match" = Option<String>, Header, description = "The `ETag` of what is there already")),
    responses(
        (status = 200, description = "The script", body = String, content_type = "text/javascript"),
        (status = 304, description = "It is still the same"),
    ),
)]
pub(crate) async fn script(request: HttpRequest) -> HttpResponse {
    let Script { plain, gzip, tag } = &*SCRIPT;
    if is_known(&request, tag) {
        return described(&mut HttpResponse::NotModified(), tag).finish();
    }
    let mut response = HttpResponse::Ok();
    let response = described(&mut response, tag).content_type("text/javascript; charset=utf-8");
    if takes_gzip(&request) {
        return response.insert_header((CONTENT_ENCODING, "gzip")).body(gzip.clone());
    }
    response.body(plain.clone())
}

/// Pages of every origin may load it, also under `crossorigin` and isolation; what a shared cache keeps is good for all of them.
fn described<'r>(response: &'r mut HttpResponseBuilder, tag: &EntityTag) -> &'r mut HttpResponseBuilder {
    response
        .insert_header(ETag(tag.clone()))
        .insert_header((CACHE_CONTROL, "public, max-age=3600"))
        .insert_header((VARY, ACCEPT_ENCODING.as_str()))
        .insert_header((ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
        .insert_header(("cross-origin-resource-policy", "cross-origin"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
}

fn is_known(request: &HttpRequest, tag: &EntityTag) -> bool {
    match IfNoneMatch::parse(request) {
        Ok(IfNoneMatch::Any) => true,
        Ok(IfNoneMatch::Items(known)) => known.iter().any(|known| known.weak_eq(tag)),
        Err(_) => false,
    }
}

/// What says nothing of encodings gets none.
fn takes_gzip(request: &HttpRequest) -> bool {
    let supported = [Encoding::gzip(), Encoding::identity()];
    request.headers().contains_key(ACCEPT_ENCODING)
        && AcceptEncoding::parse(request)
            .is_ok_and(|accepted| accepted.negotiate(supported.iter()) == Some(Encoding::gzip()))
}

#[cfg(test)]
mod tests {
    use crate::http::sdk::{SOURCE, stripped};

    /// What is stripped line by line must not have texts over several lines.
    #[test]
    fn every_text_and_comment_ends_on_its_line() {
        for line in SOURCE.lines().filter(|line| !line.trim_start().starts_with("//")) {
            assert!(line.matches('`').count() % 2 == 0 && !line.contains("/*") && !line.ends_with('\\'), "{line}");
        }
        assert_eq!(stripped("a;\n\n  // why\n  b; // c\n"), "a;\nb; // c\n");
    }

    /// What a strict Content-Security-Policy refuses, and what would make markup or code of a payload.
    #[test]
    fn nothing_is_evaluated_and_no_markup_is_made() {
        let refused =
            ["eval(", "Function(", "HTML", "document.write", ".style", "createElement", "import(", "setTimeout(\""];
        let code = stripped(SOURCE);
        for word in refused {
            assert!(!code.contains(word), "{word}");
        }
    }
}
