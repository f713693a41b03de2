//! Opening: the files' ends are read and compared with what the database and the file `head` say there must be, then the records
//! that the database does not hold yet are read into memory. Files are never changed: where a crash left the beginning of a record
//! behind the last whole one, the next file says where that is.

use std::fs::{self, File};
use std::path::Path;
use std::sync::{Arc, Mutex, RwLock};

use crate::store::guard::refused;
use crate::store::head_file::{self, HeadWriter};
use crate::store::journaled::files::{self, Extent, Listed, Next, Piece, Records};
use crate::store::journaled::key::RowKey;
use crate::store::journaled::marker::Marker;
use crate::store::journaled::record::{Record, next_whole};
use crate::store::journaled::redo::Redoing;
use crate::store::journaled::writer::Writer;
use crate::store::journaled::{Ends, JournaledStore};
use crate::store::opened::Opened;
use crate::store::stored::{checked_block, create_directory, loss, sync_directory};
use crate::store::{CheckpointKind, DiskOptions, Head, StateRow, Store, StoreError};

/// The files' directory within the store's.
const DIRECTORY: &str = "journal";

/// Blocks that are read at every opening. Older ones are checked when they are read: nothing writes to their files any more.
const EXAMINED_BLOCKS: u64 = 1_000;

/// What was read of the files.
struct Read {
    pieces: Vec<Piece>,
    head: Head,
    /// The last record.
    records: u64,
    /// What is wrong with what comes after them, and the files that stand wholly in it.
    flaw: Option<StoreError>,
    rest: Vec<u64>,
    /// Heads that were passed and that somebody asked for.
    passed: Vec<Head>,
}

impl JournaledStore {
    /// Opens the journal of a directory, new if there is none, before the database of the same directory, which holds what `inner` holds.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the file system refuses. [`StoreError::Damaged`] if what is there is not whole,
    /// [`StoreError::Loss`] if blocks are missing: then everything is left as it was found, and the message says the way out.
    pub fn open(directory: &Path, options: DiskOptions, inner: Box<dyn Store>) -> Result<Opened<Self>, StoreError> {
        let directory: Arc<Path> = directory.join(DIRECTORY).into();
        create_directory(&directory)?;
        let mut notes = Vec::new();
        let mut written = head_file::known(&directory, options.accept_loss, &mut notes)?;
        let said = Marker::of(&*inner)?;
        let mut marker =
            said.unwrap_or(Marker { records: 0, older: inner.head().number, head: inner.head(), base: inner.base() });
        let alone = later(inner.head(), marker.base);
        let found = read(&directory, &marker, alone, written, EXAMINED_BLOCKS, &mut notes);
        let read = match found.and_then(|read| judged(read, &marker, written)) {
            Err(flaw @ (StoreError::Damaged(_) | StoreError::Loss { .. })) if options.accept_loss => {
                notes.push(format!("opening {} found: {flaw}", directory.display()));
                let read = read(&directory, &marker, alone, None, u64::MAX, &mut notes)
                    .map_err(|error| with_way_out(error, &directory))?;
                accept(&directory, &*inner, &read, &mut marker, &mut notes)?;
                written = head_file::set_aside(&directory, &mut notes)?;
                read
            }
            read => read.map_err(|error| with_way_out(error, &directory))?,
        };
        if said.is_none() {
            // Before any file is there: from here on the database knows that it is not alone.
            inner.append(&[], &[marker.to_row()])?;
        }
        if let Some(last) = read.pieces.last() {
            // What a process wrote before it was killed may still be on its way to the medium.
            let path = files::path(&directory, last.header.file);
            File::open(&path).and_then(|file| file.sync_all()).map_err(|error| refused("sync the journal", &error))?;
        }
        sync_directory(&directory)?;
        let redoing = Redoing { directory: &directory, inner: &*inner, accept_loss: options.accept_loss, lost: 0 };
        let redone = redoing.redo(&read.pieces, marker, &mut notes);
        let (overlay, flushed) = redone.map_err(|error| with_way_out(error, &directory))?;
        let base = later(marker.base, inner.base());
        if written.is_none() && read.head.number > base.number {
            notes.push(format!("no head file says how long the journal was; it ends at block {}", read.head.number));
        }
        let (pieces, marks) = (Arc::new(read.pieces), Arc::default());
        let store = Self {
            head_writer: HeadWriter::start(&directory, read.head, written)?,
            inner,
            older: marker.older,
            writer: Mutex::new(Writer {
                file: None,
                turn: false,
                keys: RowKey::all(&directory)?,
                told_before: 0,
                records: read.records,
                flushed,
                flushed_base: marker.base,
                current: None,
                sealed: None,
                buffer: Vec::new(),
                uncertain: false,
            }),
            ends: Mutex::new(Ends {
                base,
                extent: Extent { directory: Arc::clone(&directory), pieces, head: read.head, marks },
                closed: false,
            }),
            rows: RwLock::new(overlay),
            directory,
        };
        Ok(Opened { store, notes })
    }
}

