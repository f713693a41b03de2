//! What befalls a strategy's server, as a scenario writes it.

use crate::simulations::scenario::Refusal;
use crate::simulations::strategies::Trouble;

const ALLOWED: &str = "{ kind = \"restart\", at }, { kind = \"store-fails\", from, to } or { kind = \"away\", from, to }, with shares \
                       of the visitors, from 0 to 1";

pub(super) fn take(table: &mut toml::Table, at: &str) -> Result<Option<Trouble>, Refusal> {
    let Some(given) = table.remove("trouble") else { return Ok(None) };
    let read = given.as_table().and_then(read);
    read.map(Some).ok_or_else(|| Refusal::new(format!("{at}.trouble"), given, ALLOWED))
}

fn read(given: &toml::Table) -> Option<Trouble> {
    let share = |field: &str| given.get(field)?.as_float().filter(|share| (0.0..=1.0).contains(share));
    let only = |fields: &[&str]| given.keys().all(|key| key == "kind" || fields.contains(&key.as_str()));
    let span = || only(&["from", "to"]).then_some(share("from").zip(share("to"))?).filter(|(from, to)| from < to);
    match given.get("kind")?.as_str()? {
        "restart" if only(&["at"]) => Some(Trouble::Restart { at: share("at")? }),
        "store-fails" => span().map(|(from, to)| Trouble::StoreFails { from, to }),
        "away" => span().map(|(from, to)| Trouble::Away { from, to }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    //! What is read, and what is refused.

    use super::*;

    fn taken(text: &str) -> Result<Option<Trouble>, Refusal> {
        take(&mut toml::from_str(text).expect("it is TOML"), "strategies[0]")
    }

    #[test]
    fn trouble_is_read_or_refused_by_name() {
        assert_eq!(taken(""), Ok(None));
        assert_eq!(taken("trouble = { kind = \"restart\", at = 0.5 }"), Ok(Some(Trouble::Restart { at: 0.5 })));
        let fails = Trouble::StoreFails { from: 0.2, to: 0.3 };
        assert_eq!(taken("trouble = { kind = \"store-fails\", from = 0.2, to = 0.3 }"), Ok(Some(fails)));
        for bad in [
            "trouble = 1",
            "trouble = { kind = \"fire\", at = 0.5 }",
            "trouble = { kind = \"restart\", at = 1.5 }",
            "trouble = { kind = \"restart\", at = 0.5, to = 0.6 }",
            "trouble = { kind = \"away\", from = 0.5, to = 0.4 }",
            "trouble = { kind = \"away\", from = 0.5 }",
        ] {
            let refusal = taken(bad).expect_err(bad);
            assert_eq!((refusal.field.as_str(), refusal.allowed.as_str()), ("strategies[0].trouble", ALLOWED));
        }
    }
}
