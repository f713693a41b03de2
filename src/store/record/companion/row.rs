//! A row of companions. Most visitors of a site bring the same attributes, many of them with the same values, and one visitor is often
//! decided for several times at once: so a row says a list of names once, of the values those that are others than the last time that
//! these names came, and of a companion that is as the one before two bytes, or a few more.
//!
//! Behind the version stand entries: the index of the event, then which companion. 0 is that of the entry before. Any other number is
//! that of a list of names, as they came in this row; one that has not come yet follows. Then come whom the companion is about, a bit
//! for each name, lowest first, in as few bytes as hold them, and the values whose bits are set, which are those that changed; of a list
//! that has just come no bits and all values. Version 5 had all values of every entry, behind a length and whom; before it an entry was
//! its index and the whole companion, names and values in turn. Such rows are read, and rewritten as they were.

use bincode::{BorrowDecode, Encode};

use crate::store::MAX_VALUE_BYTES;
use crate::store::record::companion::{EncodedContext, StoredValue};
use crate::store::record::{Checked, FORM};

/// Of rows that say each companion whole.
const WHOLE: u8 = 4;
/// Of rows that say names once.
const NAMED: u8 = 5;
/// Of rows that say of values what changed.
const CHANGED: u8 = 6;

/// Most lists of names in a row: their numbers are then of one byte, and a row without some of its entries is never longer.
const MAX_LISTS: usize = 200;

/// A companion as it stands in a row.
#[derive(Clone)]
pub(super) enum Entry<'r> {
    /// Names and values in turn.
    Whole(&'r [u8]),
    /// Names, and what is said of them.
    Named(&'r [u8], &'r [u8]),
    /// Names, whom it is about, and the values.
    Told(&'r [u8], &'r [u8], Vec<&'r [u8]>),
}

/// Names that came in a row, and the values that came with them last.
struct List<'c> {
    names: &'c [u8],
    values: Vec<&'c [u8]>,
}

impl<'c> List<'c> {
    const fn new(names: &'c [u8]) -> Self {
        Self { names, values: Vec::new() }
    }
}

/// A row that is being written.
pub(super) struct RowWriter<'c> {
    value: Vec<u8>,
    lists: Vec<List<'c>>,
    /// List and whom, or rest, of the last entry.
    last: Option<(usize, &'c [u8])>,
    /// The context of the last entry, where it is known.
    context: Option<&'c EncodedContext>,
}

impl<'c> RowWriter<'c> {
    /// Room for a whole row is taken at once.
    pub(super) fn new(capacity: usize) -> Self {
        let mut value = Vec::with_capacity(capacity);
        value.push(CHANGED);
        Self { value, lists: Vec::new(), last: None, context: None }
    }

    /// Adds an entry if it has room; says whether it had. The first has: ids and contexts are bounded. Where it had not, the row is
    /// done.
    pub(super) fn push_if_room(&mut self, index: u32, whom: &'c [u8], context: &'c EncodedContext) -> bool {
        let before = self.value.len();
        match (self.context, self.last) {
            (Some(last), Some((place, _))) if last.is(context) => self.push_same(index, place, whom),
            _ => {
                let parts = context.parts();
                self.push_told(index, parts.names, whom, parts.values());
                self.context = Some(context);
            }
        }
        let has_room = self.value.len() <= MAX_VALUE_BYTES && self.lists.len() <= MAX_LISTS;
        let takes_it = has_room || before == 1;
        if !takes_it {
            self.value.truncate(before);
        }
        takes_it
    }

    /// Adds an entry of a row from which some have gone: it has room.
    pub(super) fn push_again(&mut self, index: u32, entry: Entry<'c>) {
        match entry {
            Entry::Told(names, whom, values) => self.push_told(index, names, whom, values.into_iter()),
            Entry::Named(names, rest) => {
                self.value[0] = NAMED;
                self.push_named(index, names, rest);
            }
            Entry::Whole(companion) => {
                self.value[0] = WHOLE;
                self.write((index, companion));
            }
        }
    }

    fn push_told(
        &mut self,
        index: u32,
        names: &'c [u8],
        whom: &'c [u8],
        values: impl ExactSizeIterator<Item = &'c [u8]>,
    ) {
        self.write(index);
        let (place, is_new) = self.list(names);
        let number = self.value.len();
        self.write(place as u64 + 1);
        if is_new {
            self.write(names);
        }
        self.write(whom);
        let bits = self.value.len();
        self.value.resize(bits + if is_new { 0 } else { values.len().div_ceil(8) }, 0);
        let known = &mut self.lists[place].values;
        let mut changed = is_new;
        for (at, value) in values.enumerate() {
            match known.get_mut(at) {
                Some(known) if *known == value => continue,
                Some(known) => {
                    *known = value;
                    self.value[bits + at / 8] |= 1 << (at % 8);
                }
                None => known.push(value),
            }
            changed = true;
            self.value.extend_from_slice(value);
        }
        if !changed && self.last == Some((place, whom)) {
            self.value.truncate(number);
            self.write(0_u64);
        }
        self.last = Some((place, whom));
    }

    /// Adds an entry with the names and values of the one before, of the list at a place.
    fn push_same(&mut self, index: u32, place: usize, whom: &'c [u8]) {
        self.write(index);
        if self.last == Some((place, whom)) {
            return self.write(0_u64);
        }
        self.write(place as u64 + 1);
        self.write(whom);
        let bits = self.lists[place].values.len().div_ceil(8);
        self.value.resize(self.value.len() + bits, 0);
        self.last = Some((place, whom));
    }

