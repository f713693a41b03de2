//! A definition's file as the JSON the server takes. What it means is the server's to check; only what JSON cannot say is
//! refused here.

use std::path::Path;

use serde_json::{Map, Value};

use crate::cli::exit::Failure;

/// Reads a file: the experiment's key and its definition.
///
/// # Errors
/// If it cannot be read, is not TOML or JSON, or names no key.
pub(crate) fn read(file: &Path) -> Result<(String, Value), Failure> {
    let text = std::fs::read_to_string(file).map_err(Failure::new)?;
    let is_json = file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    let definition = if is_json { serde_json::from_str(&text).map_err(Failure::new)? } else { from_toml(&text)? };
    match definition["key"].as_str() {
        Some(key) if !key.is_empty() => Ok((key.to_owned(), definition)),
        _ => Err(Failure::new("key is missing; allowed: a text, such as key = \"hero\", at the top of the file")),
    }
}

/// TOML as JSON of the same shape; times as RFC 3339.
pub(crate) fn from_toml(text: &str) -> Result<Value, Failure> {
    let table: toml::Table = text.parse().map_err(Failure::new)?;
    json("", toml::Value::Table(table))
}

fn json(path: &str, value: toml::Value) -> Result<Value, Failure> {
    match value {
        toml::Value::String(text) => Ok(Value::String(text)),
        toml::Value::Integer(number) => Ok(number.into()),
        toml::Value::Boolean(flag) => Ok(flag.into()),
        toml::Value::Float(number) => serde_json::Number::from_f64(number)
            .map(Value::Number)
            .ok_or_else(|| Failure::new(format_args!("{path} = {number} is refused; allowed: a finite number"))),
        toml::Value::Datetime(time) if time.offset.is_some() => Ok(Value::String(time.to_string())),
        toml::Value::Datetime(time) => {
            let allowed = "a date and a time with their offset, such as 2026-12-01T00:00:00Z";
            Err(Failure::new(format_args!("{path} = {time} is refused; allowed: {allowed}")))
        }
        toml::Value::Array(items) => {
            let items = items.into_iter().enumerate().map(|(index, item)| json(&format!("{path}[{index}]"), item));
            items.collect::<Result<Vec<_>, _>>().map(Value::Array)
        }
        toml::Value::Table(table) => {
            let fields = table.into_iter().map(|(name, value)| {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                json(&path, value).map(|value| (name, value))
            });
            fields.collect::<Result<Map<_, _>, _>>().map(Value::Object)
        }
    }
}

#[cfg(test)]
mod tests {
    //! The same shape in TOML and in JSON.

    use serde_json::json;

    use super::*;

    #[test]
    fn times_become_rfc_3339() {
        let toml = "key = \"hero\"\ntraffic = 1.0\n[schedule]\nstarts = 2026-12-01T00:00:00Z\nends = 2026-12-24T01:00:00+01:00\n\
                    [[variations]]\nkey = \"plain\"\npayload = { headline = \"Welcome\", sizes = [1, 2] }\n";
        assert_eq!(
            from_toml(toml).expect("a definition"),
            json!({"key": "hero", "traffic": 1.0,
                "schedule": {"starts": "2026-12-01T00:00:00Z", "ends": "2026-12-24T01:00:00+01:00"},
                "variations": [{"key": "plain", "payload": {"headline": "Welcome", "sizes": [1, 2]}}]})
        );
    }

    #[test]
    fn what_json_cannot_say_is_refused_by_name() {
        let check = |toml: &str, parts: &[&str]| {
            let error = from_toml(toml).expect_err("refused").to_string();
            for part in parts {
                assert!(error.contains(part), "{part} is missing in: {error}");
            }
        };
        check("[schedule]\nstarts = 2026-12-01", &["schedule.starts", "2026-12-01", "offset"]);
        check("[[goals]]\nx = [1.0, inf]", &["goals[0].x[1]", "inf", "finite"]);
        check("a = ", &["line 1"]);
    }

    #[test]
    fn a_key_is_needed() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("x.json");
        std::fs::write(&file, "{}").expect("written");
        assert!(read(&file).expect_err("no key").to_string().contains("key"));
        std::fs::write(&file, "{\"key\": \"hero\"}").expect("written");
        assert_eq!(read(&file).expect("a key").0, "hero");
    }
}