fn later(one: Head, other: Head) -> Head {
    std::cmp::max_by_key(one, other, |head| head.number)
}

fn with_way_out(error: StoreError, directory: &Path) -> StoreError {
    match error {
        StoreError::Damaged(flaw) => StoreError::Damaged(format!(
            "{flaw}. What is in {} is as it was found: restore a backup (`mabel restore`), or start with --accept-loss to go on \
             with what is whole",
            directory.display()
        )),
        error @ (StoreError::Loss { .. } | StoreError::Unavailable { .. }) => error,
    }
}

/// Reads the last `window` blocks of the files, and all that the database does not hold. `alone` is the head without any file.
fn read(
    directory: &Path,
    marker: &Marker,
    alone: Head,
    written: Option<Head>,
    window: u64,
    notes: &mut Vec<String>,
) -> Result<Read, StoreError> {
    let Listed { headers, flaw, rest } = files::list(directory)?;
    let Some((first, last)) = headers.first().zip(headers.last()) else {
        let head = alone;
        return Ok(Read { pieces: Vec::new(), head, records: marker.records, flaw, rest, passed: Vec::new() });
    };
    if first.first > marker.records + 1 || first.before.number > marker.base.number.max(marker.older) {
        let path = files::path(directory, first.file);
        return Err(StoreError::Damaged(format!("files of the journal before {} are missing", path.display())));
    }
    let unknown = headers.iter().rposition(|header| header.first <= marker.records + 1).unwrap_or(0);
    let within = headers.iter().rposition(|header| header.before.number.saturating_add(window) <= last.before.number);
    let from = unknown.min(within.unwrap_or(0));
    let mut read = Read {
        pieces: Vec::new(),
        head: headers[from].before,
        records: headers[from].first - 1,
        flaw,
        rest,
        passed: Vec::new(),
    };
    let asked = [Some(marker.head), written];
    for (place, header) in headers.iter().enumerate() {
        let next = headers.get(place + 1);
        let end = match next {
            Some(next) => next.end_before,
            None => fs::metadata(files::path(directory, header.file))
                .map_err(|error| refused("read the journal", &error))?
                .len(),
        };
        read.pieces.push(Piece { header: *header, end });
        if place < from {
            continue;
        }
        let flaw = match (header.before == read.head && header.first == read.records + 1, next) {
            (false, _) => Err("does not continue the file before it".to_owned()),
            (true, Some(_)) => read.follow(directory, &asked)?,
            (true, None) => read.follow_to_the_end(directory, &asked, notes)?,
        };
        if let Err(flaw) = flaw {
            let path = files::path(directory, header.file);
            read.flaw = Some(StoreError::Damaged(format!("{}: {flaw}", path.display())));
            let after = headers[place + 1..].iter().map(|header| header.file);
            read.rest = after.chain(std::mem::take(&mut read.rest)).collect();
            break;
        }
    }
    Ok(read)
}

impl Read {
    /// Reads the last of the pieces from its beginning to its end, which moves to the first flaw that is found.
    fn follow(&mut self, directory: &Path, asked: &[Option<Head>]) -> Result<Result<(), String>, StoreError> {
        let piece = *self.pieces.last().expect("one was added");
        let mut records = Records::of(directory, &piece)?;
        loop {
            self.pass(asked);
            let at = records.at;
            let flaw = match records.next()? {
                Next::End => return Ok(Ok(())),
                Next::Flaw(flaw) => flaw,
                Next::Record(record) => match continued(&record, self.head) {
                    Ok(head) => {
                        (self.head, self.records) = (head, record.number);
                        continue;
                    }
                    Err(flaw) => flaw,
                },
            };
            self.pieces.last_mut().expect("one was added").end = at;
            return Ok(Err(flaw));
        }
    }

