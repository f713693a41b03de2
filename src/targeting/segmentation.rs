//! Attributes to a segment: by cross product, or by ordered rules.

use std::fmt::Write;

use crate::domain::context::Value;
use crate::domain::{AttributeName, Context, RuleName, SegmentKey};
use crate::targeting::condition::{Condition, Verdict};

/// A division of visitors that cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SegmentationError {
    /// No attribute or rule was given.
    #[error("at least one is needed; leave segments out for one segment of all")]
    Empty,
    /// Too many rules.
    #[error("{given} rules were given, at most {} are allowed", Segmentation::MAX_RULES)]
    TooManyRules {
        /// How many were given.
        given: usize,
    },
    /// The same attribute or rule name twice.
    #[error("{0:?} stands there twice")]
    Twice(String),
    /// A rule has a name with a meaning of its own.
    #[error("a rule cannot be named {0:?}, which means those no rule matches, or all")]
    ReservedName(String),
    /// Segment keys could become too long for a receipt.
    #[error(
        "segments by these attributes could have keys of {longest} bytes; at most {} fit into a receipt: \
         take fewer attributes or ordered rules",
        SegmentKey::MAX_BYTES
    )]
    KeysTooLong {
        /// How long a key could become.
        longest: usize,
    },
}

/// How visitors are divided.
#[derive(Debug)]
pub enum Segmentation {
    /// One segment, `all`.
    All,
    /// A cell per combination of values: `device=mobile|country=FR`.
    CrossProduct(Vec<AttributeName>),
    /// The first rule that matches; `other` if none does.
    Rules(Vec<(RuleName, Condition)>),
}

/// Longest written value; longer ones are `(long)` together.
const MAX_VALUE_BYTES: usize = 64;
const MISSING: &str = "(missing)";
const LONG: &str = "(long)";

impl Segmentation {
    /// Most rules.
    pub const MAX_RULES: usize = 256;

    /// A cross product of attributes.
    ///
    /// # Errors
    /// If there is none, one stands there twice, or keys could be too long for a receipt.
    pub fn cross_product(by: Vec<AttributeName>) -> Result<Self, SegmentationError> {
        if by.is_empty() {
            return Err(SegmentationError::Empty);
        }
        twice(by.iter().map(AttributeName::as_str))?;
        let longest = by.iter().map(|name| name.as_str().len() + MAX_VALUE_BYTES + 2).sum::<usize>() - 1;
        if longest > SegmentKey::MAX_BYTES {
            return Err(SegmentationError::KeysTooLong { longest });
        }
        Ok(Self::CrossProduct(by))
    }

    /// Ordered rules.
    ///
    /// # Errors
    /// If there is none, too many, a name twice, or a name that is `all` or `other`.
    pub fn rules(rules: Vec<(RuleName, Condition)>) -> Result<Self, SegmentationError> {
        if rules.is_empty() {
            return Err(SegmentationError::Empty);
        }
        if rules.len() > Self::MAX_RULES {
            return Err(SegmentationError::TooManyRules { given: rules.len() });
        }
        twice(rules.iter().map(|(name, _)| name.as_str()))?;
        if let Some((name, _)) = rules.iter().find(|(n, _)| [SegmentKey::ALL, SegmentKey::OTHER].contains(&n.as_str()))
        {
            return Err(SegmentationError::ReservedName(name.to_string()));
        }
        Ok(Self::Rules(rules))
    }

    /// Writes the key of a context's segment into an empty buffer, so that the request path can look it up without
    /// allocating. Says how many conditions could not be decided on the way.
    pub fn write_key(&self, context: &Context<'_>, key: &mut String) -> u32 {
        let mut failed = 0;
        match self {
            Self::All => key.push_str(SegmentKey::ALL),
            Self::CrossProduct(by) => {
                for (index, name) in by.iter().enumerate() {
                    if index > 0 {
                        key.push('|');
                    }
                    key.push_str(name.as_str());
                    key.push('=');
                    write_value(context.get(name.as_str()), key);
                }
            }
            Self::Rules(rules) => {
                let matching = rules.iter().find(|(_, condition)| match condition.evaluate(context) {
                    Verdict::Match => true,
                    Verdict::NoMatch => false,
                    Verdict::Failed => {
                        failed += 1;
                        false
                    }
                });
                key.push_str(matching.map_or(SegmentKey::OTHER, |(name, _)| name.as_str()));
            }
        }
        failed
    }

    /// Names of attributes the segment can depend on, and perhaps other words: an attribute that is not among them has
    /// no effect.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        match self {
            Self::All => Vec::new(),
            Self::CrossProduct(by) => by.iter().map(AttributeName::as_str).collect(),
            Self::Rules(rules) => rules.iter().flat_map(|(_, condition)| condition.names()).collect(),
        }
    }
}

fn twice<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), SegmentationError> {
    let mut seen = std::collections::HashSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(SegmentationError::Twice(name.to_owned()));
        }
    }
    Ok(())
}

