//! The architecture, checked: which layer may name which, where each outside crate may appear, and how long a file may be.
//!
//! A plain search over the sources, so that a failure is a line to look at. Every rule is a function of a source, and the
//! last part of this file shows each of them failing.

use std::fmt;
use std::fs;
use std::path::Path;

/// Layers from the bottom up, each with the layers its production code may name. Tests may name any layer further up in
/// this list.
const LAYERS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("posterior", &["domain"]),
    ("targeting", &["domain"]),
    ("policy", &["domain", "posterior"]),
    ("report", &["domain", "posterior", "policy"]),
    ("engine", &["domain", "posterior", "targeting", "policy"]),
    ("access", &["domain"]),
    ("store", &["domain", "posterior", "policy", "engine"]),
    ("service", &["domain", "posterior", "policy", "report", "engine", "store"]),
    ("http", &["domain", "policy", "report", "engine", "access", "service"]),
];

/// Parts of the binary, which see the library from outside, as `mabel::…`, each with the parts it may name.
const BINARY: &[(&str, &[&str])] = &[
    ("simulations", &[]),
    ("telemetry", &[]),
    ("config", &["telemetry"]),
    ("cli", &["config", "telemetry", "simulations"]),
    ("main", &["cli", "config", "telemetry", "simulations"]),
];

/// An outside crate, the places where production code or tests may name it, and why there.
struct Outside {
    name: &'static str,
    /// Path without `.rs`: the file and the directory of that name.
    places: &'static [&'static str],
    reason: &'static str,
}

