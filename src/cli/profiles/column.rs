//! Columns of a file, and the attributes that they become.

use csv::StringRecord;
use serde_json::{Map, Value};

/// What an attribute is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Number,
    Boolean,
}

/// `COLUMN=ATTRIBUTE:TYPE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mapping {
    column: String,
    attribute: String,
    kind: Kind,
}

/// One column that is sent.
#[derive(Debug)]
pub(super) struct Attribute {
    index: usize,
    column: String,
    pub(super) name: String,
    pub(super) kind: Kind,
    seen: Option<Seen>,
}

/// What was seen of a column whose type nobody has said: the first value of each sort.
#[derive(Debug, Default)]
struct Seen {
    text: Option<String>,
    number: Option<String>,
    boolean: Option<String>,
    /// `0` or `1`: a number, or a truth value.
    flag: Option<String>,
    /// `007` or `+33`, which as a number would lose something: a postcode, a telephone number.
    code: Option<String>,
}

/// What a file's columns become.
#[derive(Debug)]
pub(super) struct Columns {
    pub(super) id: usize,
    pub(super) attributes: Vec<Attribute>,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Text, Self::Number, Self::Boolean];

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Number => "number",
            Self::Boolean => "boolean",
        }
    }

    fn read(self, text: &str) -> Option<Value> {
        match self {
            Self::Text => Some(Value::from(text)),
            Self::Number => number(text),
            Self::Boolean => match text.to_ascii_lowercase().as_str() {
                "true" | "1" | "yes" => Some(Value::from(true)),
                "false" | "0" | "no" => Some(Value::from(false)),
                _ => None,
            },
        }
    }
}

fn number(text: &str) -> Option<Value> {
    let whole = text.parse::<i64>().map(Value::from);
    whole.ok().or_else(|| serde_json::Number::from_f64(text.parse().ok()?).map(Value::Number))
}

impl Mapping {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let parts = || {
            let (rest, word) = text.rsplit_once(':')?;
            // Names of columns may hold anything, those of attributes hardly ever.
            let (column, attribute) = rest.rsplit_once('=')?;
            let kind = Kind::ALL.into_iter().find(|kind| kind.word() == word)?;
            let named = !column.is_empty() && !attribute.is_empty();
            named.then(|| Self { column: column.to_owned(), attribute: attribute.to_owned(), kind })
        };
        parts().ok_or_else(|| "allowed: COLUMN=ATTRIBUTE:TYPE, with text, number or boolean as TYPE".to_owned())
    }
}

impl Seen {
    fn see(&mut self, text: &str) {
        let place = match text {
            "0" | "1" => &mut self.flag,
            _ if ["true", "false"].contains(&text.to_ascii_lowercase().as_str()) => &mut self.boolean,
            _ if number(text).is_none() => &mut self.text,
            _ if text.starts_with('+') || (text.starts_with('0') && !text.starts_with("0.")) => &mut self.code,
            _ => &mut self.number,
        };
        place.get_or_insert_with(|| text.chars().take(40).collect());
    }

    /// The type of all values; an error with values that say different things; `None` if there was no value.
    fn kind(&self) -> Result<Option<Kind>, String> {
        let Self { text, number, boolean, flag, code } = self;
        match (text, number, boolean, flag, code) {
            (None, None, None, None, None) => Ok(None),
            (Some(_), None, None, None, None) => Ok(Some(Kind::Text)),
            (None, Some(_), None, _, None) => Ok(Some(Kind::Number)),
            (None, None, Some(_), None, None) => Ok(Some(Kind::Boolean)),
            _ => {
                let values = [text, number, boolean, flag, code].into_iter().flatten();
                Err(values.map(|value| format!("{value:?}")).collect::<Vec<_>>().join(", "))
            }
        }
    }
}

impl Columns {
    pub(super) fn of(header: &StringRecord, id: &str, maps: &[Mapping], skips: &[String]) -> Result<Self, String> {
        let all = || header.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
        let named =
            std::iter::once(id).chain(maps.iter().map(|map| &*map.column)).chain(skips.iter().map(|skip| &**skip));
        for name in named {
            match header.iter().filter(|column| *column == name).count() {
                0 => return Err(format!("there is no column {name:?}; the file has {}", all())),
                1 => {}
                count => return Err(format!("{count} columns are named {name:?}")),
            }
        }
        let mut attributes: Vec<Attribute> = Vec::new();
        for (index, column) in header.iter().enumerate() {
            if column == id || skips.iter().any(|skip| skip == column) {
                continue;
            }
            let map = maps.iter().find(|map| map.column == column);
            let name = map.map_or(column, |map| &map.attribute).to_owned();
            if attributes.iter().any(|known| known.name == name) {
                return Err(format!(
                    "two columns would become the attribute {name:?}: name others with --map, or --skip one"
                ));
            }
            let (kind, seen) = map.map_or_else(|| (Kind::Text, Some(Seen::default())), |map| (map.kind, None));
            attributes.push(Attribute { index, column: column.to_owned(), name, kind, seen });
        }
        let id = header.iter().position(|column| column == id).unwrap_or_default();
        Ok(Self { id, attributes })
    }