    /// As [`Self::follow`], of the last file, which may end with what a crash left of a record. Where a record behind that is whole, it was no crash: each was synced before the next one was written.
    fn follow_to_the_end(
        &mut self,
        directory: &Path,
        asked: &[Option<Head>],
        notes: &mut Vec<String>,
    ) -> Result<Result<(), String>, StoreError> {
        let Err(flaw) = self.follow(directory, asked)? else { return Ok(Ok(())) };
        let piece = *self.pieces.last().expect("one was added");
        let mut records = Records::of(directory, &piece)?;
        records.at = piece.end;
        let rest = records.rest()?;
        if let Some(record) = rest.get(1..).and_then(next_whole) {
            return Ok(Err(format!("{flaw}, though record {} behind it is whole", record.number)));
        }
        if rest.iter().any(|byte| *byte != 0) {
            let path = files::path(directory, piece.header.file);
            notes.push(format!(
                "the last {} bytes of {} are left from a change that was never acknowledged ({flaw})",
                rest.len(),
                path.display()
            ));
        }
        Ok(Ok(()))
    }

    /// Notes the hash of a head that is asked for.
    fn pass(&mut self, asked: &[Option<Head>]) {
        if asked.iter().flatten().any(|asked| asked.number == self.head.number) {
            self.passed.push(self.head);
        }
    }
}

/// The head after a record, or what is wrong with it.
pub(super) fn continued(record: &Record, mut head: Head) -> Result<Head, String> {
    let blocks = record.blocks().ok_or_else(|| format!("record {} cannot be read", record.number))?;
    if record.first_block != head.number + 1 {
        return Err(format!(
            "record {} begins with block {} after block {}",
            record.number, record.first_block, head.number
        ));
    }
    for value in blocks {
        let (block, _) = checked_block(head.number + 1, value, &head.hash).map_err(|error| error.to_string())?;
        head = block.head();
    }
    Ok(head)
}

/// What was read, if it is all that is known to have been.
fn judged(read: Read, marker: &Marker, written: Option<Head>) -> Result<Read, StoreError> {
    if let Some(flaw) = read.flaw {
        return Err(flaw);
    }
    let known = written.map_or(0, |head| head.number);
    loss(read.head.number, known.max(marker.head.number))?;
    if read.records < marker.records {
        return Err(StoreError::Damaged(format!(
            "the journal's files end with record {}, and the database has taken over record {}",
            read.records, marker.records
        )));
    }
    for asked in [Some(marker.head), written].into_iter().flatten() {
        if read.passed.iter().any(|passed| passed.number == asked.number && passed.hash != asked.hash) {
            // Another history: of the one that was committed, at most the blocks before are there.
            loss(asked.number - 1, asked.number)?;
        }
    }
    Ok(read)
}

/// Goes on with what is whole: files after it are set aside, and a checkpoint that is ahead of it is dropped.
fn accept(
    directory: &Path,
    inner: &dyn Store,
    read: &Read,
    marker: &mut Marker,
    notes: &mut Vec<String>,
) -> Result<(), StoreError> {
    let sealed = super::of_journal(inner.load_checkpoint(CheckpointKind::Sealed)?)?.block;
    if sealed > read.head.number {
        // What is left begins after the state that it would be made anew from.
        return Err(with_way_out(StoreError::Damaged(format!("blocks before {sealed} are missing")), directory));
    }
    let current = super::of_journal(inner.load_checkpoint(CheckpointKind::Current)?)?;
    if current.block > read.head.number {
        let rows = current.rows.into_iter().map(|(key, _)| StateRow { key, value: None });
        let rows: Vec<_> = rows.chain([StateRow { key: super::BLOCK_KEY.to_vec(), value: None }]).collect();
        inner.save_checkpoint(CheckpointKind::Current, 0, &rows)?;
        notes.push("dropped the checkpoint: the state is made anew from the journal".into());
    }
    for file in &read.rest {
        let path = files::path(directory, *file);
        let aside = head_file::free_name(directory, &format!("{file:010}.set-aside"));
        fs::rename(&path, &aside).map_err(|error| refused("set a file of the journal aside", &error))?;
        notes.push(format!("{} is kept as {}", path.display(), aside.display()));
    }
    sync_directory(directory)?;
    notes.push(format!("went on after block {}", read.head.number));
    if read.records < marker.records {
        // Records will have these numbers again.
        (marker.records, marker.head) = (read.records, read.head);
        inner.append(&[], &[marker.to_row()])?;
    }
    Ok(())
}
