//! Where a store keeps what it keeps, and opening it there.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use crate::store::disk::{DiskStore, LIVE};
use crate::store::guard::refused;
use crate::store::journaled::JournaledStore;
use crate::store::memory::MemoryStore;
use crate::store::redb::{FILE, RedbStore};
use crate::store::{DiskOptions, Store, StoreError};

/// A place for a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// In memory, gone with the process.
    Memory,
    /// In a directory: a journal in files, and the database that is there already; redb, where none is.
    Directory(PathBuf),
    /// The same with one database and no other.
    Of(Database, PathBuf),
}

/// An embedded database, for rows and checkpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Database {
    /// What earlier builds took for a directory without being asked.
    Sled,
    /// What a new directory gets.
    Redb,
}

impl Database {
    /// Where a directory has both, the first is the one that its plain name has always meant.
    const ALL: [Self; 2] = [Self::Sled, Self::Redb];

    /// Its name in a [`Location`]'s text.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sled => "sled",
            Self::Redb => "redb",
        }
    }

    /// Whether a file's or directory's name is one that it gives, or that a repair of it leaves.
    fn owns(self, name: &str) -> bool {
        let own = match self {
            Self::Sled => LIVE,
            Self::Redb => FILE,
        };
        name.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }

    /// Those that a directory has: one, or none in a new directory.
    fn found(directory: &Path) -> Result<Vec<Self>, StoreError> {
        if !directory.exists() {
            return Ok(Vec::new());
        }
        let entries = fs::read_dir(directory).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let names: Vec<_> = entries
            .map_err(|error| refused("see what is in its directory", &error))?
            .iter()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        Ok(Self::ALL.into_iter().filter(|database| names.iter().any(|name| database.owns(name))).collect())
    }
}

impl Location {
    /// The directory that keeps everything; `None` for memory.
    #[must_use]
    pub fn directory(&self) -> Option<&Path> {
        match self {
            Self::Memory => None,
            Self::Directory(directory) | Self::Of(_, directory) => Some(directory),
        }
    }

    /// `sled:` or `redb:` and the path of a directory; `None` for any other text.
    #[must_use]
    pub fn with_database(text: &str) -> Option<Self> {
        let (name, path) = text.split_once(':')?;
        let database = Database::ALL.into_iter().find(|database| database.name() == name)?;
        (!path.is_empty()).then(|| Self::Of(database, path.into()))
    }
}

impl From<&str> for Location {
    /// `memory`, `sled:` or `redb:` and the path of a directory, or else the path of a directory.
    fn from(text: &str) -> Self {
        match text {
            "memory" => Self::Memory,
            text => Self::with_database(text).unwrap_or_else(|| Self::Directory(text.into())),
        }
    }
}

/// Opens the store of a location, new if there is none. Whatever a recovery did is logged as a warning.
///
/// # Errors
/// As [`DiskStore::open`], [`RedbStore::open`] and [`JournaledStore::open`] say; and where one database is asked for and the
/// directory has the other alone.
pub fn open(location: &Location, options: DiskOptions) -> Result<Arc<dyn Store>, StoreError> {
    let (asked, directory) = match location {
        Location::Memory => return Ok(Arc::new(MemoryStore::new())),
        Location::Directory(directory) => (None, directory),
        Location::Of(database, directory) => (Some(*database), directory),
    };
    let found = Database::found(directory)?;
    let database = asked.or(found.first().copied()).unwrap_or(Database::Redb);
    if let [other, ..] = found[..]
        && !found.contains(&database)
    {
        return Err(StoreError::Unavailable {
            action: "open its database",
            detail: format!(
                "{path} has one of {other} and none of {asked}: name it {path} or {other}:{path}, or bring it into a new directory \
                 with `mabel backup` and `mabel restore`",
                path = directory.display(),
                other = other.name(),
                asked = database.name(),
            ),
        });
    }
    let inner: Box<dyn Store> = match database {
        Database::Sled => Box::new(DiskStore::open(directory, options)?.store_with_notes_logged()),
        Database::Redb => Box::new(RedbStore::open(directory, options)?.store_with_notes_logged()),
    };
    Ok(Arc::new(JournaledStore::open(directory, options, inner)?.store_with_notes_logged()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Block, Head};

    fn text(database: Database, directory: &Path) -> Location {
        Location::from(format!("{}:{}", database.name(), directory.display()).as_str())
    }

    /// Appends a block; how many there are then.
    fn append(location: &Location) -> Result<u64, StoreError> {
        let store = open(location, DiskOptions::default())?;
        store.append(&[Block::after(store.head(), vec![1])], &[])?;
        let head = store.head().number;
        store.close()?;
        Ok(head)
    }

    #[test]
    fn a_directory_keeps_the_database_it_has_and_a_new_one_gets_redb() {
        for (first, other) in [(Database::Sled, Database::Redb), (Database::Redb, Database::Sled)] {
            let directory = tempfile::tempdir().expect("a directory");
            let plain = Location::from(directory.path().to_str().expect("text"));
            assert_eq!(append(&text(first, directory.path())).expect("new"), 1);
            assert_eq!(append(&plain).expect("what is there"), 2);
            assert_eq!(append(&text(first, directory.path())).expect("the same"), 3);
            assert_eq!(Database::found(directory.path()).expect("readable"), [first]);
            let refused = append(&text(other, directory.path())).expect_err("the other").to_string();
            assert!(refused.contains(first.name()) && refused.contains("mabel restore"), "{refused}");
            assert_eq!(append(&plain).expect("it is as it was"), 4);
        }
        let directory = tempfile::tempdir().expect("a directory");
        let new = Location::from(directory.path().join("new").to_str().expect("text"));
        assert_eq!(append(&new).expect("new"), 1);
        assert_eq!(Database::found(new.directory().expect("on disk")).expect("readable"), [Database::Redb]);
    }

    #[test]
    fn what_a_repair_of_sled_left_is_still_a_directory_of_sled() {
        let directory = tempfile::tempdir().expect("a directory");
        let plain = Location::from(directory.path().to_str().expect("text"));
        append(&text(Database::Sled, directory.path())).expect("new");
        // Cut short between the two renames of a repair.
        fs::rename(directory.path().join("sled"), directory.path().join("sled.repaired")).expect("renamed");
        assert_eq!(append(&plain).expect("repaired"), 2);
        assert!(directory.path().join("sled").is_dir());
    }

    #[test]
    fn locations_are_told_by_their_text() {
        assert_eq!(Location::from("memory"), Location::Memory);
        assert_eq!(Location::from("redb:a/b"), Location::Of(Database::Redb, "a/b".into()));
        assert_eq!(Location::from("sled:a:b"), Location::Of(Database::Sled, "a:b".into()));
        assert_eq!(Location::from("a:b"), Location::Directory("a:b".into()));
        assert_eq!((Location::with_database("redb:"), Location::with_database("disk")), (None, None));
        assert_eq!(open(&Location::Memory, DiskOptions::default()).expect("memory").head(), Head::default());
    }
}
