//! `mabel keys`: makes, lists and revokes keys, in the key file or over a server's API.

use std::io::Write as _;
use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use mabel::access::Keys;
use mabel::access::file::NAME;
use mabel::access::key::{Key, KeyId, Role, Wanted};
use mabel::service::clock::{Clock as _, SystemClock};
use mabel::store::Location;
use serde_json::{Value, json};

use crate::cli::client::{Client, KeyArgument};
use crate::cli::exit::Failure;
use crate::cli::trust::Trust;

/// Makes, lists and revokes keys, in the key file or over a server's API
///
/// A server asks for keys from the first one made on, and sees a change of its file within a second or two.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    action: Action,
}

/// Whose keys.
#[derive(Debug, clap::Args)]
struct Place {
    /// Data directory of the server
    #[arg(long, env = "MABEL_DATA", value_name = "DATA", default_value = "./mabel-data", global = true)]
    data: String,
    /// Key file of the server [default: DATA/keys.json]
    #[arg(long, env = "MABEL_KEYS", value_name = "FILE", global = true)]
    keys: Option<PathBuf>,
    /// Ask a running server at this address instead of changing the file
    #[arg(long, value_name = "URL", global = true)]
    server: Option<String>,
    #[command(flatten)]
    key: KeyArgument,
    #[command(flatten)]
    trust: Trust,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Makes a key and prints it: it is shown this once, and only its hash is kept
    Create {
        /// decide: for pages. write: for a site's servers. admin: everything
        #[arg(long, value_name = "ROLE")]
        role: Word,
        /// What it is for
        #[arg(long)]
        name: String,
        /// Only pages of this origin may use it, such as https://shop.example; may be given several times
        #[arg(long = "origin", value_name = "ORIGIN")]
        origins: Vec<String>,
        /// Most requests a second
        #[arg(long, value_name = "REQUESTS")]
        rate: Option<u32>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Lists keys, without their secrets
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Takes a key out: whoever holds it is refused from now on
    Revoke {
        /// The key's id, as `mabel keys list` shows it
        id: String,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Word {
    Decide,
    Write,
    Admin,
}

impl From<Word> for Role {
    fn from(word: Word) -> Self {
        match word {
            Word::Decide => Self::Decide,
            Word::Write => Self::Write,
            Word::Admin => Self::Admin,
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Place { data, keys, server, key, trust } = &arguments.place;
    match server {
        Some(server) => over_http(&Client::with_key(server, key.api_key.as_deref(), trust)?, &arguments.action),
        None => {
            let file = keys.clone().map_or_else(|| in_data(data), Ok)?;
            in_file(&Keys::open(file).map_err(Failure::new)?, &arguments.action)
        }
    }
}

fn in_data(data: &str) -> Result<PathBuf, Failure> {
    let directory = Location::from(data).directory().map(|directory| directory.join(NAME));
    directory.ok_or_else(|| Failure::new("memory keeps nothing: name a file with --keys"))
}

fn in_file(keys: &Keys, action: &Action) -> Result<(), Failure> {
    match action {
        Action::Create { role, name, origins, rate, json } => {
            let wanted = Wanted { name: name.clone(), role: (*role).into(), origins: origins.clone(), rate: *rate };
            let (key, text) = keys.create(wanted, SystemClock.now()).map_err(Failure::new)?;
            let mut made = to_json(&key);
            made["key"] = json!(text);
            show_made(&made, *json)
        }
        Action::List { json } => {
            let keys: Vec<Value> = keys.list().iter().map(|key| to_json(key)).collect();
            show_list(&json!({ "keys": keys }), *json)
        }
        Action::Revoke { id } => {
            keys.revoke(parse_id(id)?).map_err(Failure::new)?;
            print(&format!("{id}: revoked"))
        }
    }
}

fn over_http(client: &Client, action: &Action) -> Result<(), Failure> {
    match action {
        Action::Create { role, name, origins, rate, json } => {
            let role = Role::from(*role).word();
            let wanted = json!({ "role": role, "name": name, "origins": origins, "rate": rate });
            show_made(&client.post("/v1/keys", &wanted)?, *json)
        }
        Action::List { json } => show_list(&client.get("/v1/keys")?, *json),
        Action::Revoke { id } => {
            client.delete(&format!("/v1/keys/{}", parse_id(id)?))?;
            print(&format!("{id}: revoked"))
        }
    }
}

/// What is no id may be a key, and is not shown.
fn parse_id(id: &str) -> Result<KeyId, Failure> {
    let allowed = "16 hexadecimal digits, as `mabel keys list` shows them";
    KeyId::parse(id).ok_or_else(|| Failure::new(format_args!("the id of the key is refused; allowed: {allowed}")))
}

/// As the API says it.
fn to_json(key: &Key) -> Value {
    let created_at =
        i64::try_from(key.created_at.as_millis()).ok().and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
    json!({
        "id": key.id.to_string(),
        "name": key.name,
        "role": key.role.word(),
        "origins": key.origins,
        "rate": key.rate,
        "created_at": created_at.unwrap_or(jiff::Timestamp::MAX).to_string(),
    })
}

/// The key alone on the first line, for scripts.
fn show_made(made: &Value, json: bool) -> Result<(), Failure> {
    if json {
        return show(made);
    }
    print(&text(&made["key"]))?;
    print(&format!("{} key {}, shown this once: only its hash is kept", text(&made["role"]), text(&made["id"])))
}

fn show_list(answer: &Value, json: bool) -> Result<(), Failure> {
    if json {
        return show(answer);
    }
    let keys = answer["keys"].as_array().ok_or_else(|| Failure::new("the answer has no keys"))?;
    if keys.is_empty() {
        return print("no keys yet; `mabel keys create --role admin --name NAME` makes the first");
    }
    keys.iter().try_for_each(|key| {
        let origins = key["origins"].as_array().map(|origins| origins.iter().map(text).collect::<Vec<_>>().join(" "));
        let origins = origins.filter(|origins| !origins.is_empty()).unwrap_or_else(|| "any origin".to_owned());
        let rate = key["rate"].as_u64().map(|rate| format!("{rate} requests a second  ")).unwrap_or_default();
        print(&format!(
            "{}  {:6}  {}  {rate}{origins}  {}",
            text(&key["id"]),
            text(&key["role"]),
            text(&key["created_at"]),
            text(&key["name"]),
        ))
    })
}

fn show(value: &Value) -> Result<(), Failure> {
    print(&serde_json::to_string_pretty(value).map_err(Failure::new)?)
}

/// Unlike `println!`, no panic when the reader of a pipe has gone.
fn print(text: &str) -> Result<(), Failure> {
    writeln!(std::io::stdout(), "{text}").map_err(|error| Failure::new(format_args!("stdout: {error}")))
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
