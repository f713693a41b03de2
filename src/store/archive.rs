//! A store as one stream of bytes, and back: for backups, and for moving from one kind of store to another.
//!
//! An archive is taken while its store goes on: rows first, then checkpoints, then blocks, so that whatever was committed
//! meanwhile is in the blocks; companions and profiles last, since no block says what they do. It says where the journal ended before the first row was read; rows of later blocks are made
//! anew by whoever restores it. A digest at its end tells a whole archive from one that broke off.
//!
//! Form: a line that names it, then frames of a tag, a length of four bytes, and so many bytes.

use std::io::{Read, Write};

use crate::store::{Block, CheckpointKind, Head, MAX_KEY_BYTES, Row, Space, StateRow, Store, StoreError};

const NAME: &[u8; 16] = b"mabel archive 1\n";
/// Longest frame: the longest record of a checkpoint claims less.
const FRAME_BYTES_MAX: u32 = 128 << 20;
/// Rows that are read, and blocks that are appended, at once.
const AT_ONCE: usize = 1_000;
/// Looks at a checkpoint that is being saved meanwhile.
const CHECKPOINT_TRIES: u32 = 20;

/// Why an archive could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The other end.
    #[error("the archive could not be {action}: {detail}")]
    Stream {
        /// Read or written.
        action: &'static str,
        /// What the system said.
        detail: String,
    },
    /// It is not what was written.
    #[error("the archive is damaged or broke off: {0}")]
    Damaged(String),
    /// There is something already.
    #[error("the store is not empty: an archive is restored into a new one, so that nothing is overwritten")]
    NotEmpty,
}

/// What an archive holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Archived {
    /// The last block that had been dropped.
    pub base: u64,
    /// Rows of all blocks up to this one are in it.
    pub fence: u64,
    /// The last block in it.
    pub head: u64,
    /// Rows beside the journal.
    pub rows: u64,
    /// Bytes, digest included.
    pub bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tag {
    /// Base and fence.
    Begin,
    Row,
    /// A checkpoint's block, behind its rows.
    Checkpoint(CheckpointKind),
    CheckpointRow(CheckpointKind),
    Block,
    /// The digest of all bytes before.
    End,
}

const TAGS: [(u8, Tag); 8] = [
    (b'<', Tag::Begin),
    (b'r', Tag::Row),
    (b'C', Tag::Checkpoint(CheckpointKind::Current)),
    (b'c', Tag::CheckpointRow(CheckpointKind::Current)),
    (b'S', Tag::Checkpoint(CheckpointKind::Sealed)),
    (b's', Tag::CheckpointRow(CheckpointKind::Sealed)),
    (b'b', Tag::Block),
    (b'>', Tag::End),
];

/// Writes all that a store holds. The store may go on meanwhile; its retention must not drop blocks.
///
/// # Errors
/// [`ArchiveError`]; what was written so far is then refused by [`read`].
pub fn write(store: &dyn Store, out: &mut dyn Write) -> Result<Archived, ArchiveError> {
    let (base, fence) = (store.base(), store.head());
    let mut writer = FrameWriter { out, hasher: blake3::Hasher::new(), bytes: 0 };
    writer.raw(NAME)?;
    writer.frame(Tag::Begin, &[&base.number.to_le_bytes(), &base.hash, &fence.number.to_le_bytes()])?;
    let mut archived = Archived { base: base.number, fence: fence.number, ..Archived::default() };
    for space in Space::ALL.into_iter().filter(|space| !matches!(space, Space::Companion | Space::Profile)) {
        archived.rows += writer.rows(store, space, &[u8::MAX; MAX_KEY_BYTES])?;
    }
    for kind in [CheckpointKind::Sealed, CheckpointKind::Current] {
        let checkpoint = settled(|| store.load_checkpoint(kind))?;
        for (key, value) in &checkpoint.rows {
            let length = u16::try_from(key.len()).expect("names have at most 1,024 bytes").to_le_bytes();
            writer.frame(Tag::CheckpointRow(kind), &[&length, key, value])?;
        }
        writer.frame(Tag::Checkpoint(kind), &[&checkpoint.block.to_le_bytes()])?;
    }
    archived.head = base.number;
    for block in store.blocks(base.number + 1) {
        let block = block?;
        let number = block.number();
        if number != archived.head + 1 {
            return Err(ArchiveError::Damaged(format!("block {} was dropped meanwhile; try again", archived.head + 1)));
        }
        writer.frame(Tag::Block, &[&number.to_le_bytes(), block.previous(), block.payload()])?;
        archived.head = number;
    }
    // Nobody could make these anew: last, when all blocks that they stand beside are in it.
    archived.rows += writer.rows(store, Space::Companion, &(archived.head + 1).to_be_bytes())?;
    archived.rows += writer.rows(store, Space::Profile, &[u8::MAX; MAX_KEY_BYTES])?;
    let digest = *writer.hasher.finalize().as_bytes();
    writer.frame(Tag::End, &[&digest])?;
    writer.out.flush().map_err(|error| unwritten(&error))?;
    archived.bytes = writer.bytes;
    Ok(archived)
}

