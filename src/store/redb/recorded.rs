//! redb over a medium that notes every write and every sync, for images of power cuts.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, RwLock};

use redb::StorageBackend;
use redb::backends::InMemoryBackend;

use crate::store::head_file::HeadWriter;
use crate::store::power_cut::{Recording, Told};
use crate::store::redb::guard::guarded;
use crate::store::redb::{RedbStore, Writer, open};
use crate::store::{DiskOptions, StoreError};

#[derive(Debug)]
struct Medium {
    content: InMemoryBackend,
    recording: Arc<Recording>,
}

fn place(number: u64) -> usize {
    usize::try_from(number).expect("a small file")
}

impl StorageBackend for Medium {
    fn len(&self) -> io::Result<u64> {
        self.content.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        StorageBackend::read(&self.content, offset, out)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.recording.tell(open::FILE, Told::Length(place(length)));
        self.content.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.recording.tell(open::FILE, Told::Synced);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.recording.tell(open::FILE, Told::Write { at: place(offset), bytes: data.to_vec() });
        StorageBackend::write(&self.content, offset, data)
    }
}

impl RedbStore {
    /// As [`RedbStore::open`], but that its file is in memory; the file `head` is in the directory all the same. It cannot
    /// recover, and nobody asks it to.
    pub(crate) fn recorded(directory: &Path, file: &[u8], recording: Arc<Recording>) -> Result<Self, StoreError> {
        let content = InMemoryBackend::new();
        let filled = content.set_len(file.len() as u64).and_then(|()| StorageBackend::write(&content, 0, file));
        filled.expect("memory takes it");
        let options = DiskOptions::default();
        let builder = open::builder(options);
        let db = guarded("open it", || Ok(builder.create_with_backend(Medium { content, recording })?))?;
        let (db, head, base) = open::examined(db, None)?;
        Ok(Self {
            directory: directory.to_path_buf(),
            options,
            db: RwLock::new(Some(db)),
            writer: Mutex::new(Writer { closed: false, uncertain: false }),
            head: Mutex::new(head),
            base: Mutex::new(base),
            head_writer: HeadWriter::start(directory, head, None)?,
        })
    }
}
