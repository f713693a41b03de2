//! The journal's files: which there are, and reading records and blocks out of them.

use std::fs::{self, File};
use std::io::{BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::store::guard::refused;
use crate::store::journaled::record::{HEADER_BYTES, Header, PREFIX_BYTES, Prefix, Record};
use crate::store::stored::{checked_block, missing};
use crate::store::{Block, BlockHash, Head, StoreError};

const READ: &str = "read the journal";
const SUFFIX: &str = ".journal";
const BUFFER_BYTES: usize = 128 << 10;
/// Bytes between two places in the last file that are kept in memory.
const MARK_BYTES: u64 = if cfg!(test) { 5_000 } else { 64 << 10 };

/// One file and where its records end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) header: Header,
    /// Nothing behind it counts.
    pub(super) end: u64,
}

/// Where the journal stands on disk at one moment: its files, in order, and its last block.
#[derive(Debug, Clone)]
pub(super) struct Extent {
    pub(super) directory: Arc<Path>,
    pub(super) pieces: Arc<Vec<Piece>>,
    pub(super) head: Head,
    /// Some places in the last file, so that whoever follows the journal need not read all of it.
    pub(super) marks: Arc<Vec<Mark>>,
}

impl Extent {
    /// Where the next record will stand in the last file; 0 where there is none.
    pub(super) fn end(&self) -> u64 {
        self.pieces.last().map_or(0, |piece| piece.end)
    }

    /// Another file was begun.
    pub(super) fn begin(&mut self, piece: Piece) {
        Arc::make_mut(&mut self.pieces).push(piece);
        self.marks = Arc::default();
    }

    /// The last file got a record that ends here.
    pub(super) fn grew(&mut self, record: u64, first_block: u64, end: u64) {
        let at = self.end();
        if self.marks.last().is_none_or(|mark| mark.at + MARK_BYTES <= at) {
            Arc::make_mut(&mut self.marks).push(Mark { at, record, first_block });
        }
        if let Some(last) = Arc::make_mut(&mut self.pieces).last_mut() {
            last.end = end;
        }
    }
}

/// Where a record begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    pub(super) at: u64,
    pub(super) record: u64,
    pub(super) first_block: u64,
}

pub(super) fn path(directory: &Path, file: u64) -> PathBuf {
    directory.join(format!("{file:010}{SUFFIX}"))
}

/// What files there are.
#[derive(Debug, Default)]
pub(super) struct Listed {
    /// Headers of those that follow each other, from the first on.
    pub(super) headers: Vec<Header>,
    /// What keeps the ones after them from following, and which these are.
    pub(super) flaw: Option<StoreError>,
    pub(super) rest: Vec<u64>,
}

/// Lists a directory. A last file that has no more than the beginning of a header was never used, and is left out.
pub(super) fn list(directory: &Path) -> Result<Listed, StoreError> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(directory).map_err(|error| refused(READ, &error))? {
        let name = entry.map_err(|error| refused(READ, &error))?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(SUFFIX)).and_then(|name| name.parse::<u64>().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    let mut listed = Listed::default();
    for (place, number) in numbers.iter().enumerate() {
        let flaw = match header(directory, *number)? {
            Ok(header) if listed.headers.last().is_none_or(|before| header.may_follow(before)) => {
                listed.headers.push(header);
                continue;
            }
            Err(length) if place + 1 == numbers.len() && length <= HEADER_BYTES as u64 => continue,
            Ok(_) => "is not the file that comes next, or the one before it is missing",
            Err(_) => "does not begin as a file of the journal",
        };
        listed.flaw = Some(StoreError::Damaged(format!("{} {flaw}", path(directory, *number).display())));
        listed.rest = numbers[place..].to_vec();
        break;
    }
    Ok(listed)
}

/// A file's header, or the file's length where it has none.
fn header(directory: &Path, number: u64) -> Result<Result<Header, u64>, StoreError> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES);
    let length = File::open(path(directory, number)).and_then(|file| {
        (&file).take(HEADER_BYTES as u64).read_to_end(&mut bytes)?;
        Ok(file.metadata()?.len())
    });
    let length = length.map_err(|error| refused(READ, &error))?;
    Ok(Header::from_bytes(&bytes).filter(|header| header.file == number).ok_or(length))
}

/// Records of one file in order.
pub(super) struct Records {
    path: PathBuf,
    file: BufReader<File>,
    /// Where the next one begins, and what its number is.
    pub(super) at: u64,
    pub(super) number: u64,
    end: u64,
}

