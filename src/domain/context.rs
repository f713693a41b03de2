//! What is known about a visitor at the request.

use std::borrow::Cow;

/// The value of one attribute. Missing is the absence of the attribute, not a value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other finite number.
    Float(f64),
    /// A text.
    Text(Cow<'a, str>),
}

/// The attributes of one request, in the order they came; names are unique. Borrows from the request's body where it can.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Context<'a> {
    attributes: Vec<(Cow<'a, str>, Value<'a>)>,
}

impl<'a> Context<'a> {
    /// Most attributes of one request.
    pub const MAX_ATTRIBUTES: usize = 64;

    /// Nothing is known.
    #[must_use]
    pub const fn new() -> Self {
        Self { attributes: Vec::new() }
    }

    /// Sets an attribute; a later value of the same name replaces the earlier. `false` if that would be one attribute
    /// too many: then nothing is changed.
    #[must_use]
    pub fn insert(&mut self, name: Cow<'a, str>, value: Value<'a>) -> bool {
        if let Some(known) = self.attributes.iter_mut().find(|(n, _)| *n == name) {
            known.1 = value;
            return true;
        }
        if self.attributes.len() == Self::MAX_ATTRIBUTES {
            return false;
        }
        self.attributes.push((name, value));
        true
    }

    /// The value of an attribute; `None` if it is missing.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value<'a>> {
        // Requests carry a dozen attributes: a scan is faster than any map and needs no second allocation.
        self.attributes.iter().find(|(n, _)| n == name).map(|(_, value)| value)
    }

    /// All attributes, in the order they came.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value<'a>)> {
        self.attributes.iter().map(|(name, value)| (name.as_ref(), value))
    }
}

impl<'a, const N: usize> From<[(&'a str, Value<'a>); N]> for Context<'a> {
    /// For tests, examples and simulations.
    ///
    /// # Panics
    /// If there are more than [`Context::MAX_ATTRIBUTES`].
    fn from(attributes: [(&'a str, Value<'a>); N]) -> Self {
        let mut context = Self::new();
        for (name, value) in attributes {
            assert!(context.insert(Cow::Borrowed(name), value), "more than {} attributes", Self::MAX_ATTRIBUTES);
        }
        context
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}
