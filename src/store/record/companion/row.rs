//! A row of companions. Most visitors of a site bring the same attributes, and one visitor is often decided for several times at
//! once: so a row says a list of names once, and a companion that is as the one before takes two bytes, or a few more.
//!
//! Behind the version stand entries: the index of the event, then which companion. 0 is that of the entry before. Any other number is
//! that of a list of names, as they came in this row; one that has not come yet follows, and then the rest of the companion. Before
//! version 5 an entry was its index and the whole companion, names and values in turn; such rows are read, and rewritten as they were.

use bincode::{BorrowDecode, Encode};

use crate::store::MAX_VALUE_BYTES;
use crate::store::record::{Checked, FORM};

/// Of rows that say each companion whole.
const WHOLE: u8 = 4;
/// Of rows that say names once.
const NAMED: u8 = 5;

/// Most lists of names in a row: their numbers are then of one byte, and a row without some of its entries is never longer.
const MAX_LISTS: usize = 200;
/// Most bytes of the numbers of an entry: four, of which each takes up to five.
const NUMBERS: usize = 4 * 5;

/// A companion as it stands in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry<'r> {
    /// Names and values in turn.
    Whole(&'r [u8]),
    /// Names, and what is said of them.
    Named(&'r [u8], &'r [u8]),
}

/// A row that is being written.
pub(super) struct RowWriter<'c> {
    value: Vec<u8>,
    names: Vec<&'c [u8]>,
    last: Option<Entry<'c>>,
}

impl<'c> RowWriter<'c> {
    /// Room for a whole row is taken at once.
    pub(super) fn new(capacity: usize) -> Self {
        let mut value = Vec::with_capacity(capacity);
        value.push(NAMED);
        Self { value, names: Vec::new(), last: None }
    }

    /// Whether one more has room, but for some bytes. The first has: ids and contexts are bounded.
    pub(super) fn has_room(&self, entry: Entry<'_>) -> bool {
        let bytes = match entry {
            _ if self.last == Some(entry) => 0,
            Entry::Named(names, body) if self.names.contains(&names) => body.len(),
            Entry::Named(_, _) if self.names.len() == MAX_LISTS => return false,
            Entry::Named(names, body) => names.len() + body.len(),
            Entry::Whole(companion) => companion.len(),
        };
        self.is_empty() || self.value.len() + NUMBERS + bytes <= MAX_VALUE_BYTES
    }

    pub(super) fn push(&mut self, index: u32, entry: Entry<'c>) {
        match entry {
            _ if self.last == Some(entry) => self.write((index, 0_u32)),
            Entry::Named(names, body) => {
                let known = self.names.iter().position(|known| *known == names);
                let number = known.unwrap_or(self.names.len());
                self.write((index, number as u64 + 1));
                if known.is_none() {
                    self.write(names);
                    self.names.push(names);
                }
                self.write(body);
            }
            Entry::Whole(companion) => {
                // What is left of a row of the former form.
                self.value[0] = WHOLE;
                self.write((index, companion));
            }
        }
        self.last = matches!(entry, Entry::Named(..)).then_some(entry);
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
    rest: &'r [u8],
    names: Vec<&'r [u8]>,
    last: Option<Entry<'r>>,
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
            form @ (WHOLE | NAMED) => Ok(Self { form, rest, names: Vec::new(), last: None }),
            other => Err(format!("its version is {other}, this program reads {WHOLE} and {NAMED}")),
        }
    }

    fn read<T: BorrowDecode<'r, ()>>(&mut self) -> Checked<T> {
        let read = bincode::borrow_decode_from_slice(self.rest, FORM);
        let (read, length) = read.map_err(|error| error.to_string())?;
        self.rest = &self.rest[length..];
        Ok(read)
    }

    fn entry(&mut self) -> Checked<(u32, Entry<'r>)> {
        if self.form == WHOLE {
            return self.read().map(|(index, companion)| (index, Entry::Whole(companion)));
        }
        let (index, number): (u32, u64) = self.read()?;
        if number == 0 {
            return Ok((index, self.last.ok_or("the first entry is as the one before")?));
        }
        let place = usize::try_from(number - 1).unwrap_or(usize::MAX);
        if place == self.names.len() && place < MAX_LISTS {
            let names = self.read()?;
            self.names.push(names);
        }
        let names = self.names.get(place).copied().ok_or_else(|| format!("there is no list {number} of names"))?;
        let entry = Entry::Named(names, self.read()?);
        self.last = Some(entry);
        Ok((index, entry))
    }
}

impl<'r> Iterator for RowReader<'r> {
    type Item = Checked<(u32, Entry<'r>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let entry = self.entry();
        if entry.is_err() {
            self.rest = &[];
        }
        Some(entry)
    }
}
