//! Opening with suspicion. sled 0.34.7 can refuse to open over a snapshot that a kill left half-written, panic over a flipped
//! bit, or open with part of the data gone. So whatever it opens is examined, and what cannot be opened whole is repaired
//! on a copy; the original is set aside, never deleted, never overwritten.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::store::disk::guard::{guarded, is_locked};
use crate::store::disk::journal::{examine, stored_hash};
use crate::store::disk::layout::*;
use crate::store::guard::refused;
use crate::store::head_file;
use crate::store::stored::{EXAMINED_BLOCKS, Examined, create_directory, loss, newer, sync_directory};
use crate::store::{CheckpointKind, DiskOptions, Head, StoreError};

/// sled's own threads let go of the lock a moment after the store was closed.
const LOCK_TRIES: u32 = 40;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// sled's directory within the store's.
pub(in crate::store) const LIVE: &str = "sled";
/// A copy that is being repaired: this and the number of the process.
const COPY: &str = "sled.copy-";
/// A copy that was found whole and waits to be moved into place.
const REPAIRED: &str = "sled.repaired";

/// An open database whose journal is whole.
pub(super) struct Opened {
    pub(super) db: sled::Db,
    pub(super) head: Head,
    /// What the head file says; `None` if it says nothing.
    pub(super) written: Option<Head>,
    pub(super) notes: Vec<String>,
}

/// What a repair may drop to get a whole journal.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dropping {
    Nothing,
    /// Blocks that do not continue the whole chain, and a checkpoint that is ahead of it or not whole itself.
    WhatIsNotWhole,
}

/// Opens a directory's database. `seen` is the head that this very process saw committed, if it had it open before.
pub(super) fn open(directory: &Path, options: DiskOptions, seen: Option<Head>) -> Result<Opened, StoreError> {
    create_directory(directory)?;
    let live = directory.join(LIVE);
    let mut notes = Vec::new();
    finish_interrupted_repair(directory, &mut notes)?;
    note_unfinished_copies(directory, &mut notes)?;
    let written = head_file::known(directory, options.accept_loss, &mut notes)?;
    let known = newer(written, seen);
    if !live.exists() && !options.accept_loss {
        // Before a new, empty database is made where one should be.
        known.map_or(Ok(()), |head| loss(0, head.number))?;
    }
    let problem = match attempt(&live, options, known) {
        Ok((db, head)) => return Ok(Opened { db, head, written, notes }),
        Err(problem @ StoreError::Unavailable { .. }) => return Err(problem),
        Err(problem) => problem,
    };
    notes.push(format!("opening {} found: {problem}", live.display()));
    let repaired = repair(directory, options, known, Dropping::Nothing, &mut notes);
    let mut written = written;
    let repaired = match repaired {
        Err(StoreError::Damaged(_) | StoreError::Loss { .. }) if options.accept_loss => {
            let repaired = repair(directory, options, None, Dropping::WhatIsNotWhole, &mut notes);
            if repaired.is_ok() {
                // Not before: where no repair helps, it is still what tells an older copy from the whole.
                written = head_file::set_aside(directory, &mut notes)?;
            }
            repaired
        }
        repaired => repaired,
    };
    let (db, head) = repaired.map_err(|second| worse(problem, second, directory))?;
    Ok(Opened { db, head, written, notes })
}

/// One error out of two: what opening found, and what working on a copy found.
fn worse(first: StoreError, second: StoreError, directory: &Path) -> StoreError {
    match (first, second) {
        (loss @ StoreError::Loss { .. }, _) | (_, loss @ StoreError::Loss { .. }) => loss,
        (first, second) => StoreError::Damaged(format!(
            "{first}. A repaired copy was tried as well: {second}. What is in {} is as it was found: restore a backup \
             (`mabel restore`), or start with --accept-loss to go on with what is whole",
            directory.display()
        )),
    }
}

/// Opens a directory in place and examines it.
fn attempt(path: &Path, options: DiskOptions, known: Option<Head>) -> Result<(sled::Db, Head), StoreError> {
    let db = open_sled(path, options.cache_bytes)?;
    let judged = no_blobs(path)
        .and_then(|()| check_layout(&db))
        .and_then(|()| examine(&db, EXAMINED_BLOCKS))
        .and_then(|examined| examined.judge(known, |number| stored_hash(&db, number)))
        // sled syncs neither its settings nor the directory's entries.
        .and_then(|head| sync_all(path).map(|()| head));
    match judged {
        Ok(head) => Ok((db, head)),
        Err(error) => {
            let_go(db)?;
            Err(error)
        }
    }
}