const fn outside(name: &'static str, places: &'static [&'static str], reason: &'static str) -> Outside {
    Outside { name, places, reason }
}

const EVERYWHERE: &[&str] = &["src", "simulations"];
/// Where tests stand beside the code: allowed for what is under `[dev-dependencies]`.
const IN_TESTS: &[&str] = &["(tests)"];
const TERMINAL: &[&str] = &["src/cli", "src/config", "src/main", "simulations"];
const WIRE: &[&str] = &["src/http", "src/cli", "src/config", "simulations", "src/access/file"];
const OTLP: &[&str] = &["src/telemetry/otlp"];
const FRONT_WHY: &str = "what stands in front of the framework's router";
const OTLP_WHY: &str = "how spans are written and sent is known in one place";
const DRAWN: &[&str] = &["src/posterior", "src/policy", "src/cli", "simulations"];

/// Every dependency of Cargo.toml, in its order.
const OUTSIDE: &[Outside] = &[
    outside("actix-web", &["src/http"], "the web framework can be exchanged: use cases live in service"),
    outside("actix-http", &["src/http/front", "src/http/direct", "src/http/listen", "src/http/gate/tests"], FRONT_WHY),
    outside("actix-server", &["src/http/listen"], "connections are taken in one place"),
    outside(
        "actix-service",
        &["src/http/front", "src/http/direct", "src/http/listen", "src/http/gate/tests"],
        FRONT_WHY,
    ),
    outside("actix-tls", &["src/http/listen"], "connections are taken in one place"),
    outside(
        "arc-swap",
        &["src/engine", "src/access", "src/service", "src/http/tls"],
        "readers of allocations, definitions, keys and the certificate take no lock",
    ),
    outside("base64-simd", &["src/engine/receipt"], "one file makes and opens receipts"),
    outside("bincode", &["src/store/record"], "the stored form is known to its mirrors alone, and can change"),
    outside(
        "blake3",
        &["src/engine", "src/access", "src/store"],
        "ids of allocations, keys derived from the secret, hashes of API keys, the journal's chain",
    ),
    outside(
        "cel",
        &["src/targeting/condition"],
        "the language of conditions can be exchanged, and is bounded, in one file",
    ),
    outside("clap", TERMINAL, "a library has no command line"),
    outside("crossbeam-channel", &["src/service"], "the queues between request threads and the committer"),
    outside("ctrlc", TERMINAL, "only a command decides what an interrupt means"),
    outside("csv", &["simulations", "src/cli"], "logs are read by simulations alone"),
    outside("dashmap", &["src/engine/table"], "its guards deadlock if they escape: one file keeps them in"),
    outside(
        "flate2",
        &["simulations", "src/cli", "src/http/sdk"],
        "logs are read by simulations alone; the script of pages is compressed once",
    ),
    outside(
        "foldhash",
        &["src/engine/table", "src/engine/settings", "src/service/ledger", "src/service/sample_ratio"],
        "the hash of what every decision and every reward looks up",
    ),
    outside(
        "futures-util",
        &[
            "src/http/lines",
            "src/http/events",
            "src/http/body",
            "src/http/front",
            "src/http/direct",
            "src/service/committer/queue",
        ],
        "bodies that are read as they come, one that is written as it is read, the futures of what is in front of the router, and a commit that \
         several wait for",
    ),
    outside(
        "getrandom",
        &["src/cli", "src/config", "src/access/keys"],
        "randomness of the system enters once, as a secret and a seed; and API keys are made of it",
    ),
    outside("governor", &["src/access/rate"], "how often, in one place"),
    outside("httparse", &["src/http/direct/request"], "heads are parsed in one place"),
    outside("indicatif", &["simulations", "src/cli"], "a library prints nothing"),
    outside("ipnet", &["src/access", "src/config"], "which proxies say whose request it is"),
    outside(
        "jiff",
        &["src/http", "src/cli", "src/config", "simulations"],
        "calendar time is a way to write: inside, time is milliseconds",
    ),
    outside("libc", &["src/store/journaled/medium"], "flags of one system; nothing else of it is needed"),
    outside("mimalloc", &["src/main"], "a process chooses its allocator, a library does not"),
    outside("opentelemetry", OTLP, OTLP_WHY),
    outside("opentelemetry-http", OTLP, OTLP_WHY),
    outside("opentelemetry-otlp", OTLP, OTLP_WHY),
    outside("opentelemetry_sdk", OTLP, OTLP_WHY),
    outside("plotters", &["simulations", "src/cli"], "a server draws nothing"),
    outside("prometheus-client", &["src/http/metrics"], "how metrics are written is known in one place"),
    outside("quick_cache", &["src/service/visitors"], "what visitors stay with is cached in one place, and bounded"),
    outside("rand", DRAWN, "generators are passed in; the engine draws by a keyed hash"),
    outside("rand_distr", DRAWN, "distributions under our own samplers, and worlds to simulate"),
    outside("rayon", &["simulations", "src/cli"], "a server's threads are few and named"),
    outside("redb", &["src/store/redb"], "what was found about redb is handled in one place, and it can be exchanged"),
    outside(
        "ring",
        &["src/engine/receipt", "src/http/tls", "src/cli/trust"],
        "one file makes and opens receipts; rustls is told to encrypt with it in one file for each side",
    ),
    outside("rustls", &["src/http/tls", "src/cli/trust"], "who proves to be whom, in one file for each side"),
    outside("rustls-native-certs", &["src/cli/trust"], "whom a command trusts"),
    outside(
        "serde",
        WIRE,
        "the core is not serialisable: wire types stay at the border, stored types are bincode mirrors",
    ),
    outside("serde_json", WIRE, "JSON is a way to write, not a way to think"),
    outside("serde_path_to_error", WIRE, "which field of a body does not parse, for people"),
    outside(
        "siphasher",
        &["src/engine/secret", "src/service/entropy"],
        "the keyed hash that draws, and ids nobody chose",
    ),
    outside("sled", &["src/store/disk"], "what was found about sled is handled in one place, and it can be exchanged"),
    outside("smol_str", &["src/domain/id"], "texts of ids, whatever holds them"),
    outside("statrs", &["src/posterior", "src/policy", "src/report"], "special functions are mathematics"),
    outside("thiserror", EVERYWHERE, "every layer has its errors"),
    outside(
        "tokio",
        &["src/service", "src/http", "src/cli"],
        "nothing below the service waits: engine and store are plain code",
    ),
    outside("toml", TERMINAL, "definitions, scenarios and settings in files"),
    outside(
        "tracing",
        &["src/store", "src/service", "src/http", "src/telemetry", "src/cli", "src/main", "simulations"],
        "what is pure has nothing to log",
    ),
    outside(
        "tracing-subscriber",
        &["src/telemetry", "src/cli", "src/main"],
        "a process chooses where logs go, a library does not",
    ),
    outside("utoipa", &["src/http"], "the document describes the wire, which is known to http alone"),
    outside(
        "ureq",
        &["src/cli", "src/config", "src/main", "src/telemetry/otlp", "simulations"],
        "the client of commands; a server calls nobody but a collector of spans",
    ),
    outside("jsonschema", IN_TESTS, "answers against the schemas that describe them"),
    outside("criterion", IN_TESTS, "benchmarks"),
    outside("proptest", IN_TESTS, "laws as properties"),
    outside("rcgen", IN_TESTS, "certificates"),
    outside("shuttle", IN_TESTS, "interleavings of threads by a seed"),
    outside("tempfile", IN_TESTS, "directories that vanish after a test"),
];

/// Longest production part of a file, in lines.
const MAX_LINES: usize = 400;

/// One source file.
struct Source {
    /// From the root of the repository, with `/`.
    path: String,
    text: String,
    /// Whether all of it is test code.
    test: bool,
}

/// What is wrong where, and what to write instead.
#[derive(Debug, Clone)]
struct Offence {
    path: String,
    line: usize,
    message: String,
}

impl fmt::Display for Offence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

impl Source {
    fn offence(&self, line: usize, message: String) -> Offence {
        Offence { path: self.path.clone(), line, message }
    }

    /// The layer or part of the binary it belongs to; nothing for `lib.rs`, which names all.
    fn part(&self) -> Option<&str> {
        let rest = self.path.strip_prefix("src/").unwrap_or(&self.path);
        let part = rest.split('/').next()?.trim_end_matches(".rs");
        (part != "lib").then_some(part)
    }

    /// Lines before the tests: all of them but for a module of tests at the end.
    fn production_lines(&self) -> usize {
        if self.test {
            return 0;
        }
        let lines: Vec<&str> = self.text.lines().collect();
        let Some(tail) = lines.iter().rposition(|line| *line == "#[cfg(test)]") else { return lines.len() };
        let opens = lines[tail + 1..].iter().find(|line| !line.starts_with("#["));
        let inline = opens.is_some_and(|line| line.starts_with("mod ") && line.ends_with('{'));
        // The first line at the margin that closes something closes the module; after it nothing may follow.
        let closes = lines[tail..].iter().position(|line| *line == "}").map(|at| tail + at + 1);
        if inline && closes == Some(lines.len()) { tail } else { lines.len() }
    }

    /// Numbered lines without comments, each with whether it is test code.
    fn code(&self) -> impl Iterator<Item = (usize, &str, bool)> {
        let production = self.production_lines();
        self.text.lines().enumerate().map(move |(index, line)| (index + 1, without_comment(line), index >= production))
    }
}

/// A line up to a `//` that is not inside quotes.
fn without_comment(line: &str) -> &str {
    let end = line.match_indices("//").map(|(at, _)| at).find(|at| {
        let quotes = line[..*at].replace("\\\"", "").matches('"').count();
        quotes.is_multiple_of(2)
    });
    &line[..end.unwrap_or(line.len())]
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// What follows `prefix` as one word, wherever `prefix` begins a path.
fn words_after<'a>(line: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    line.match_indices(prefix).filter(|(at, _)| !line[..*at].ends_with(is_word)).map(move |(at, _)| {
        let rest = &line[at + prefix.len()..];
        &rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())]
    })
}

