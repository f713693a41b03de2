//! The bodies that most sites send, read in one pass: text and numbers as they stand, without escapes, control characters or fields
//! that are rare. Reading a body is a good part of what a decision costs.
//!
//! Invariant: what is read here is what serde reads. Whatever else comes is left to serde, mistakes above all, which have their
//! messages there.

use std::borrow::Cow;

use crate::domain::Context;
use crate::domain::context::Value;
use crate::http::body::{ContextBody, MAX_NAME_BYTES, MAX_TEXT_BYTES, Text};
use crate::http::decide::DecideBody;
use crate::http::decide::many::MAX_BATCH;

/// Digits of a whole number that every `i64` has room for.
const SAFE_DIGITS: usize = 18;

/// Reads into a request that says nothing yet; `None`: for serde, and then nothing of what was read is to be used.
pub(super) fn read<'a>(body: &'a [u8], request: &mut DecideBody<'a>) -> Option<()> {
    // A text then ends at the next quotation mark, and stands as it is meant.
    if !is_plain(body) {
        return None;
    }
    let mut cursor = Cursor { text: std::str::from_utf8(body).ok()?, at: 0, last: None };
    cursor.request(request, true)?;
    cursor.skip_spaces();
    (cursor.at == body.len()).then_some(())
}

/// Whether JSON has no escapes and no control characters. Looks at all bytes, many at once, and not until it finds one.
fn is_plain(json: &[u8]) -> bool {
    !json.iter().fold(false, |found, byte| found | (*byte < b' ') | (*byte == b'\\'))
}

struct Cursor<'a> {
    text: &'a str,
    at: usize,
    /// The last context of a batch that was not empty, as it was written.
    last: Option<&'a [u8]>,
}