fn open_sled(path: &Path, cache_bytes: u64) -> Result<sled::Db, StoreError> {
    let config = sled::Config::new().path(path).cache_capacity(cache_bytes).flush_every_ms(None);
    guarded("open the database", || {
        let mut result = config.open();
        for _ in 1..LOCK_TRIES {
            match &result {
                Err(error) if is_locked(error) => std::thread::sleep(LOCK_PAUSE),
                Ok(_) | Err(_) => break,
            }
            result = config.open();
        }
        result
    })
}

pub(super) fn let_go(db: sled::Db) -> Result<(), StoreError> {
    guarded("let go of the database", move || {
        drop(db);
        Ok(())
    })
}

/// Pages that sled wrote to files of their own are never synced (DESIGN §6); values are cut so that there are none.
fn no_blobs(path: &Path) -> Result<(), StoreError> {
    let mut blobs = fs::read_dir(path.join("blobs")).map_err(|error| refused("read its directory", &error))?;
    match blobs.next() {
        None => Ok(()),
        Some(_) => Err(StoreError::Damaged("sled has put pages in blobs/, where they are never synced".into())),
    }
}

/// A new database is marked with the layout's version.
fn check_layout(db: &sled::Db) -> Result<(), StoreError> {
    let found = guarded("read its version", || db.get(LAYOUT_KEY))?;
    match found.as_deref() {
        Some([LAYOUT_VERSION | JOURNALED_VERSION]) => Ok(()),
        Some(other) => Err(StoreError::Damaged(format!(
            "its layout is version {other:?}, and this program reads versions up to {JOURNALED_VERSION}"
        ))),
        None if guarded("read the database", || db.first())?.is_none() => guarded("begin the database", || {
            db.insert(LAYOUT_KEY, &[LAYOUT_VERSION])?;
            // Where a kill leaves some of them out, the database is slower and as good.
            first_keys().try_for_each(|key| db.insert(key, &[]).map(drop))?;
            db.flush().map(drop)
        }),
        None => Err(StoreError::Damaged("it has entries and no layout version".into())),
    }
}

/// Copies the live database without what sled can make anew, examines the copy, and moves it into place.
fn repair(
    directory: &Path,
    options: DiskOptions,
    known: Option<Head>,
    dropping: Dropping,
    notes: &mut Vec<String>,
) -> Result<(sled::Db, Head), StoreError> {
    let live = directory.join(LIVE);
    // The process's number keeps two processes that repair at once out of each other's copy.
    let copy = directory.join(format!("{COPY}{}", std::process::id()));
    remove(&copy)?;
    let before = stamp(&live);
    let step = copy_directory(&live, &copy)
        .map_err(|error| refused("copy the database", &error))
        .and_then(|()| mend(&copy, options, known, dropping, notes))
        .and_then(|()| match stamp(&live) == before {
            true => Ok(()),
            false => Err(StoreError::Unavailable {
                action: "repair a copy of the database",
                detail: "another process changed the original meanwhile".into(),
            }),
        });
    if let Err(error) = step {
        remove(&copy)?;
        return Err(error);
    }
    let repaired = directory.join(REPAIRED);
    remove(&repaired)?;
    let aside = head_file::free_name(directory, "sled.set-aside");
    for (from, to) in [(&copy, &repaired), (&live, &aside), (&repaired, &live)] {
        fs::rename(from, to).map_err(|error| refused("move a repaired database into place", &error))?;
        sync_directory(directory)?;
    }
    notes.push(format!(
        "a repaired copy took the place of {}; the original is kept as {}",
        live.display(),
        aside.display()
    ));
    attempt(&live, options, known)
}

/// Opens the copy, drops what may be dropped, and lets go of it with everything on disk.
fn mend(
    copy: &Path,
    options: DiskOptions,
    known: Option<Head>,
    dropping: Dropping,
    notes: &mut Vec<String>,
) -> Result<(), StoreError> {
    let db = open_sled(copy, options.cache_bytes)?;
    let mended = match dropping {
        Dropping::Nothing => no_blobs(copy)
            .and_then(|()| check_layout(&db))
            .and_then(|()| examine(&db, EXAMINED_BLOCKS))
            .and_then(|examined| examined.judge(known, |number| stored_hash(&db, number)))
            .map(drop),
        Dropping::WhatIsNotWhole => examine(&db, u64::MAX).and_then(|examined| drop_rest(&db, &examined, notes)),
    };
    let_go(db)?;
    mended.and_then(|()| sync_all(copy))
}