/// Whether a line names an outside crate: `name::` at the beginning of a path, or `use name` as a whole.
fn names_crate(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + name.len()..]);
        let whole = before.ends_with("use ") && (after.starts_with(';') || after.starts_with(" as "));
        // `a::name` is somebody else's, `::name` is the crate.
        let before = before.strip_suffix("::").unwrap_or(before);
        whole || after.starts_with("::") && !before.ends_with(|c| is_word(c) || c == '>')
    })
}

/// Layers point down, and the binary sees the library from outside.
fn check_layers(source: &Source) -> Vec<Offence> {
    let Some(part) = source.part() else { return Vec::new() };
    let mut offences = Vec::new();
    let rank = LAYERS.iter().position(|(name, _)| *name == part);
    let row = LAYERS.iter().chain(BINARY).find(|(name, _)| *name == part);
    let Some((_, may_name)) = row else {
        let message = format!("{part:?} is no layer: put the file into one, or give it a row in LAYERS or BINARY");
        return vec![source.offence(1, message)];
    };
    for (line, code, test) in source.code() {
        for named in words_after(code, "crate::") {
            let target = LAYERS.iter().position(|(name, _)| *name == named);
            let below = test && target.zip(rank).is_some_and(|(target, rank)| target < rank);
            if named == part || may_name.contains(&named) || below {
                continue;
            }
            let message = match (target, rank) {
                (Some(_), None) => {
                    format!("`crate::{named}` is not in this crate: write `mabel::{named}::…`")
                }
                (Some(_), Some(_)) => format!(
                    "{part} must not name `crate::{named}`, it may name {}: pass in what is needed, or move it down",
                    list(may_name)
                ),
                (None, _) if BINARY.iter().any(|(name, _)| *name == named) => {
                    format!("{part} must not name `crate::{named}`: it may name {}", list(may_name))
                }
                (None, _) => format!("`crate::{named}` names no layer: write `crate::<layer>::{named}`"),
            };
            offences.push(source.offence(line, message));
        }
        if rank.is_some() && code.contains("mabel::") {
            offences.push(source.offence(line, "the library does not name itself: write `crate::<layer>::…`".into()));
        }
    }
    offences
}

