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
#[derive(Clone, Copy)]
pub(super) enum Entry<'r> {
    /// Names and values in turn.
    Whole(&'r [u8]),
    /// Names, and what is said of them.
    Named(&'r [u8], &'r [u8]),
}

/// What a row has of an entry already.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// All of it.
    AsBefore,
    /// Its list of names, by its index.
    Listed(usize),
    New,
}

/// A row that is being written.
pub(super) struct RowWriter<'c> {
    value: Vec<u8>,
    names: Vec<&'c [u8]>,
    last: Option<(&'c [u8], &'c [u8])>,
}

impl<'c> RowWriter<'c> {
    /// Room for a whole row is taken at once.
    pub(super) fn new(capacity: usize) -> Self {
        let mut value = Vec::with_capacity(capacity);
        value.push(NAMED);
        Self { value, names: Vec::new(), last: None }
    }

    /// Adds an entry if it has room, but for some bytes; says whether it had. The first has: ids and contexts are bounded.
    pub(super) fn push_if_room(&mut self, index: u32, names: &'c [u8], body: &'c [u8]) -> bool {
        let place = self.place(names, body);
        let bytes = match place {
            Place::AsBefore => 0,
            Place::Listed(_) => body.len(),
            Place::New => names.len() + body.len(),
        };
        let lists = self.names.len() + usize::from(place == Place::New);
        let has_room = self.value.len() + NUMBERS + bytes <= MAX_VALUE_BYTES && lists <= MAX_LISTS;
        let takes_it = has_room || self.is_empty();
        if takes_it {
            self.push_named(index, names, body, place);
        }
        takes_it
    }

    /// Adds an entry of a row from which some have gone: it has room.
    pub(super) fn push_again(&mut self, index: u32, entry: Entry<'c>) {
        match entry {
            Entry::Named(names, body) => self.push_named(index, names, body, self.place(names, body)),
            Entry::Whole(companion) => {
                self.value[0] = WHOLE;
                self.write((index, companion));
            }
        }
    }

    fn push_named(&mut self, index: u32, names: &'c [u8], body: &'c [u8], place: Place) {
        match place {
            Place::AsBefore => return self.write((index, 0_u64)),
            Place::Listed(list) => self.write((index, list as u64 + 1)),
            Place::New => {
                self.names.push(names);
                self.write((index, self.names.len() as u64, names));
            }
        }
        self.write(body);
        self.last = Some((names, body));
    }

    fn place(&self, names: &[u8], body: &[u8]) -> Place {
        if self.last == Some((names, body)) {
            return Place::AsBefore;
        }
        self.names.iter().position(|known| *known == names).map_or(Place::New, Place::Listed)
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
    names: Vec<&'r [u8]>,
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
            form @ (WHOLE | NAMED) => Ok(Self { form, rest: Reading(rest), names: Vec::new(), last: None }),
            other => Err(format!("its version is {other}, this program reads {WHOLE} and {NAMED}")),
        }
    }

    fn entry(&mut self) -> Checked<(u32, Entry<'r>)> {
        if self.form == WHOLE {
            return self.rest.read().map(|(index, companion)| (index, Entry::Whole(companion)));
        }
        let (index, number): (u32, u64) = self.rest.read()?;
        if number == 0 {
            return Ok((index, self.last.ok_or("the first entry is as the one before")?));
        }
        let place = usize::try_from(number - 1).unwrap_or(usize::MAX);
        if place == self.names.len() && place < MAX_LISTS {
            let names = self.rest.read()?;
            self.names.push(names);
        }
        let names = self.names.get(place).copied().ok_or_else(|| format!("there is no list {number} of names"))?;
        let entry = Entry::Named(names, self.rest.read()?);
        self.last = Some(entry);
        Ok((index, entry))
    }
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