/// Removes blocks after the whole ones and a checkpoint that cannot be used with them.
fn drop_rest(db: &sled::Db, examined: &Examined, notes: &mut Vec<String>) -> Result<(), StoreError> {
    let whole = examined.whole.number;
    let mut dropped = remove_range(db, &block_key(whole + 1, 0), &[BLOCK_PREFIX + 1])?;
    if let Some(flaw) = &examined.flaw {
        notes.push(format!("kept blocks up to {whole}, dropped {dropped} pieces of later ones: {flaw}"));
    }
    if examined.checkpoint_flaw.is_some() || examined.checkpoint_block > whole {
        let keys = checkpoint_keys(CheckpointKind::Current);
        dropped += remove_range(db, &[keys.rows], &[keys.rows + 1])?;
        // No more than the mark: the first keys stand right behind it.
        dropped += remove_range(db, &[keys.mark], &[keys.mark, 0])?;
        notes.push("dropped the checkpoint: the state is made anew from the journal".into());
    }
    if dropped > 0 {
        guarded("drop what is not whole", || db.flush())?;
    }
    check_layout(db)
}

fn remove_range(db: &sled::Db, from: &[u8], to: &[u8]) -> Result<usize, StoreError> {
    guarded("drop what is not whole", || {
        let mut removed = 0;
        for key in db.range(from..to).keys() {
            db.remove(key?)?;
            removed += 1;
        }
        Ok(removed)
    })
}

/// A kill between the two renames of a repair leaves no live database and a whole copy.
fn finish_interrupted_repair(directory: &Path, notes: &mut Vec<String>) -> Result<(), StoreError> {
    let (live, repaired) = (directory.join(LIVE), directory.join(REPAIRED));
    if repaired.exists() && !live.exists() {
        fs::rename(&repaired, &live).map_err(|error| refused("finish an interrupted repair", &error))?;
        sync_directory(directory)?;
        notes.push("finished a repair that had been interrupted".into());
    }
    Ok(())
}

/// Copies of a repair that was killed: only copies, but as large as the database. Whose process still lives nobody knows.
fn note_unfinished_copies(directory: &Path, notes: &mut Vec<String>) -> Result<(), StoreError> {
    let entries = fs::read_dir(directory).map_err(|error| refused("read its directory", &error))?;
    for entry in entries {
        let path = entry.map_err(|error| refused("read its directory", &error))?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(COPY)) {
            notes.push(format!("{} is left from an interrupted repair; it can be deleted", path.display()));
        }
    }
    Ok(())
}

/// Removes what sled had begun to write of a snapshot when its medium failed: never more than a beginning, and it would keep
/// sled from opening. Only this process's own: what an earlier one left is set aside with everything else by a repair.
pub(super) fn remove_unfinished_snapshots(directory: &Path) -> Result<(), StoreError> {
    let remove = || {
        for entry in fs::read_dir(directory.join(LIVE))? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with("snap.") && name.ends_with(".generating") {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    };
    remove().map_err(|error: std::io::Error| refused("remove an unfinished snapshot", &error))
}

/// Snapshots and settings stay behind: sled makes them anew from its log, and they are what a kill or a flipped bit breaks
/// without harm to the log. Half-written copies of snapshots are among them.
fn copy_directory(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        let name_text = name.to_string_lossy();
        if name_text.starts_with("snap.") || name_text == "conf" {
            continue;
        }
        if entry.file_type()?.is_dir() {
            copy_directory(&entry.path(), &to.join(&name))?;
        } else {
            fs::copy(entry.path(), to.join(&name))?;
        }
    }
    Ok(())
}

/// Removes one of our own copies, if it is there.
fn remove(copy: &Path) -> Result<(), StoreError> {
    if copy.exists() {
        fs::remove_dir_all(copy).map_err(|error| refused("remove an unfinished copy", &error))?;
    }
    Ok(())
}

/// Changes when anybody writes the database or puts another in its place.
fn stamp(path: &Path) -> Option<(u64, SystemTime)> {
    let metadata = fs::metadata(path.join("db")).ok()?;
    Some((metadata.len(), metadata.modified().ok()?))
}

/// Syncs the files of a database, its directory, and the directory's own entry.
fn sync_all(path: &Path) -> Result<(), StoreError> {
    let sync = || {
        let files: Vec<PathBuf> = fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
        for file in files.iter().map(PathBuf::as_path).chain([path]) {
            File::open(file)?.sync_all()?;
        }
        Ok(())
    };
    sync().map_err(|error: std::io::Error| refused("sync the database", &error))?;
    path.parent().map_or(Ok(()), sync_directory)
}