/// Imports can be searched for: no path that hides where it leads.
fn check_paths(source: &Source) -> Vec<Offence> {
    let part = source.part();
    let root = part.is_some_and(|part| [format!("src/{part}.rs"), format!("src/{part}/mod.rs")].contains(&source.path));
    let mut offences = Vec::new();
    for (line, code, _) in source.code() {
        if code.contains("super::super") {
            let message = "`super::super` hides which layer is meant: write `crate::<layer>::…`".to_owned();
            offences.push(source.offence(line, message));
        }
        if code.contains("crate::{") || code.contains("crate::*") {
            let message = "write one `use crate::<layer>::…` a line, so that a search finds each".to_owned();
            offences.push(source.offence(line, message));
        }
        let escapes = words_after(code, "super::").find(|word| LAYERS.iter().any(|(name, _)| name == word));
        if let Some(layer) = escapes.filter(|_| root) {
            let message = format!("`super::{layer}` leaves the layer: write `crate::<layer>::…`");
            offences.push(source.offence(line, message));
        }
    }
    offences
}

/// Outside crates appear where the table says.
fn check_crates(source: &Source, table: &[Outside]) -> Vec<Offence> {
    let mut offences = Vec::new();
    for (line, code, test) in source.code() {
        for Outside { name, places, reason } in table {
            let allowed = places.iter().any(|place| stands_in(&source.path, place)) || (test && *places == IN_TESTS);
            if !allowed && names_crate(code, &name.replace('-', "_")) {
                let message = format!("`{name}` belongs in {}, and nowhere else: {reason}", list(places));
                offences.push(source.offence(line, message));
            }
        }
    }
    offences
}

