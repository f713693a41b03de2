//! Opening: redb checks every page it holds, then the journal is examined and compared with the head file. What is not whole
//! is reported; only an accepted loss changes anything, after the file was copied aside.

use std::fs::{self, File};
use std::path::Path;

use redb::{Builder, Database, ReadableDatabase};

use crate::store::guard::refused;
use crate::store::head_file;
use crate::store::redb::guard::guarded;
use crate::store::redb::tables::*;
use crate::store::stored::{EXAMINED_BLOCKS, create_directory, loss, newer, sync_directory};
use crate::store::{CheckpointKind, DiskOptions, Head, StoreError};

/// The database's file within the store's directory.
pub(in crate::store) const FILE: &str = "journal.redb";

/// An open database whose journal is whole.
pub(super) struct Opened {
    pub(super) db: Database,
    pub(super) head: Head,
    pub(super) base: Head,
    /// What the head file says; `None` if it says nothing.
    pub(super) written: Option<Head>,
    pub(super) notes: Vec<String>,
}

/// Opens a directory's database. `seen` is the head that this very process saw committed, if it had it open before.
pub(super) fn open(directory: &Path, options: DiskOptions, seen: Option<Head>) -> Result<Opened, StoreError> {
    create_directory(directory)?;
    let path = directory.join(FILE);
    let mut notes = Vec::new();
    let mut written = head_file::known(directory, options.accept_loss, &mut notes)?;
    let known = newer(written, seen);
    if !path.exists() && !options.accept_loss {
        // Before a new, empty database is made where one should be.
        known.map_or(Ok(()), |head| loss(0, head.number))?;
    }
    let attempted = match attempt(&path, options, known) {
        Err(problem @ (StoreError::Damaged(_) | StoreError::Loss { .. })) if options.accept_loss => {
            notes.push(format!("opening {} found: {problem}", path.display()));
            drop_rest(directory, options, &mut notes).and_then(|()| {
                // Not before: where nothing can be kept, it is still what tells an older copy from the whole.
                written = head_file::set_aside(directory, &mut notes)?;
                attempt(&path, options, written)
            })
        }
        attempted => attempted,
    };
    let (db, head, base) = attempted.map_err(|error| with_way_out(error, &path))?;
    sync_directory(directory)?;
    if written.is_none() && head.number > 0 {
        notes.push(format!("no head file says how long the journal was; it ends at block {}", head.number));
    }
    Ok(Opened { db, head, base, written, notes })
}

fn with_way_out(error: StoreError, path: &Path) -> StoreError {
    match error {
        StoreError::Damaged(flaw) => StoreError::Damaged(format!(
            "{flaw}. What is in {} is as redb left it: restore a backup (`mabel restore`), or start with \
             --accept-loss to go on with what is whole, if redb can still open it",
            path.display()
        )),
        error @ (StoreError::Loss { .. } | StoreError::Unavailable { .. }) => error,
    }
}

/// Opens the file and examines it.
fn attempt(path: &Path, options: DiskOptions, known: Option<Head>) -> Result<(Database, Head, Head), StoreError> {
    examined(open_redb(path, options)?, known)
}

/// The database if its journal is whole, with its head and where the journal begins.
pub(super) fn examined(db: Database, known: Option<Head>) -> Result<(Database, Head, Head), StoreError> {
    check_layout(&db)?;
    let read = guarded("read the journal", || Ok(db.begin_read()?))?;
    let examined = examine(&read, EXAMINED_BLOCKS)?;
    let base = examined.base;
    let head = examined.judge(known, |number| stored_hash(&read, number))?;
    Ok((db, head, base))
}

fn open_redb(path: &Path, options: DiskOptions) -> Result<Database, StoreError> {
    guarded("open the database", || Ok(builder(options).create(path)?))
}

pub(super) fn builder(options: DiskOptions) -> Builder {
    let cache_bytes = usize::try_from(options.cache_bytes).unwrap_or(usize::MAX);
    let mut builder = Builder::new();
    // Without this redb trusts the checksums of pages it wrote, and a flipped bit would be taken for what was written.
    builder.set_cache_size(cache_bytes).set_check_integrity_on_open(true);
    builder
}

/// A new database is marked with the layout's version.
fn check_layout(db: &Database) -> Result<(), StoreError> {
    let tables = guarded("read its tables", || Ok(db.begin_read()?.list_tables()?.count()))?;
    if tables == 0 {
        return guarded("make its tables", || {
            let write = db.begin_write()?;
            create(&write)?;
            Ok(write.commit()?)
        });
    }
    let read = guarded("read its version", || Ok(db.begin_read()?))?;
    match single(&read, "read its version", LAYOUT)?.as_deref() {
        // Spaces that came since it was made.
        Some([LAYOUT_VERSION | JOURNALED_VERSION]) if tables < TABLES => guarded("make its tables", || {
            let write = db.begin_write()?;
            create(&write)?;
            Ok(write.commit()?)
        }),
        Some([LAYOUT_VERSION | JOURNALED_VERSION]) => Ok(()),
        Some(other) => Err(StoreError::Damaged(format!(
            "its layout is version {other:?}, and this program reads versions up to {JOURNALED_VERSION}"
        ))),
        None => Err(StoreError::Damaged("it has tables and no layout version".into())),
    }
}

/// Copies the file aside, then removes blocks after the whole ones and a checkpoint that cannot be used with them.
fn drop_rest(directory: &Path, options: DiskOptions, notes: &mut Vec<String>) -> Result<(), StoreError> {
    let path = directory.join(FILE);
    let aside = head_file::free_name(directory, &format!("{FILE}.set-aside"));
    let copied = fs::copy(&path, &aside).and_then(|_| File::open(&aside)?.sync_all());
    copied.map_err(|error| refused("copy the database aside", &error))?;
    sync_directory(directory)?;
    notes.push(format!("the database as it was found is kept as {}", aside.display()));
    let db = open_redb(&path, options)?;
    check_layout(&db)?;
    let examined = {
        let read = guarded("read the journal", || Ok(db.begin_read()?))?;
        examine(&read, u64::MAX)?
    };
    let whole = examined.whole.number;
    guarded("drop what is not whole", || {
        let write = db.begin_write()?;
        write.open_table(BLOCKS)?.retain_in(whole + 1.., |_, _| false)?;
        if examined.checkpoint_flaw.is_some() || examined.checkpoint_block > whole {
            let kind = CheckpointKind::Current;
            write.delete_table(checkpoint_table(kind))?;
            write.open_table(checkpoint_table(kind))?;
            write.open_table(SINGLE)?.remove(mark_key(kind))?;
        }
        Ok(write.commit()?)
    })?;
    if let Some(flaw) = &examined.flaw {
        notes.push(format!("kept blocks up to {whole}, dropped later ones: {flaw}"));
    }
    if examined.checkpoint_flaw.is_some() || examined.checkpoint_block > whole {
        notes.push("dropped the checkpoint: the state is made anew from the journal".into());
    }
    Ok(())
}
