//! TLS as clients and operators meet it: over sockets, with files that are replaced, and by the command line.

mod support;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mabel::http::Limits;
use mabel::http::tls::{Certificate, CertificateError, Files};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};
use support::server::Server;
use support::site::Site;

const ASK: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
const BOTH: &[&SupportedProtocolVersion] = &[&TLS12, &TLS13];

struct Pair {
    certificate: CertificateDer<'static>,
    pem: String,
    key: String,
}

impl Pair {
    fn new() -> Self {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).expect("made");
        Self { certificate: made.cert.der().clone(), pem: made.cert.pem(), key: made.signing_key.serialize_pem() }
    }

    fn write(&self, files: &Files) {
        std::fs::write(&files.certificate, &self.pem).expect("written");
        std::fs::write(&files.key, &self.key).expect("written");
    }
}

fn files(directory: &Path) -> Files {
    Files { certificate: directory.join("cert.pem"), key: directory.join("key.pem") }
}

fn serve(files: &Files, limits: Limits) -> Site {
    Site::secured(limits, Some(Arc::new(Certificate::open(files.clone()).expect("a pair"))))
}

fn connect(site: &Site) -> TcpStream {
    let address = site.client.base().strip_prefix("https://").expect("an address");
    let stream = TcpStream::connect(address).expect("connects");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
    stream
}

type Secured = StreamOwned<ClientConnection, TcpStream>;

/// A connection whose handshake is done, by somebody who knows these certificates and resumes nothing.
fn secure(site: &Site, known: &[&Pair], versions: &[&'static SupportedProtocolVersion]) -> Secured {
    let mut roots = RootCertStore::empty();
    known.iter().for_each(|pair| roots.add(pair.certificate.clone()).expect("a certificate"));
    let mut settings = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    settings.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let name = ServerName::try_from("localhost").expect("a name");
    let mut connection = ClientConnection::new(Arc::new(settings), name).expect("a connection");
    let mut stream = connect(site);
    while connection.is_handshaking() {
        connection.complete_io(&mut stream).expect("shakes hands");
    }
    StreamOwned::new(connection, stream)
}

#[track_caller]
fn is_answered(stream: &mut Secured) {
    stream.write_all(ASK).expect("sent");
    let mut answer = String::new();
    while !answer.ends_with('}') {
        let mut piece = [0; 1_024];
        let count = stream.read(&mut piece).expect("an answer");
        assert!(count > 0, "closed after {answer:?}");
        answer += std::str::from_utf8(&piece[..count]).expect("text");
    }
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with(r#"{"status":"ok"}"#), "{answer}");
}

fn shown(stream: &Secured) -> &CertificateDer<'static> {
    &stream.conn.peer_certificates().expect("a certificate")[0]
}

/// Everything until the server closes.
fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => bytes,
        Err(error) if error.kind() == ErrorKind::ConnectionReset => bytes,
        Err(error) => panic!("not closed: {error}"),
    }
}

#[test]
fn both_versions_are_spoken_and_http_1_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let (files, pair) = (files(directory.path()), Pair::new());
    pair.write(&files);
    std::fs::write(&files.certificate, pair.pem.clone() + &Pair::new().pem).expect("written");
    let site = serve(&files, Limits::default());
    for version in BOTH {
        let mut stream = secure(&site, &[&pair], &[version]);
        assert_eq!(stream.conn.protocol_version(), Some(version.version));
        assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]), "h2 was offered first");
        assert_eq!(shown(&stream), &pair.certificate);
        assert_eq!(stream.conn.peer_certificates().map(<[_]>::len), Some(2), "the whole chain");
        is_answered(&mut stream);
        is_answered(&mut stream);
    }
}