/// A value as text. 1 and "1" are one segment: sites send either. Characters with a meaning in keys are escaped as in
/// addresses, so that no value can pose as another segment or as a missing one.
fn write_value(value: Option<&Value<'_>>, key: &mut String) {
    let before = key.len();
    match value {
        None => return key.push_str(MISSING),
        Some(Value::Bool(value)) => key.push_str(if *value { "true" } else { "false" }),
        Some(Value::Int(value)) => write!(key, "{value}").expect("a String takes every write"),
        // A whole float is the same number as the integer: 1.0 and 1.
        Some(Value::Float(value)) => write!(key, "{value}").expect("a String takes every write"),
        // Nearly every value is a plain word: one copy.
        Some(Value::Text(text)) if text.len() <= MAX_VALUE_BYTES && text.bytes().all(|b| b.is_ascii_alphanumeric()) => {
            key.push_str(text);
        }
        Some(Value::Text(text)) => {
            for c in text.chars() {
                if key.len() - before > MAX_VALUE_BYTES {
                    break;
                }
                if matches!(c, '|' | '=' | '%' | '(' | ')') || c.is_control() {
                    write!(key, "%{:02X}", u32::from(c)).expect("a String takes every write");
                } else {
                    key.push(c);
                }
            }
        }
    }
    if key.len() - before > MAX_VALUE_BYTES {
        key.truncate(before);
        key.push_str(LONG);
    }
}

#[cfg(test)]
mod tests {
    //! Every context has exactly one segment, and different states never share one.

    use std::borrow::Cow;

    use crate::domain::context::Value;
    use crate::domain::{AttributeName, Context, RuleName, SegmentKey};
    use crate::targeting::segmentation::*;
    use proptest::prelude::*;

    fn by(names: &[&str]) -> Result<Segmentation, SegmentationError> {
        Segmentation::cross_product(names.iter().map(|n| AttributeName::new(n).expect("a name")).collect())
    }

    fn key(segmentation: &Segmentation, context: &Context<'_>) -> (String, u32) {
        let mut key = String::new();
        let failed = segmentation.write_key(context, &mut key);
        (key, failed)
    }

    #[test]
    fn a_cross_product_names_every_attribute_and_missing_is_a_state() {
        let segmentation = by(&["device", "country"]).expect("short");
        let context = Context::from([("country", "FR".into())]);
        assert_eq!(key(&segmentation, &context).0, "device=(missing)|country=FR");
        let poser = Context::from([("device", "(missing)".into()), ("country", "FR|x=1".into())]);
        assert_eq!(key(&segmentation, &poser).0, "device=%28missing%29|country=FR%7Cx%3D1");
        let whole = Context::from([("device", Value::Float(1.0)), ("country", Value::Int(1))]);
        assert_eq!(key(&segmentation, &whole).0, "device=1|country=1");
    }

    #[test]
    fn the_first_matching_rule_names_the_segment_and_failures_are_counted() {
        let rule = |name, when| (RuleName::new(name).expect("a name"), Condition::compile(when).expect(when));
        let rules =
            vec![rule("new-mobile", r#"device == "mobile" && visits <= 1"#), rule("mobile", r#"device == "mobile""#)];
        let rules = Segmentation::rules(rules).expect("usable");
        let context = |visits| Context::from([("device", "mobile".into()), ("visits", Value::Int(visits))]);
        assert_eq!(key(&rules, &context(1)), ("new-mobile".into(), 0));
        assert_eq!(key(&rules, &context(2)), ("mobile".into(), 0));
        assert_eq!(key(&rules, &Context::new()), ("other".into(), 2));
        assert!(rules.names().contains(&"visits") && !rules.names().contains(&"country"));
    }

    #[test]
    fn what_cannot_be_used_is_refused() {
        assert_eq!(by(&[]).expect_err("empty"), SegmentationError::Empty);
        assert_eq!(by(&["a", "a"]).expect_err("twice"), SegmentationError::Twice("a".into()));
        let many: Vec<String> = (0..10).map(|i| format!("attribute_{i}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(matches!(by(&many).expect_err("long"), SegmentationError::KeysTooLong { .. }));
        let rule = (RuleName::new("other").expect("a key"), Condition::compile("true").expect("compiles"));
        assert_eq!(
            Segmentation::rules(vec![rule]).expect_err("reserved"),
            SegmentationError::ReservedName("other".into())
        );
    }

    proptest! {
        #[test]
        fn keys_fit_and_distinguish(a in ".{0,80}", b in ".{0,80}") {
            let segmentation = by(&["x", "y"]).expect("short");
            let of = |value: &str| {
                let mut context = Context::new();
                assert!(context.insert(Cow::Borrowed("x"), Value::Text(Cow::Owned(value.to_owned()))));
                key(&segmentation, &context).0
            };
            prop_assert!(of(&a).len() <= SegmentKey::MAX_BYTES);
            if a != b && !of(&a).contains(LONG) {
                prop_assert_ne!(of(&a), of(&b));
            }
        }
    }
}
