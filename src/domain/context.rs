//! What is known about a visitor at the request.

use std::borrow::Cow;
use std::cell::Cell;

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
    /// Marks of the names, of 64: a name whose mark is missing has not come yet.
    marks: u64,
}

/// Attributes that most sites do not send more of.
const ROOM_FOR: usize = 16;

thread_local! {
    static ROOM: Cell<Vec<(Cow<'static, str>, Value<'static>)>> = const { Cell::new(Vec::new()) };
}

/// The memory of some attributes for others.
fn of_any_life<'b>(mut attributes: Vec<(Cow<'_, str>, Value<'_>)>) -> Vec<(Cow<'b, str>, Value<'b>)> {
    attributes.clear();
    // The standard library collects into the memory that it collects from.
    attributes.into_iter().map(|_| (Cow::Borrowed(""), Value::Bool(false))).collect()
}

impl<'a> Context<'a> {
    /// Most attributes of one request.
    pub const MAX_ATTRIBUTES: usize = 64;
    /// Most of them once a profile is merged under them.
    pub const MAX_MERGED: usize = 2 * Self::MAX_ATTRIBUTES;

    /// Nothing is known.
    #[must_use]
    pub const fn new() -> Self {
        Self { attributes: Vec::new(), marks: 0 }
    }

    /// The same, with room for as many attributes as most sites send: that of the last one that was [given
    /// back](Self::give_back) on this thread, which is at hand where what an allocator gives is not.
    #[must_use]
    pub fn with_room() -> Self {
        let room = ROOM.take();
        let attributes = if room.capacity() == 0 { Vec::with_capacity(ROOM_FOR) } else { of_any_life(room) };
        Self { attributes, marks: 0 }
    }

    /// Ends it, and leaves its room to the next one of this thread.
    pub fn give_back(self) {
        if self.attributes.capacity() == ROOM_FOR {
            ROOM.set(of_any_life(self.attributes));
        }
    }

    /// Sets an attribute; a later value of the same name replaces the earlier. `false` if that would be one attribute
    /// too many: then nothing is changed.
    #[must_use]
    #[expect(
        clippy::inline_always,
        reason = "moving attributes to where a call takes them is a good part of reading a request"
    )]
    #[inline(always)]
    pub fn insert(&mut self, name: Cow<'a, str>, value: Value<'a>) -> bool {
        self.insert_within(name, value, Self::MAX_ATTRIBUTES)
    }

    /// The same where other than [`Self::MAX_ATTRIBUTES`] are allowed: of what was merged and is read back.
    #[must_use]
    #[expect(clippy::inline_always, reason = "as of `insert`")]
    #[inline(always)]
    pub fn insert_within(&mut self, name: Cow<'a, str>, value: Value<'a>, most: usize) -> bool {
        let mark = mark(&name);
        if self.marks & mark != 0
            && let Some(known) = self.attributes.iter_mut().find(|(n, _)| *n == name)
        {
            known.1 = value;
            return true;
        }
        if self.attributes.len() >= most {
            return false;
        }
        self.marks |= mark;
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
        all.map(|(name, value)| (Cow::Borrowed(&**name), value.borrowed())).collect()
    }

    /// Those that are wanted, for longer than what they were borrowed from.
    #[must_use]
    pub fn kept(&self, wanted: impl Fn(&str) -> bool) -> Context<'static> {
        let wanted = self.attributes.iter().filter(|(name, _)| wanted(name));
        wanted.map(|(name, value)| (name.to_string().into(), value.kept())).collect()
    }

    /// All attributes, in the order they came.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value<'a>)> {
        self.attributes.iter().map(|(name, value)| (name.as_ref(), value))
    }
}

impl<'a> FromIterator<(Cow<'a, str>, Value<'a>)> for Context<'a> {
    /// Of names that are unique.
    fn from_iter<I: IntoIterator<Item = (Cow<'a, str>, Value<'a>)>>(attributes: I) -> Self {
        let attributes: Vec<_> = attributes.into_iter().collect();
        let marks = attributes.iter().fold(0, |marks, (name, _)| marks | mark(name));
        Self { attributes, marks }
    }
}

/// One bit of 64, by a name's length and its last letter.
pub(crate) fn mark(name: &str) -> u64 {
    let last = name.as_bytes().last().map_or(0, |last| usize::from(*last));
    1 << ((name.len() * 7 + last) % 64)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_comes_again_replaces_and_one_with_the_same_mark_does_not() {
        let mut context = Context::new();
        assert_eq!(mark("ax"), mark("bx"));
        for (name, value) in [("ax", 1), ("bx", 2), ("ax", 3)] {
            assert!(context.insert(name.into(), Value::Int(value)));
        }
        let all: Vec<_> = context.iter().map(|(name, value)| (name.to_owned(), value.clone())).collect();
        assert_eq!(all, [("ax".to_owned(), Value::Int(3)), ("bx".to_owned(), Value::Int(2))]);
        assert_eq!(context, Context::from([("ax", Value::Int(3)), ("bx", Value::Int(2))]));
    }

    #[test]
    fn room_that_is_given_back_is_taken_again_and_nothing_is_left_in_it() {
        let mut first = Context::with_room();
        assert!(first.insert("a".to_owned().into(), Value::Int(1)));
        let at = first.attributes.as_ptr() as usize;
        first.give_back();
        let second = Context::with_room();
        assert_eq!((second.attributes.as_ptr() as usize, second.attributes.capacity()), (at, ROOM_FOR));
        assert_eq!(second, Context::new());
    }
}