fn request(method: &str, path: &str, body: &str) -> Vec<u8> {
    format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// A server with an experiment of long payloads, and somebody who asks for so many decisions that no socket keeps the answer.
fn with_a_long_answer(limits: Limits) -> (tempfile::TempDir, Site, Secured) {
    let directory = tempfile::tempdir().expect("a directory");
    let (files, pair) = (files(directory.path()), Pair::new());
    pair.write(&files);
    let site = serve(&files, limits);
    let payload = "p".repeat(20_000);
    let variation = format!(r#"{{"key":"plain","payload":"{payload}"}}"#);
    let definition = format!(r#"{{"status":"running","variations":[{variation}],"goals":[{{"key":"purchase"}}]}}"#);
    let mut operator = secure(&site, &[&pair], BOTH);
    operator.write_all(&request("PUT", "/v1/experiments/hero", &definition)).expect("sent");
    let mut status = [0; 12];
    operator.read_exact(&mut status).expect("an answer");
    assert_eq!(&status, b"HTTP/1.1 201");
    let mut stream = secure(&site, &[&pair], BOTH);
    let requests = vec![r#"{"experiment":"hero"}"#; 500].join(",");
    stream.write_all(&request("POST", "/v1/decide", &format!(r#"{{"requests":[{requests}]}}"#))).expect("sent");
    (directory, site, stream)
}

#[test]
fn a_long_answer_arrives_whole_and_the_end_is_said() {
    let limits = Limits { idle: Duration::from_secs(1), ..Limits::default() };
    let (_directory, _site, mut stream) = with_a_long_answer(limits);
    let mut answer = Vec::new();
    // An end that is not said is an error here: somebody between could have cut off the rest.
    stream.read_to_end(&mut answer).expect("said");
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"));
    assert!(answer.ends_with(b"]}") && answer.len() > 10_000_000, "{} bytes", answer.len());
}

#[test]
fn who_never_reads_is_not_waited_for() {
    let limits = Limits { idle: Duration::from_secs(1), ..Limits::default() };
    let (_directory, _site, mut stream) = with_a_long_answer(limits);
    std::thread::sleep(Duration::from_secs(4));
    let mut answer = Vec::new();
    assert!(stream.read_to_end(&mut answer).is_err(), "cut off");
    assert!(answer.len() < 10_000_000, "{} bytes", answer.len());
}

#[test]
#[expect(clippy::disallowed_methods, reason = "waits for the server to look at its files")]
fn a_replaced_certificate_is_shown_to_new_connections_and_open_ones_go_on() {
    let directory = tempfile::tempdir().expect("a directory");
    let (files, old, new) = (files(directory.path()), Pair::new(), Pair::new());
    old.write(&files);
    let site = serve(&files, Limits::default());
    let mut open = secure(&site, &[&old], BOTH);
    is_answered(&mut open);
    // What is no pair changes nothing, however often it is looked at.
    std::fs::write(&files.certificate, &new.pem).expect("written");
    std::thread::sleep(Duration::from_millis(2_500));
    let mut during = secure(&site, &[&old, &new], BOTH);
    assert_eq!(shown(&during), &old.certificate);
    is_answered(&mut during);
    std::fs::write(&files.key, &new.key).expect("written");
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut after = loop {
        let stream = secure(&site, &[&old, &new], BOTH);
        if shown(&stream) == &new.certificate {
            break stream;
        }
        assert!(Instant::now() < deadline, "the new certificate is never shown");
        std::thread::sleep(Duration::from_millis(50));
    };
    is_answered(&mut after);
    is_answered(&mut open);
    assert_eq!(shown(&open), &old.certificate);
}

#[test]
fn what_is_no_tls_is_hung_up_on_and_others_are_served() {
    let directory = tempfile::tempdir().expect("a directory");
    let (files, pair) = (files(directory.path()), Pair::new());
    pair.write(&files);
    let site = serve(&files, Limits { handshake: Duration::from_secs(6), ..Limits::default() });
    // More than the library lets shake hands at once, were it not told otherwise; all of them silent.
    let mut silent: Vec<TcpStream> = (0..260).map(|_| connect(&site)).collect();
    is_answered(&mut secure(&site, &[&pair], BOTH));
    assert!(
        matches!(silent[0].set_nonblocking(true).and_then(|()| silent[0].read(&mut [0])),
        Err(error) if error.kind() == ErrorKind::WouldBlock),
        "the others are still waited for"
    );
    silent[0].set_nonblocking(false).expect("set");
    for bytes in [ASK, b"\x16\x03\x01\xff\xff", b"\x16\x03\x01\x00\x04\x01\x00\x00\x00", &[0; 4_096]] {
        let mut stream = connect(&site);
        stream.write_all(bytes).expect("sent");
        let answer = rest(&mut stream);
        assert!(!answer.starts_with(b"HTTP") && answer.len() < 20, "{answer:?}");
    }
    silent.iter_mut().for_each(|stream| assert!(rest(stream).is_empty(), "there is a time for a handshake"));
    is_answered(&mut secure(&site, &[&pair], BOTH));
}

#[test]
fn what_is_no_pair_is_refused_by_name() {
    let directory = tempfile::tempdir().expect("a directory");
    let files = files(directory.path());
    let Pair { pem: certificate, key, .. } = Pair::new();
    let other = Pair::new().pem;
    let cut = |text: &str| text.lines().take(3).collect::<Vec<_>>().join("\n");
    let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let no_certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let no_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let no_base64 = "-----BEGIN PRIVATE KEY-----\n!secret\n-----END PRIVATE KEY-----\n";
    for (certificate, key, parts) in [
        ("", &*key, ["cert.pem", "no certificate", "in PEM"]),
        (&key, &key, ["cert.pem", "no certificate", "first"]),
        (&cut(&certificate), &key, ["cert.pem", "no END line", "first"]),
        (no_certificate, &key, ["cert.pem", "certificate 1 of 1", "first"]),
        (&format!("{certificate}{no_certificate}"), &key, ["cert.pem", "certificate 2 of 2", "first"]),
        (&certificate, "", ["key.pem", "no private key", "PKCS #8"]),
        (&certificate, &certificate, ["key.pem", "no private key", "PKCS #8"]),
        (&certificate, &encrypted, ["key.pem", "no private key", "not encrypted"]),
        (&certificate, &cut(&key), ["key.pem", "no END line", "PKCS #8"]),
        (&certificate, no_key, ["key.pem", "PKCS #8", "allowed"]),
        (&certificate, no_base64, ["key.pem", "not base64", "PKCS #8"]),
        (&other, &key, ["cert.pem", "key.pem", "does not belong"]),
        (&format!("{other}{certificate}"), &key, ["cert.pem", "key.pem", "comes first"]),
    ] {
        std::fs::write(&files.certificate, certificate).expect("written");
        std::fs::write(&files.key, key).expect("written");
        let error = Certificate::open(files.clone()).expect_err("refused").to_string();
        for part in parts {
            assert!(error.contains(part), "{part} is missing in: {error}");
        }
        assert!(!error.contains("secret") && key.lines().nth(1).is_none_or(|line| !error.contains(line)), "{error}");
    }
    std::fs::write(&files.certificate, &certificate).expect("written");
    std::fs::remove_file(&files.key).expect("removed");
    let error = Certificate::open(files.clone()).expect_err("refused").to_string();
    assert!(error.contains("key.pem") && error.contains("No such file"), "{error}");
    std::fs::create_dir(&files.key).expect("made");
    let error = Certificate::open(files).expect_err("refused").to_string();
    assert!(error.contains("key.pem") && error.contains("is not a file"), "{error}");
}

#[test]
fn a_pair_that_is_of_no_use_is_told_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let (files, old, new) = (files(directory.path()), Pair::new(), Pair::new());
    old.write(&files);
    let certificate = Certificate::open(files.clone()).expect("a pair");
    assert_eq!(certificate.refresh(), Ok(false));
    std::fs::write(&files.certificate, &new.pem).expect("written");
    assert!(matches!(certificate.refresh(), Err(CertificateError::Mismatch { .. })));
    assert_eq!(certificate.refresh(), Ok(false));
    std::fs::remove_file(&files.key).expect("removed");
    assert!(matches!(certificate.refresh(), Err(CertificateError::Key { .. })));
    assert_eq!(certificate.refresh(), Ok(false));
    std::fs::write(&files.key, &new.key).expect("written");
    assert_eq!(certificate.refresh(), Ok(true));
    assert_eq!(certificate.refresh(), Ok(false));
}

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mabel")).args(arguments).output().expect("the binary runs")
}

#[track_caller]
fn refused(arguments: &[&str], parts: &[&str]) {
    let output = run(arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for part in parts {
        assert!(said.contains(part), "{part} is missing in: {said}");
    }
}

#[test]
fn no_start_without_a_pair() {
    let directory = tempfile::tempdir().expect("a directory");
    let (files, pair) = (files(directory.path()), Pair::new());
    pair.write(&files);
    let (certificate, key) = (files.certificate.to_str().expect("text"), files.key.to_str().expect("text"));
    let serve = ["serve", "--listen", "127.0.0.1:0", "--store", "memory"];
    let with = |arguments: &[&'static str]| [&serve[..], arguments].concat();
    refused(&with(&["--tls-cert", "nowhere.pem"]), &["tls_key", "together with tls_cert"]);
    refused(&with(&["--tls-key", "nowhere.pem"]), &["tls_cert", "together with tls_key"]);
    let pair = |certificate, key| [&serve[..], &["--tls-cert", certificate, "--tls-key", key]].concat();
    refused(&pair("nowhere.pem", key), &["nowhere.pem", "No such file"]);
    refused(&pair(certificate, "nowhere.pem"), &["nowhere.pem", "No such file"]);
    refused(&pair(certificate, certificate), &["cert.pem", "no private key"]);
    std::fs::write(&files.certificate, Pair::new().pem).expect("written");
    refused(&pair(certificate, key), &["cert.pem", "key.pem", "does not belong"]);
}

#[test]
fn commands_speak_to_a_server_they_know() {
    let directory = tempfile::tempdir().expect("a directory");
    let (files, pair) = (files(directory.path()), Pair::new());
    pair.write(&files);
    let (certificate, key) = (files.certificate.to_str().expect("text"), files.key.to_str().expect("text"));
    let server = Server::start(&["--store", "memory", "--tls-cert", certificate, "--tls-key", key]);
    let base = server.client.base();
    assert!(base.starts_with("https://127.0.0.1:"), "{base}");
    let list = ["experiment", "list", "--server", base];
    let output = run(&[&list[..], &["--ca", certificate]].concat());
    assert!(String::from_utf8_lossy(&output.stdout).contains("no experiments yet"), "{output:?}");
    let output = run(&["keys", "list", "--server", base, "--ca", certificate]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("no keys yet"), "{output:?}");
    let other = directory.path().join("other.pem");
    std::fs::write(&other, Pair::new().pem).expect("written");
    let other = other.to_str().expect("text");
    refused(&[&list[..], &["--ca", other]].concat(), &[base, "certificate", "--ca"]);
    refused(&[&list[..], &["--ca", key]].concat(), &["ca = ", "no certificate"]);
    refused(&[&list[..], &["--ca", "nowhere.pem"]].concat(), &["ca = ", "nowhere.pem", "No such file"]);
    let plain = base.replace("https://", "http://");
    refused(&["experiment", "list", "--server", &plain], &[&plain]);
}