fn stands_in(path: &str, place: &str) -> bool {
    path.strip_prefix(place).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

fn list(names: &[&str]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

/// A file is read in one sitting.
fn check_length(source: &Source) -> Vec<Offence> {
    let lines = source.production_lines();
    if lines <= MAX_LINES {
        return Vec::new();
    }
    let message = format!(
        "{lines} lines of production code, at most {MAX_LINES}: move what can be named by itself into a file of its own"
    );
    vec![source.offence(MAX_LINES + 1, message)]
}

/// Every dependency has its reason in Cargo.toml, on a comment line of its own, and its places in the table; and the table
/// names nothing that is gone.
fn check_dependencies(manifest: &Source, table: &[Outside]) -> Vec<Offence> {
    let mut offences = Vec::new();
    let mut known = Vec::new();
    let (mut inside, mut above) = (false, "");
    for (index, line) in manifest.text.lines().enumerate() {
        let trimmed = line.trim();
        if trimmed.starts_with('[') && !line.starts_with(' ') {
            inside = ["[dependencies]", "[dev-dependencies]", "[build-dependencies]"].contains(&trimmed);
            if !inside && trimmed.contains("dependencies") {
                let message = "write it as one line under [dependencies], where its reason is looked for".to_owned();
                offences.push(manifest.offence(index + 1, message));
            }
        } else if let Some((name, _)) = trimmed.split_once('=').filter(|_| inside && line.starts_with(is_word)) {
            let name = name.trim();
            known.push(name);
            if !above.starts_with("# ") {
                let message = format!("`{name}` has no reason: say on a comment line above it why it is needed");
                offences.push(manifest.offence(index + 1, message));
            }
            if !table.iter().any(|entry| entry.name == name && !entry.reason.is_empty()) {
                let message = format!(
                    "`{name}` is not in the table OUTSIDE of tests/architecture.rs: say there where it may appear, and why"
                );
                offences.push(manifest.offence(index + 1, message));
            }
        }
        above = trimmed;
    }
    for entry in table.iter().filter(|entry| !known.contains(&entry.name)) {
        let message = format!("`{}` is no dependency any more: take it out of OUTSIDE", entry.name);
        offences.push(manifest.offence(1, message));
    }
    offences
}

fn check(source: &Source) -> Vec<Offence> {
    [check_layers(source), check_paths(source), check_crates(source, OUTSIDE), check_length(source)].concat()
}

/// All sources below a directory of the repository, in order of their paths.
fn sources(directory: &str) -> Vec<Source> {
    let mut found = Vec::new();
    collect(Path::new(env!("CARGO_MANIFEST_DIR")), directory, &mut found);
    let test_files: Vec<String> = found.iter().flat_map(test_modules).collect();
    for source in &mut found {
        // What stands in the directory of a module for tests belongs to it.
        let within = |file: &String| source.path == *file || source.path.starts_with(&file.replace(".rs", "/"));
        source.test |= test_files.iter().any(within);
    }
    found
}

fn collect(root: &Path, directory: &str, found: &mut Vec<Source>) {
    let Ok(entries) = fs::read_dir(root.join(directory)) else { return };
    let entries = entries.map(|entry| entry.expect("a directory can be listed"));
    let mut names: Vec<String> = entries.map(|e| e.file_name().into_string().expect("names are UTF-8")).collect();
    names.sort();
    for name in names {
        let path = format!("{directory}/{name}");
        if root.join(&path).is_dir() {
            collect(root, &path, found);
        } else if name.ends_with(".rs") {
            let text = fs::read_to_string(root.join(&path)).expect("a source can be read");
            let test = name == "tests.rs" || path.contains("/tests/");
            found.push(Source { path, text, test });
        }
    }
}

/// Files of modules that a source declares for tests alone: `#[cfg(test)] mod name;`.
fn test_modules(source: &Source) -> Vec<String> {
    let lines: Vec<&str> = source.text.lines().collect();
    let directory = source.path.trim_end_matches(".rs").trim_end_matches("/mod").to_owned();
    lines
        .windows(2)
        .filter(|pair| pair[0] == "#[cfg(test)]")
        .filter_map(|pair| pair[1].strip_suffix(';')?.split("mod ").nth(1))
        .map(|name| format!("{directory}/{name}.rs"))
        .collect()
}

fn expect_none(offences: &[Offence]) {
    let lines: Vec<String> = offences.iter().map(Offence::to_string).collect();
    assert!(lines.is_empty(), "{} offences against the architecture:\n{}", lines.len(), lines.join("\n"));
}

#[test]
fn sources_keep_to_their_layers_crates_and_lengths() {
    let all: Vec<Source> = ["src", "simulations"].into_iter().flat_map(sources).collect();
    assert!(all.len() > 50, "only {} sources were found: the search looks in the wrong place", all.len());
    expect_none(&all.iter().flat_map(check).collect::<Vec<_>>());
}

#[test]
fn every_dependency_has_a_reason_and_a_place() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let text = fs::read_to_string(path).expect("Cargo.toml can be read");
    expect_none(&check_dependencies(&Source { path: "Cargo.toml".into(), text, test: false }, OUTSIDE));
}

#[test]
fn layers_may_name_only_what_stands_above_them_in_the_list() {
    for (rank, (layer, may_name)) in LAYERS.iter().enumerate() {
        for named in *may_name {
            let below = LAYERS.iter().position(|(name, _)| name == named);
            assert!(below.is_some_and(|below| below < rank), "{layer} may name {named}, which is not below it");
        }
    }
}

mod rules_fail_when_they_should {
    //! Each rule on a small text that breaks it, and on one beside it that does not.

    use super::*;

    fn source(path: &str, text: &str) -> Source {
        let test = path.ends_with("/tests.rs");
        Source { path: path.to_owned(), text: text.to_owned(), test }
    }

    /// The offence's line and a word of its message, or nothing.
    #[track_caller]
    fn expect(offences: &[Offence], expected: Option<(usize, &str)>) {
        match (offences, expected) {
            ([], None) => {}
            ([offence], Some((line, word))) => {
                assert_eq!(offence.line, line, "{offence}");
                assert!(offence.message.contains(word), "{offence}");
            }
            (offences, expected) => panic!("expected {expected:?}, found {offences:?}"),
        }
    }

    #[test]
    fn an_import_points_down() {
        for (path, text, expected) in [
            ("src/domain/id.rs", "//! Ids.\n\nuse crate::engine::Engine;", Some((3, "domain must not name"))),
            ("src/engine/apply.rs", "fn f(_: crate::store::Block) {}", Some((1, "crate::store"))),
            ("src/posterior/beta.rs", "use crate::targeting::Verdict;", Some((1, "crate::targeting"))),
            ("src/engine/tests.rs", "use crate::service::Service;", Some((1, "crate::service"))),
            (
                "src/store/disk.rs",
                "fn f() {}\n#[cfg(test)]\nmod tests {\n    use crate::http::App;\n}",
                Some((4, "http")),
            ),
            ("src/engine/apply.rs", "use crate::Engine;", Some((1, "names no layer"))),
            ("src/engine/apply.rs", "use mabel::domain::Slot;", Some((1, "does not name itself"))),
            ("src/surprise/mod.rs", "//! New.", Some((1, "is no layer"))),
            ("src/engine/apply.rs", "use crate::domain::Slot;\nuse crate::engine::Engine;", None),
            ("src/engine/apply.rs", "// Not crate::store: a store knows the engine.", None),
            ("src/http/tests.rs", "use crate::store::memory::MemoryStore;", None),
        ] {
            expect(&check_layers(&source(path, text)), expected);
        }
    }

    #[test]
    fn the_binary_sees_the_library_from_outside() {
        for (path, text, expected) in [
            ("src/cli/serve.rs", "use crate::engine::Engine;", Some((1, "write `mabel::engine::…`"))),
            ("simulations/world.rs", "use crate::policy::Arm;", Some((1, "write `mabel::policy::…`"))),
            ("simulations/world.rs", "use crate::cli::exit::Failure;", Some((1, "crate::cli"))),
            ("src/main.rs", "use crate::service::Service;", Some((1, "write `mabel::service::…`"))),
            ("src/cli/serve.rs", "use mabel::engine::Engine;\nuse crate::config::Config;", None),
            ("simulations/world.rs", "use mabel::policy::Arm;\nuse crate::simulations::scenario;", None),
        ] {
            expect(&check_layers(&source(path, text)), expected);
        }
    }

    #[test]
    fn a_path_shows_where_it_leads() {
        for (path, text, expected) in [
            ("src/policy/best_arm/grid.rs", "use super::super::Arm;", Some((1, "super::super"))),
            ("src/engine/apply.rs", "\nuse crate::{domain::Slot, policy::Arm};", Some((2, "one `use"))),
            ("src/engine/mod.rs", "use super::store::Block;", Some((1, "leaves the layer"))),
            ("src/policy/best_arm.rs", "use super::Arm;", None),
        ] {
            expect(&check_paths(&source(path, text)), expected);
        }
    }

    #[test]
    fn an_outside_crate_stays_in_its_place() {
        for (path, text, expected) in [
            ("src/service/mod.rs", "use actix_web::HttpResponse;", Some((1, "src/http"))),
            ("src/store/memory.rs", "fn f(_: ::sled::Db) {}", Some((1, "src/store/disk"))),
            ("src/domain/id.rs", "\n#[derive(serde::Serialize)]", Some((2, "not serialisable"))),
            ("src/engine/table_of_contents.rs", "use dashmap::DashMap;", Some((1, "src/engine/table"))),
            ("src/engine/segment.rs", "use tokio as runtime;", Some((1, "tokio"))),
            ("src/store/disk.rs", "use tempfile::TempDir;", Some((1, "(tests)"))),
            ("src/store/disk/tests.rs", "use tempfile::TempDir;", None),
            ("src/store/disk/open.rs", "use sled::Db;", None),
            ("src/http/decide.rs", "use actix_web::web;\nuse serde::Serialize;", None),
            ("src/targeting/segmentation.rs", "let excel = parcel::wrap(own::cel::parse);", None),
            ("src/engine/segment.rs", "//! Unlike sled::Tree.\nlet x = 1; // tokio::sync would wait", None),
        ] {
            expect(&check_crates(&source(path, text), OUTSIDE), expected);
        }
    }

    #[test]
    fn a_file_has_at_most_400_lines_before_its_tests() {
        let lines = |count: usize| "// One.\n".repeat(count);
        let tests = "#[cfg(test)]\nmod tests {\n    // One.\n}\n";
        for (path, text, expected) in [
            ("src/engine/apply.rs", lines(401), Some((401, "401 lines"))),
            ("src/engine/apply.rs", lines(400) + "#[cfg(test)]\nmod tests;\n", Some((401, "402 lines"))),
            ("src/engine/apply.rs", lines(399) + tests + "// More.\n", Some((401, "404 lines"))),
            ("simulations/world.rs", lines(401), Some((401, "401 lines"))),
            ("src/engine/apply.rs", lines(400), None),
            ("src/engine/apply.rs", lines(400) + tests, None),
            ("src/engine/tests.rs", lines(4_000), None),
        ] {
            expect(&check_length(&source(path, &text)), expected);
        }
    }

    #[test]
    fn a_module_declared_for_tests_is_test_code() {
        let parent = source("src/store/mod.rs", "#[cfg(test)]\npub(crate) mod contract;\npub mod disk;\n");
        assert_eq!(test_modules(&parent), ["src/store/contract.rs"]);
        let parent = source("src/policy/best_arm.rs", "#[cfg(test)]\nmod tests;\n");
        assert_eq!(test_modules(&parent), ["src/policy/best_arm/tests.rs"]);
    }

    #[test]
    fn a_dependency_has_a_reason() {
        let table = [outside("rand", EVERYWHERE, "draws"), outside("sled", EVERYWHERE, "")];
        let manifest = |text: &str| source("Cargo.toml", text);
        let rand = "[dependencies]\n# Draws.\nrand = \"0.10\"\n";
        let missing = check_dependencies(&manifest("[dependencies]\nrand = \"0.10\"\n"), &table[..1]);
        expect(&missing, Some((2, "no reason")));
        let shared = check_dependencies(&manifest(&format!("{rand}serde = \"1\"\n")), &table[..1]);
        assert_eq!(shared.len(), 2, "a reason is for one dependency, and serde has no place: {shared:?}");
        let placeless = check_dependencies(&manifest(&format!("{rand}# Keeps.\nsled = \"0.34\"\n")), &table);
        expect(&placeless, Some((5, "OUTSIDE")));
        let hidden = check_dependencies(&manifest(&format!("{rand}[dependencies.sled]\n")), &table[..1]);
        expect(&hidden, Some((4, "one line")));
        expect(&check_dependencies(&manifest(rand), &[]), Some((3, "OUTSIDE")));
        let gone = check_dependencies(&manifest("[dependencies]\n"), &table[..1]);
        expect(&gone, Some((1, "no dependency any more")));
        expect(&check_dependencies(&manifest(rand), &table[..1]), None);
    }
}