/// Reads an archive into a store that is empty. Rows of blocks after [`Archived::fence`] are still to be made anew.
///
/// # Errors
/// [`ArchiveError`]; the store is then to be thrown away, as it holds a part.
pub fn read(input: &mut dyn Read, store: &dyn Store) -> Result<Archived, ArchiveError> {
    if store.head() != Head::default() {
        return Err(ArchiveError::NotEmpty);
    }
    let mut reader = FrameReader { input, hasher: blake3::Hasher::new(), bytes: 0 };
    let mut name = [0; NAME.len()];
    reader.fill(&mut name)?;
    if name != *NAME {
        return Err(ArchiveError::Damaged("it does not begin as an archive of this version does".into()));
    }
    let mut archived = Archived::default();
    let (mut rows, mut blocks, mut state) = (Vec::new(), Vec::new(), Vec::new());
    // Checkpoints name blocks, which come last.
    let mut checkpoints = Vec::new();
    loop {
        let before = *reader.hasher.finalize().as_bytes();
        let (tag, frame) = reader.frame()?;
        let damaged = || ArchiveError::Damaged(format!("a frame {tag:?} of {} bytes", frame.len()));
        match tag {
            Tag::Begin => {
                let (base, fence) = begin(&frame).ok_or_else(damaged)?;
                (archived.base, archived.fence) = (base.number, fence);
                if base.number > 0 {
                    store.begin(base)?;
                }
            }
            Tag::Row => {
                rows.push(row(&frame).ok_or_else(damaged)?);
                archived.rows += 1;
            }
            Tag::CheckpointRow(_) => state.push(state_row(&frame).ok_or_else(damaged)?),
            Tag::Checkpoint(kind) => {
                let block = frame.first_chunk().map(|bytes| u64::from_le_bytes(*bytes)).ok_or_else(damaged)?;
                checkpoints.push((kind, block, std::mem::take(&mut state)));
            }
            Tag::Block => {
                let block = block(&frame).ok_or_else(damaged)?;
                let last = blocks.last().map_or_else(|| store.head(), |last: &Block| last.head());
                if block.number() != last.number + 1 || *block.previous() != last.hash {
                    return Err(ArchiveError::Damaged(format!(
                        "block {} does not continue the one before",
                        block.number()
                    )));
                }
                blocks.push(block);
            }
            Tag::End if frame == before => break,
            Tag::End => return Err(ArchiveError::Damaged("its digest is another".into())),
        }
        if rows.len() >= AT_ONCE || blocks.len() >= AT_ONCE {
            store.append(&std::mem::take(&mut blocks), &std::mem::take(&mut rows))?;
        }
    }
    store.append(&blocks, &rows)?;
    archived.head = store.head().number;
    for (kind, block, rows) in checkpoints {
        if block > archived.head {
            return Err(ArchiveError::Damaged(format!("a checkpoint includes block {block}, which is not in it")));
        }
        store.save_checkpoint(kind, block, &rows)?;
    }
    archived.bytes = reader.bytes;
    Ok(archived)
}

/// A checkpoint that is being saved while it is read looks damaged; the next look finds it whole.
fn settled<T>(read: impl Fn() -> Result<T, StoreError>) -> Result<T, StoreError> {
    for _ in 1..CHECKPOINT_TRIES {
        match read() {
            Err(StoreError::Damaged(_)) => std::thread::sleep(std::time::Duration::from_millis(50)),
            result => return result,
        }
    }
    read()
}

fn begin(frame: &[u8]) -> Option<(Head, u64)> {
    let (number, rest) = frame.split_first_chunk::<8>()?;
    let (hash, fence) = rest.split_first_chunk::<32>()?;
    Some((Head { number: u64::from_le_bytes(*number), hash: *hash }, u64::from_le_bytes(fence.try_into().ok()?)))
}