    /// Looks at a row for the types of columns that have none yet.
    pub(super) fn see(&mut self, row: &StringRecord) {
        for Attribute { index, seen, .. } in &mut self.attributes {
            if let (Some(seen), Some(text)) = (seen, row.get(*index).filter(|text| !text.is_empty())) {
                seen.see(text);
            }
        }
    }

    /// With a type for each; columns without any value are left out.
    pub(super) fn settled(self) -> Result<Self, String> {
        let mut unclear = String::new();
        let mut attributes = Vec::with_capacity(self.attributes.len());
        for mut attribute in self.attributes {
            let kind = attribute.seen.take().map_or(Ok(Some(attribute.kind)), |seen| seen.kind());
            match kind {
                Ok(Some(kind)) => attributes.push(Attribute { kind, ..attribute }),
                Ok(None) => {}
                Err(shown) => {
                    let column = attribute.column;
                    unclear += &format!("\n  {column:?} has {shown}: --map {column:?}=NAME:TYPE, or --skip {column:?}");
                }
            }
        }
        if unclear.is_empty() {
            return Ok(Self { attributes, ..self });
        }
        Err(format!("nothing was sent, since it is not clear of what type these columns are:{unclear}"))
    }

    /// What a row says of its visitor.
    pub(super) fn profile(&self, row: &StringRecord) -> Result<Map<String, Value>, String> {
        let mut profile = Map::new();
        for Attribute { index, column, name, kind, .. } in &self.attributes {
            let Some(text) = row.get(*index).filter(|text| !text.is_empty()) else { continue };
            let value = kind.read(text).ok_or_else(|| {
                let given: String = text.chars().take(80).collect();
                format!("{column}: {given:?} is not allowed: it is a {}", kind.word())
            })?;
            profile.insert(name.clone(), value);
        }
        Ok(profile)
    }
}

#[cfg(test)]
mod tests {
    //! Types are found where all values agree, and asked for where not.

    use super::*;

    fn record(cells: &[&str]) -> StringRecord {
        StringRecord::from(cells.to_vec())
    }

    #[test]
    fn a_type_is_found_where_all_values_say_the_same() {
        for (values, expected) in [
            (&["Lyon", "", "Nice"][..], Some(Kind::Text)),
            (&["3", "-2.5", "0", "1e3"], Some(Kind::Number)),
            (&["true", "FALSE"], Some(Kind::Boolean)),
            (&["0.5", "1"], Some(Kind::Number)),
        ] {
            let mut columns = Columns::of(&record(&["id", "x"]), "id", &[], &[]).expect("sound");
            values.iter().for_each(|value| columns.see(&record(&["v", value])));
            let settled = columns.settled().expect("clear");
            assert_eq!(settled.attributes.first().map(|attribute| attribute.kind), expected, "{values:?}");
        }
        let mut empty = Columns::of(&record(&["id", "x"]), "id", &[], &[]).expect("sound");
        empty.see(&record(&["v", ""]));
        assert!(empty.settled().expect("clear").attributes.is_empty());
    }

    #[test]
    fn where_they_do_not_the_column_is_named() {
        for values in
            [&["0", "1"][..], &["12", "A4"], &["true", "maybe"], &["690", "0", "075"], &["+33", "+44"], &["true", "1"]]
        {
            let mut columns = Columns::of(&record(&["id", "x"]), "id", &[], &[]).expect("sound");
            values.iter().for_each(|value| columns.see(&record(&["v", value])));
            let error = columns.settled().expect_err("unclear");
            assert!(error.contains("\"x\"") && error.contains("--map"), "{error}");
        }
    }

    #[test]
    fn a_map_names_and_types_a_column() {
        let maps = ["a=b=member:boolean", "zip=zip:text"].map(|text| Mapping::parse(text).expect("sound"));
        let columns = Columns::of(&record(&["id", "a=b", "zip", "other"]), "id", &maps, &["other".into()]);
        let columns = columns.expect("sound").settled().expect("clear");
        let profile = columns.profile(&record(&["v", "1", "075", "x"])).expect("sound");
        assert_eq!(Value::Object(profile), serde_json::json!({"member": true, "zip": "075"}));
        let refused = columns.profile(&record(&["v", "perhaps", "075", "x"])).expect_err("no truth value");
        assert!(refused.contains("a=b") && refused.contains("perhaps") && refused.contains("boolean"), "{refused}");
        for bad in ["zip", "zip=:text", "=zip:text", "zip=zip", "zip=zip:date"] {
            assert!(Mapping::parse(bad).is_err(), "{bad}");
        }
        for (id, maps, skips) in [("nobody", vec![], vec![]), ("id", maps.to_vec(), vec!["more".to_owned()])] {
            let error = Columns::of(&record(&["id", "a=b", "zip"]), id, &maps, &skips).expect_err("no such column");
            assert!(error.contains("there is no column"), "{error}");
        }
    }
}
