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
    /// Most of them once a profile is merged under them.
    pub const MAX_MERGED: usize = 2 * Self::MAX_ATTRIBUTES;

    /// Nothing is known.
    #[must_use]
    pub const fn new() -> Self {
        Self { attributes: Vec::new() }
    }

    /// The same, with room for as many attributes as most sites send.
    #[must_use]
    pub fn with_room() -> Self {
        Self { attributes: Vec::with_capacity(16) }
    }

    /// Sets an attribute; a later value of the same name replaces the earlier. `false` if that would be one attribute
    /// too many: then nothing is changed.
    #[must_use]
    pub fn insert(&mut self, name: Cow<'a, str>, value: Value<'a>) -> bool {
        self.insert_within(name, value, Self::MAX_ATTRIBUTES)
    }

    /// The same where other than [`Self::MAX_ATTRIBUTES`] are allowed: of what was merged and is read back.
    #[must_use]
    pub fn insert_within(&mut self, name: Cow<'a, str>, value: Value<'a>, most: usize) -> bool {
        if let Some(known) = self.attributes.iter_mut().find(|(n, _)| *n == name) {
            known.1 = value;
            return true;
        }
        if self.attributes.len() >= most {
            return false;
        }
        self.attributes.push((name, value));
        true
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.attributes.len()
    }

    /// Whether nothing is known.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.attributes.is_empty()
    }

    /// The value of an attribute; `None` if it is missing.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value<'a>> {
        // Requests carry a dozen attributes: a scan is faster than any map and needs no second allocation.
        self.attributes.iter().find(|(n, _)| n == name).map(|(_, value)| value)
    }

    /// These, and under them those of a profile that are wanted and missing here.
    #[must_use]
    pub fn over<'b>(&'b self, profile: &'b Context<'_>, wanted: impl Fn(&str) -> bool) -> Context<'b> {
        let missing = profile.attributes.iter().filter(|(name, _)| wanted(name) && self.get(name).is_none());
        let all = self.attributes.iter().chain(missing);
        Context { attributes: all.map(|(name, value)| (Cow::Borrowed(&**name), value.borrowed())).collect() }
    }

    /// Those that are wanted, for longer than what they were borrowed from.
    #[must_use]
    pub fn kept(&self, wanted: impl Fn(&str) -> bool) -> Context<'static> {
        let wanted = self.attributes.iter().filter(|(name, _)| wanted(name));
        Context { attributes: wanted.map(|(name, value)| (name.to_string().into(), value.kept())).collect() }
    }

    /// All attributes, in the order they came.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value<'a>)> {
        self.attributes.iter().map(|(name, value)| (name.as_ref(), value))
    }
}

impl Value<'_> {
    /// The same value, its text borrowed.
    fn borrowed(&self) -> Value<'_> {
        match self {
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::Int(*value),
            Self::Float(value) => Value::Float(*value),
            Self::Text(text) => Value::Text(Cow::Borrowed(text)),
        }
    }

    /// The same value, for longer than what its text was borrowed from.
    #[must_use]
    pub fn kept(&self) -> Value<'static> {
        match self {
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::Int(*value),
            Self::Float(value) => Value::Float(*value),
            Self::Text(text) => Value::Text(text.to_string().into()),
        }
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