fn row(frame: &[u8]) -> Option<Row> {
    let ([space, length], rest) = frame.split_first_chunk::<2>()?;
    let (key, value) = rest.split_at_checked(usize::from(*length))?;
    let space = Space::from_number(*space)?;
    let fits = key.len() <= crate::store::MAX_KEY_BYTES && value.len() <= crate::store::MAX_VALUE_BYTES;
    fits.then(|| Row { space, key: key.to_vec(), value: Some(value.to_vec()) })
}

fn state_row(frame: &[u8]) -> Option<StateRow> {
    let (length, rest) = frame.split_first_chunk::<2>()?;
    let (key, value) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
    Some(StateRow { key: key.to_vec(), value: Some(value.to_vec()) })
}

fn block(frame: &[u8]) -> Option<Block> {
    let (number, rest) = frame.split_first_chunk::<8>()?;
    let (previous, payload) = rest.split_first_chunk::<32>()?;
    Some(Block::new(u64::from_le_bytes(*number), *previous, payload.to_vec()))
}

struct FrameWriter<'a> {
    out: &'a mut dyn Write,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl FrameWriter<'_> {
    /// All rows of a space below a key; says how many.
    fn rows(&mut self, store: &dyn Store, space: Space, below: &[u8]) -> Result<u64, ArchiveError> {
        let mut count = 0;
        let mut after: Option<Vec<u8>> = None;
        loop {
            let rows = store.rows(space, &[], after.as_deref(), AT_ONCE)?;
            for (key, value) in rows.iter().filter(|(key, _)| **key < *below) {
                let length = u8::try_from(key.len()).expect("keys have at most 64 bytes");
                self.frame(Tag::Row, &[&[space.number(), length], key, value])?;
                count += 1;
            }
            match rows.last() {
                Some((last, _)) if **last < *below => after = Some(last.clone()),
                Some(_) | None => return Ok(count),
            }
        }
    }

    fn frame(&mut self, tag: Tag, parts: &[&[u8]]) -> Result<(), ArchiveError> {
        let byte = TAGS.iter().find(|(_, known)| *known == tag).map(|(byte, _)| *byte).expect("every tag has a byte");
        let length = u32::try_from(parts.iter().map(|part| part.len()).sum::<usize>()).ok();
        let Some(length) = length.filter(|length| *length <= FRAME_BYTES_MAX) else {
            return Err(ArchiveError::Damaged(format!("a record {tag:?} is too long for a frame")));
        };
        self.raw(&[byte])?;
        self.raw(&length.to_le_bytes())?;
        parts.iter().try_for_each(|part| self.raw(part))
    }

    fn raw(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        self.out.write_all(bytes).map_err(|error| unwritten(&error))
    }
}

struct FrameReader<'a> {
    input: &'a mut dyn Read,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl FrameReader<'_> {
    fn frame(&mut self) -> Result<(Tag, Vec<u8>), ArchiveError> {
        let mut head = [0; 5];
        self.fill(&mut head)?;
        let [byte, length @ ..] = head;
        let length = u32::from_le_bytes(length);
        let tag = TAGS.iter().find(|(known, _)| *known == byte).map(|(_, tag)| *tag);
        let Some(tag) = tag.filter(|_| length <= FRAME_BYTES_MAX) else {
            return Err(ArchiveError::Damaged(format!("a frame begins with {byte} and has {length} bytes")));
        };
        let length = usize::try_from(length).map_err(|_| ArchiveError::Damaged("a frame of 4 GiB".into()))?;
        // Grows as bytes arrive, so that a damaged length claims nothing.
        let mut frame = Vec::new();
        let read = self.input.take(length as u64).read_to_end(&mut frame).map_err(|error| unread(&error))?;
        if read < length {
            return Err(ArchiveError::Damaged("it ends within a frame".into()));
        }
        self.hasher.update(&frame);
        self.bytes += read as u64;
        Ok((tag, frame))
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), ArchiveError> {
        let broke_off = |error: &std::io::Error| error.kind() == std::io::ErrorKind::UnexpectedEof;
        self.input.read_exact(bytes).map_err(|error| match broke_off(&error) {
            true => ArchiveError::Damaged("it ends before its end".into()),
            false => unread(&error),
        })?;
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}

fn unwritten(error: &std::io::Error) -> ArchiveError {
    ArchiveError::Stream { action: "written", detail: error.to_string() }
}

fn unread(error: &std::io::Error) -> ArchiveError {
    ArchiveError::Stream { action: "read", detail: error.to_string() }
}

#[cfg(test)]
mod tests;