impl<'a> Cursor<'a> {
    fn rest(&self) -> &'a [u8] {
        &self.text.as_bytes()[self.at..]
    }

    fn skip_spaces(&mut self) {
        while self.rest().first() == Some(&b' ') {
            self.at += 1;
        }
    }

    /// The byte that comes next, spaces left out.
    fn next(&mut self) -> Option<u8> {
        self.skip_spaces();
        let byte = *self.rest().first()?;
        self.at += 1;
        Some(byte)
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    /// Takes a word that begins where the cursor is.
    fn word(&mut self, word: &str) -> Option<()> {
        self.rest().starts_with(word.as_bytes()).then(|| self.at += word.len())
    }

    /// A text, its first quotation mark included.
    #[inline]
    fn string(&mut self) -> Option<&'a str> {
        self.expect(b'"')?;
        let start = self.at;
        let end = start + quotation_mark(self.rest())?;
        self.at = end + 1;
        self.text.get(start..end)
    }

    fn text(&mut self) -> Option<Text<'a>> {
        self.string().map(|text| Text(Cow::Borrowed(text)))
    }

    fn boolean(&mut self) -> Option<bool> {
        self.skip_spaces();
        match self.rest().first()? {
            b't' => self.word("true").map(|()| true),
            _ => self.word("false").map(|()| false),
        }
    }

    /// The members of an object: each is handed its name, and reads its value.
    fn members(&mut self, mut member: impl FnMut(&mut Self, &'a str) -> Option<()>) -> Option<()> {
        self.expect(b'{')?;
        self.skip_spaces();
        if self.rest().first() == Some(&b'}') {
            self.at += 1;
            return Some(());
        }
        loop {
            let name = self.string()?;
            self.expect(b':')?;
            member(self, name)?;
            match self.next()? {
                b',' => {}
                b'}' => return Some(()),
                _ => return None,
            }
        }
    }

    /// In its place: a request is large.
    fn request(&mut self, request: &mut DecideBody<'a>, outermost: bool) -> Option<()> {
        let (mut context, mut defer, mut explain) = (None, None, None);
        self.members(|cursor, name| match name {
            "experiment" => once(&mut request.experiment, cursor.text()?),
            "visitor" => once(&mut request.visitor, cursor.text()?),
            "context" if outermost => once(&mut context, cursor.context()?),
            "context" => once(&mut context, cursor.context_or_alike(&mut request.alike)?),
            "receipt" => once(&mut request.receipt, cursor.text()?),
            "decision_id" => once(&mut request.decision_id, cursor.text()?),
            "key" => once(&mut request.key, cursor.text()?),
            "defer" => once(&mut defer, cursor.boolean()?),
            "explain" => once(&mut explain, cursor.boolean()?),
            "consent" => once(&mut request.consent, cursor.boolean()?),
            "requests" if outermost => once(&mut request.requests, cursor.requests()?),
            _ => None,
        })?;
        if let Some(context) = context {
            request.context = ContextBody(context);
        }
        (request.defer, request.explain) = (defer.unwrap_or_default(), explain.unwrap_or_default());
        Some(())
    }

    fn requests(&mut self) -> Option<Vec<DecideBody<'a>>> {
        self.expect(b'[')?;
        self.last = None;
        let start = self.at;
        let mut requests = Vec::with_capacity(1);
        loop {
            requests.push(DecideBody::default());
            self.request(requests.last_mut()?, false)?;
            if requests.len() == 1 {
                // Most of a batch are of the same length, and no batch has more than so many.
                requests.reserve((self.rest().len() / (self.at - start)).min(MAX_BATCH));
            }
            match self.next()? {
                b',' => {}
                b']' => return Some(requests),
                _ => return None,
            }
        }
    }

    /// A context, which is empty where it is as the last one was written: visitors of one place bring the same, and one visitor is
    /// often decided for several times at once.
    fn context_or_alike(&mut self, alike: &mut bool) -> Option<Context<'a>> {
        self.skip_spaces();
        let start = self.at;
        if let Some(last) = self.last.filter(|last| self.rest().starts_with(last)) {
            self.at += last.len();
            *alike = true;
            return Some(Context::new());
        }
        let context = self.context()?;
        if !context.is_empty() {
            self.last = Some(&self.text.as_bytes()[start..self.at]);
        }
        Some(context)
    }

    fn context(&mut self) -> Option<Context<'a>> {
        let mut context = Context::with_room();
        self.members(|cursor, name| {
            let is_name = !name.is_empty() && name.len() <= MAX_NAME_BYTES;
            let value = cursor.value()?;
            (is_name && context.insert(Cow::Borrowed(name), value)).then_some(())
        })?;
        Some(context)
    }

    #[inline]
    fn value(&mut self) -> Option<Value<'a>> {
        self.skip_spaces();
        match self.rest().first()? {
            b'"' => {
                let text = self.string()?;
                (text.len() <= MAX_TEXT_BYTES).then_some(Value::Text(Cow::Borrowed(text)))
            }
            b't' | b'f' => self.boolean().map(Value::Bool),
            _ => self.number(),
        }
    }

    fn number(&mut self) -> Option<Value<'a>> {
        let start = self.at;
        let ends = |byte: &u8| matches!(byte, b',' | b'}' | b' ');
        self.at += self.rest().iter().position(ends)?;
        let number = self.text.get(start..self.at)?;
        let digits = number.strip_prefix('-').unwrap_or(number);
        if digits.bytes().all(|byte| byte.is_ascii_digit()) {
            // A zero in front is a mistake, and a negative one is no whole number.
            let is_whole = !digits.starts_with('0') || number == "0";
            return (is_whole && digits.len() <= SAFE_DIGITS).then(|| number.parse().ok().map(Value::Int))?;
        }
        serde_json::from_str(number).ok().map(Value::Float)
    }
}

/// Sets what must not be said twice.
fn once<T>(field: &mut Option<T>, value: T) -> Option<()> {
    field.replace(value).is_none().then_some(())
}

/// Where the first quotation mark is. Texts are short: eight bytes at a time, without a call.
fn quotation_mark(bytes: &[u8]) -> Option<usize> {
    const LOW: u64 = u64::from_le_bytes([0x01; 8]);
    const HIGH: u64 = u64::from_le_bytes([0x80; 8]);
    let mut at = 0;
    while let Some(eight) = bytes[at..].first_chunk() {
        let differs = u64::from_le_bytes(*eight) ^ u64::from_le_bytes([b'"'; 8]);
        // The lowest byte that is zero has its highest bit set, and none below it has.
        let found = differs.wrapping_sub(LOW) & !differs & HIGH;
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    bytes[at..].iter().position(|byte| *byte == b'"').map(|index| at + index)
}

#[cfg(test)]
mod tests;