/// What comes next in a file.
pub(super) enum Next {
    Record(Record),
    End,
    /// Nothing that was written whole: what is wrong.
    Flaw(String),
}

impl Records {
    pub(super) fn of(directory: &Path, piece: &Piece) -> Result<Self, StoreError> {
        let path = path(directory, piece.header.file);
        let file = File::open(&path).map_err(|error| match error.kind() == ErrorKind::NotFound {
            true => StoreError::Damaged(format!("{} is missing", path.display())),
            false => refused(READ, &error),
        })?;
        let mut records = Self {
            path,
            file: BufReader::with_capacity(BUFFER_BYTES, file),
            at: 0,
            number: piece.header.first,
            end: piece.end,
        };
        records.seek(HEADER_BYTES as u64)?;
        Ok(records)
    }

    fn seek(&mut self, at: u64) -> Result<(), StoreError> {
        self.file.seek(SeekFrom::Start(at)).map_err(|error| refused(READ, &error))?;
        self.at = at;
        Ok(())
    }

    /// Reads bytes that the file is said to have; `false` where it has not.
    fn filled(&mut self, bytes: &mut [u8]) -> Result<bool, StoreError> {
        match self.file.read_exact(bytes) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(refused(READ, &error)),
        }
    }

    /// The next one's beginning; `None` at the end.
    fn prefix(&mut self) -> Result<Result<Option<Prefix>, String>, StoreError> {
        if self.at == self.end {
            return Ok(Ok(None));
        }
        let at = self.at;
        let flaw = |what: &str| Ok(Err(format!("at byte {at} {what}")));
        let room = self.end - self.at;
        if room < PREFIX_BYTES as u64 {
            return flaw("a record breaks off");
        }
        let mut bytes = [0; PREFIX_BYTES];
        if !self.filled(&mut bytes)? {
            return Ok(Err(format!("the file ends before byte {}", self.end)));
        }
        match Prefix::from_bytes(&bytes) {
            None => flaw("no record begins"),
            Some(prefix) if prefix.body as u64 > room - PREFIX_BYTES as u64 => flaw("a record breaks off"),
            Some(prefix) if prefix.number != self.number => flaw("another record stands than should"),
            Some(prefix) => Ok(Ok(Some(prefix))),
        }
    }

    pub(super) fn next(&mut self) -> Result<Next, StoreError> {
        let prefix = match self.prefix()? {
            Ok(Some(prefix)) => prefix,
            Ok(None) => return Ok(Next::End),
            Err(flaw) => return Ok(Next::Flaw(flaw)),
        };
        let mut body = vec![0; prefix.body];
        if !self.filled(&mut body)? {
            return Ok(Next::Flaw(format!("the file ends before byte {}", self.end)));
        }
        let Some(record) = prefix.with(body) else {
            return Ok(Next::Flaw(format!("at byte {} a record is not what was written", self.at)));
        };
        self.at += (PREFIX_BYTES + prefix.body) as u64;
        self.number += 1;
        Ok(Next::Record(record))
    }

    /// As [`Self::next`], where the journal is known to be whole.
    pub(super) fn whole(&mut self) -> Result<Option<Record>, StoreError> {
        match self.next()? {
            Next::Record(record) => Ok(Some(record)),
            Next::End => Ok(None),
            Next::Flaw(flaw) => Err(self.damaged(&flaw)),
        }
    }

    pub(super) fn damaged(&self, flaw: &str) -> StoreError {
        StoreError::Damaged(format!("{}: {flaw}", self.path.display()))
    }

    /// All bytes from here on to where the file ends.
    pub(super) fn rest(&mut self) -> Result<Vec<u8>, StoreError> {
        self.seek(self.at)?;
        let mut rest = Vec::new();
        self.file.read_to_end(&mut rest).map_err(|error| refused(READ, &error))?;
        Ok(rest)
    }

    /// Goes past the records that end before a block, from a place that is known to lie before it, without looking into them.
    fn skip_to(&mut self, block: u64, known: Option<&Mark>) -> Result<(), StoreError> {
        if let Some(mark) = known {
            self.seek(mark.at)?;
            self.number = mark.record;
        }
        // The record before is known to end there only when the next one's beginning was read.
        let mut last = (self.at, self.number);
        while let Ok(Some(prefix)) = self.prefix()? {
            if prefix.first_block > block {
                break;
            }
            last = (self.at, self.number);
            let body = i64::try_from(prefix.body).expect("a body is shorter than four gigabytes");
            self.file.seek_relative(body).map_err(|error| refused(READ, &error))?;
            self.at += (PREFIX_BYTES + prefix.body) as u64;
            self.number += 1;
        }
        self.number = last.1;
        self.seek(last.0)
    }
}