    fn push_named(&mut self, index: u32, names: &'c [u8], rest: &'c [u8]) {
        let (place, is_new) = self.list(names);
        if self.last == Some((place, rest)) {
            return self.write((index, 0_u64));
        }
        self.write((index, place as u64 + 1));
        if is_new {
            self.write(names);
        }
        self.write(rest);
        self.last = Some((place, rest));
    }

    /// The place of a list of names, and whether it has just come.
    fn list(&mut self, names: &'c [u8]) -> (usize, bool) {
        match self.lists.iter().position(|list| list.names == names) {
            Some(place) => (place, false),
            None => {
                self.lists.push(List::new(names));
                (self.lists.len() - 1, true)
            }
        }
    }

    fn write(&mut self, what: impl Encode) {
        bincode::encode_into_std_write(what, &mut self.value, FORM)
            .expect("a vector takes every byte, and no mirror refuses");
    }

    pub(super) fn is_empty(&self) -> bool {
        self.value.len() == 1
    }

    pub(super) fn into_value(self) -> Vec<u8> {
        self.value
    }
}

/// Index and companion of each entry of a row, up to the first that is none.
pub(super) struct RowReader<'r> {
    form: u8,
    rest: Reading<'r>,
    lists: Vec<List<'r>>,
    last: Option<Entry<'r>>,
}

/// What is left to read.
pub(super) struct Reading<'a>(pub(super) &'a [u8]);

impl<'a> Reading<'a> {
    pub(super) fn read<T: BorrowDecode<'a, ()>>(&mut self) -> Checked<T> {
        let read = bincode::borrow_decode_from_slice(self.0, FORM);
        let (read, length) = read.map_err(|error| error.to_string())?;
        self.0 = &self.0[length..];
        Ok(read)
    }

    fn take(&mut self, length: usize) -> Checked<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or("it is cut off")?;
        self.0 = rest;
        Ok(taken)
    }

    /// The bytes of a value.
    fn value(&mut self) -> Checked<&'a [u8]> {
        let mut ahead = Self(self.0);
        ahead.read::<StoredValue<'_>>()?;
        self.take(self.0.len() - ahead.0.len())
    }

    pub(super) fn end(self) -> Checked<()> {
        if self.0.is_empty() { Ok(()) } else { Err(format!("{} bytes follow it", self.0.len())) }
    }
}

impl<'r> RowReader<'r> {
    /// An error if it is none that this program reads.
    pub(super) fn new(value: &'r [u8]) -> Checked<Self> {
        let (form, rest) = value.split_first().ok_or("it is empty")?;
        // What two bytes can say may be large: a longer row could claim more memory than any.
        if value.len() > MAX_VALUE_BYTES {
            return Err(format!("it has {} bytes, and a row has at most {MAX_VALUE_BYTES}", value.len()));
        }
        match *form {
            form @ (WHOLE | NAMED | CHANGED) => Ok(Self { form, rest: Reading(rest), lists: Vec::new(), last: None }),
            other => Err(format!("its version is {other}, this program reads {WHOLE} to {CHANGED}")),
        }
    }

    fn entry(&mut self) -> Checked<(u32, Entry<'r>)> {
        if self.form == WHOLE {
            return self.rest.read().map(|(index, companion)| (index, Entry::Whole(companion)));
        }
        let (index, number): (u32, u64) = self.rest.read()?;
        if number == 0 {
            return Ok((index, self.last.clone().ok_or("the first entry is as the one before")?));
        }
        let place = usize::try_from(number - 1).unwrap_or(usize::MAX);
        let is_new = place == self.lists.len() && place < MAX_LISTS;
        if is_new {
            let names = self.rest.read()?;
            // A row in which one came twice could be longer without some of its entries.
            if self.lists.iter().any(|list| list.names == names) {
                return Err(format!("list {number} of names is one that came before"));
            }
            self.lists.push(List::new(names));
        }
        let list = self.lists.get_mut(place).ok_or_else(|| format!("there is no list {number} of names"))?;
        let entry = if self.form == NAMED {
            Entry::Named(list.names, self.rest.read()?)
        } else {
            told(&mut self.rest, list, is_new)?
        };
        self.last = Some(entry.clone());
        Ok((index, entry))
    }
}

fn told<'r>(rest: &mut Reading<'r>, list: &mut List<'r>, is_new: bool) -> Checked<Entry<'r>> {
    let whom = rest.read()?;
    if is_new {
        // Of a companion whose context was too long there is no list.
        let count: u64 = if list.names.is_empty() { 0 } else { Reading(list.names).read()? };
        for _ in 0..count {
            list.values.push(rest.value()?);
        }
    } else {
        let bits = rest.take(list.values.len().div_ceil(8))?;
        for (at, value) in list.values.iter_mut().enumerate() {
            if bits[at / 8] & 1 << (at % 8) != 0 {
                *value = rest.value()?;
            }
        }
    }
    Ok(Entry::Told(list.names, whom, list.values.clone()))
}

impl<'r> Iterator for RowReader<'r> {
    type Item = Checked<(u32, Entry<'r>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.0.is_empty() {
            return None;
        }
        let entry = self.entry();
        if entry.is_err() {
            self.rest = Reading(&[]);
        }
        Some(entry)
    }
}