/// Blocks in order, each checked against the one before. Ends after the first error.
pub(super) struct BlockReader {
    extent: Extent,
    records: Option<Records>,
    /// Place of the next file among the pieces.
    piece: usize,
    /// Blocks of the record that was read last.
    waiting: std::vec::IntoIter<Block>,
    /// The next block to read; `None` after an error.
    next: Option<u64>,
    /// Hash of the block before it.
    previous: BlockHash,
}

impl BlockReader {
    /// Blocks from a number on, which is in one of the files, or beyond the head. `before` is the hash of the block before, where it
    /// is known.
    pub(super) fn new(extent: Extent, from: u64, before: Option<BlockHash>) -> Result<Self, StoreError> {
        let waiting = Vec::new().into_iter();
        let mut reader = Self { extent, records: None, piece: 0, waiting, next: Some(from), previous: [0; 32] };
        if from <= reader.extent.head.number {
            reader.find(from, before)?;
        }
        Ok(reader)
    }

    /// Goes to the record that a block stands in.
    fn find(&mut self, from: u64, before: Option<BlockHash>) -> Result<(), StoreError> {
        let pieces = Arc::clone(&self.extent.pieces);
        let place = pieces.iter().rposition(|piece| piece.header.before.number < from).ok_or_else(|| missing(from))?;
        let mut records = Records::of(&self.extent.directory, &pieces[place])?;
        let marks = if place + 1 == pieces.len() { &self.extent.marks[..] } else { &[] };
        records.skip_to(from, marks.iter().rfind(|mark| mark.first_block <= from))?;
        self.piece = place + 1;
        self.records = Some(records);
        let record = self.record()?.ok_or_else(|| missing(from))?;
        let blocks = record.blocks().ok_or_else(|| missing(from))?;
        let skipped = from.checked_sub(record.first_block).and_then(|skipped| usize::try_from(skipped).ok());
        let blocks = skipped.and_then(|skipped| blocks.get(skipped..)).unwrap_or(&[]);
        let [first, ..] = blocks else { return Err(missing(from)) };
        let header = pieces[place].header.before;
        self.previous = match before.or_else(|| (header.number + 1 == from).then_some(header.hash)) {
            Some(known) => known,
            // Nobody says which block comes before but this one itself.
            None => *first.get(32..).and_then(<[u8]>::first_chunk).ok_or_else(|| missing(from))?,
        };
        self.waiting = self.checked(blocks, from)?;
        Ok(())
    }

    fn record(&mut self) -> Result<Option<Record>, StoreError> {
        loop {
            if let Some(records) = &mut self.records
                && let Some(record) = records.whole()?
            {
                return Ok(Some(record));
            }
            let Some(piece) = self.extent.pieces.get(self.piece) else { return Ok(None) };
            self.records = Some(Records::of(&self.extent.directory, piece)?);
            self.piece += 1;
        }
    }

    fn checked(&mut self, blocks: &[&[u8]], first: u64) -> Result<std::vec::IntoIter<Block>, StoreError> {
        let mut checked = Vec::with_capacity(blocks.len());
        for (value, number) in blocks.iter().zip(first..) {
            let (block, hash) = checked_block(number, value, &self.previous)?;
            self.previous = hash;
            checked.push(block);
        }
        Ok(checked.into_iter())
    }

    fn read(&mut self, number: u64) -> Result<Block, StoreError> {
        loop {
            if let Some(block) = self.waiting.next() {
                return if block.number() == number { Ok(block) } else { Err(missing(number)) };
            }
            let record = self.record()?.ok_or_else(|| missing(number))?;
            let blocks = record.blocks().ok_or_else(|| missing(number))?;
            self.waiting = self.checked(&blocks, record.first_block)?;
        }
    }
}

impl Iterator for BlockReader {
    type Item = Result<Block, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let last = self.extent.head.number;
        let number = self.next.take_if(|number| *number <= last)?;
        let block = self.read(number);
        self.next = block.is_ok().then_some(number + 1);
        Some(block)
    }
}
