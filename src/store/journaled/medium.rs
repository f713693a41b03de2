//! One file of the journal on its medium: bytes that are on it when the call returns.
//!
//! Where the file system can, they go there past the system's cache of pages, in whole blocks, by one call (`O_DIRECT` and `O_DSYNC`): less
//! processor time than a write and an `fdatasync`, and nothing in between for which this thread would have to be woken while others have
//! the processor. Room is made ahead, as zeros: a sync of bytes that the file has already is cheaper than one of a file that grows.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use crate::store::journaled::KEPT_BYTES;

/// Zeros that are written ahead at once.
const ROOM_BYTES: u64 = if cfg!(test) { 8_192 } else { 256 << 10 };
/// What file systems address: a multiple of every sector's length.
const BLOCK_BYTES: usize = 4_096;

#[derive(Debug)]
pub(super) struct Medium {
    file: File,
    /// `None` where the file system has no such way.
    direct: Option<Direct>,
    /// Where what was written ends, and up to where there is room.
    end: u64,
    room: u64,
}

#[derive(Debug)]
struct Direct {
    file: File,
    /// What stands in the block that the next bytes begin in, before them.
    beginning: Vec<u8>,
    /// Blocks on their way; from [`BLOCK_BYTES`] or fewer bytes on, where an address begins that the file system takes.
    blocks: Vec<u8>,
}

impl Medium {
    /// A new file with its first bytes; one that is there is emptied.
    pub(super) fn begin(path: &Path, bytes: &[u8]) -> io::Result<Self> {
        let file = File::create(path)?;
        file.write_all_at(bytes, 0)?;
        file.sync_all()?;
        let end = bytes.len() as u64;
        let mut direct = open_direct(path).map(|file| Direct { file, beginning: Vec::new(), blocks: Vec::new() });
        if let Some(direct) = &mut direct {
            direct.wrote(bytes, end);
        }
        Ok(Self { file, direct, end, room: 0 })
    }

    /// Writes bytes behind the last ones, and returns where they end. After a failure nobody knows what stands there, until
    /// [`Self::trim`].
    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<u64> {
        let end = self.end + bytes.len() as u64;
        let room = self.room.max(end.next_multiple_of(ROOM_BYTES));
        match self.write_directly(bytes, end, room) {
            // It opens a file so, and writes none.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => self.direct = None,
            written => written?,
        }
        match &mut self.direct {
            Some(direct) => direct.wrote(bytes, end),
            None => self.write_and_sync(bytes, room)?,
        }
        (self.end, self.room) = (end, room);
        Ok(end)
    }

    /// Does nothing where there is no such way.
    fn write_directly(&mut self, bytes: &[u8], end: u64, room: u64) -> io::Result<()> {
        let Some(direct) = &mut self.direct else { return Ok(()) };
        if room > self.room {
            match direct.write(bytes, self.end, room) {
                // The bytes themselves are what counts. After any other failure a second try might succeed and hide it.
                Err(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {}
                written => return written,
            }
        }
        direct.write(bytes, self.end, end)
    }

    fn write_and_sync(&self, bytes: &[u8], room: u64) -> io::Result<()> {
        if room > self.room {
            // Where there is too little room for zeros, the bytes themselves are what counts.
            let zeros = vec![0; usize::try_from(room - self.end).map_err(io::Error::other)?];
            let _ = self.file.write_all_at(&zeros, self.end);
        }
        self.file.write_all_at(bytes, self.end)?;
        self.file.sync_data()
    }

    /// Takes back what stands behind the last bytes: room that was not used, or what a failed write left, of which nobody knows whether
    /// it is on the medium.
    pub(super) fn trim(&mut self) -> io::Result<()> {
        self.room = 0;
        self.file.set_len(self.end)?;
        self.file.sync_all()
    }
}

impl Direct {
    /// Writes bytes from a place on, with what stands in their first block, and zeros up to a place.
    fn write(&mut self, bytes: &[u8], at: u64, end: u64) -> io::Result<()> {
        let length = self.beginning.len() + usize::try_from(end - at).map_err(io::Error::other)?;
        let length = length.next_multiple_of(BLOCK_BYTES);
        self.blocks.clear();
        self.blocks.reserve(length + BLOCK_BYTES);
        let start = self.blocks.as_ptr().align_offset(BLOCK_BYTES).min(BLOCK_BYTES);
        self.blocks.resize(start, 0);
        self.blocks.extend_from_slice(&self.beginning);
        self.blocks.extend_from_slice(bytes);
        self.blocks.resize(start + length, 0);
        self.file.write_all_at(&self.blocks[start..], at - self.beginning.len() as u64)
    }

    /// Remembers what the next bytes' block begins with, now that these are there and end here.
    fn wrote(&mut self, bytes: &[u8], end: u64) {
        let within = usize::try_from(end % BLOCK_BYTES as u64).expect("less than a block");
        if bytes.len() >= within {
            self.beginning.clear();
            self.beginning.extend_from_slice(&bytes[bytes.len() - within..]);
        } else {
            self.beginning.extend_from_slice(bytes);
        }
        self.blocks.shrink_to(KEPT_BYTES);
    }
}

#[cfg(target_os = "linux")]
fn open_direct(path: &Path) -> Option<File> {
    OpenOptions::new().write(true).custom_flags(libc::O_DIRECT | libc::O_DSYNC).open(path).ok()
}

/// Other systems have no such flags, or mean something else by them.
#[cfg(not(target_os = "linux"))]
fn open_direct(_: &Path) -> Option<File> {
    None
}

#[cfg(test)]
mod tests {
    //! Both ways leave the same bytes, whatever is written in whatever pieces.

    use proptest::prelude::*;

    use super::*;

    fn piece() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            3 => proptest::collection::vec(1_u8.., 0..400),
            1 => proptest::collection::vec(1_u8.., 3_000..9_000),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn what_was_appended_is_there_and_zeros_behind_it(
            first in proptest::collection::vec(1_u8.., 1..200),
            pieces in proptest::collection::vec((piece(), any::<bool>()), 0..20),
        ) {
            // Beside this program: the system's own directory for such files may be in memory, which takes any way.
            let program = std::env::current_exe().expect("a program");
            let directory = tempfile::tempdir_in(program.parent().expect("a directory")).expect("a directory");
            for direct in [true, false] {
                let path = directory.path().join(direct.to_string());
                let mut medium = Medium::begin(&path, &first).expect("begun");
                if !direct {
                    medium.direct = None;
                }
                let mut expected = first.clone();
                for (piece, trimmed) in &pieces {
                    medium.append(piece).expect("appended");
                    expected.extend_from_slice(piece);
                    if *trimmed {
                        medium.trim().expect("trimmed");
                        prop_assert_eq!(std::fs::metadata(&path).expect("there").len(), expected.len() as u64);
                    }
                    let found = std::fs::read(&path).expect("readable");
                    prop_assert!(found.starts_with(&expected) && found[expected.len()..].iter().all(|byte| *byte == 0));
                }
            }
        }
    }

    #[test]
    fn a_failed_write_is_overwritten_once_it_is_trimmed() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("file");
        let mut medium = Medium::begin(&path, b"begin").expect("begun");
        medium.append(&[1; 5_000]).expect("appended");
        // Of a write that failed anything may stand there, and its length may be another.
        medium.file.write_all_at(&[9; 20_000], 5_005).expect("written");
        medium.trim().expect("trimmed");
        medium.append(&[2; 100]).expect("appended");
        let found = std::fs::read(&path).expect("readable");
        assert_eq!(found[..5_105], [&b"begin"[..], &[1; 5_000], &[2; 100]].concat());
        assert!(found[5_105..].iter().all(|byte| *byte == 0));
    }

    /// A medium whose file past the cache is another one, which answers as it does.
    #[cfg(target_os = "linux")]
    fn with_direct(directory: &Path, other: &str) -> Medium {
        let mut medium = Medium::begin(&directory.join("file"), b"begin").expect("begun");
        let file = OpenOptions::new().write(true).open(other).expect("the system has it");
        medium.direct = Some(Direct { file, beginning: b"begin".to_vec(), blocks: Vec::new() });
        medium
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_file_system_that_refuses_blocks_gets_bytes() {
        let directory = tempfile::tempdir().expect("a directory");
        // What is written there is to be a number; else the system calls it invalid.
        let mut medium = with_direct(directory.path(), "/proc/self/oom_score_adj");
        assert_eq!(medium.append(b"more").expect("appended"), 9);
        assert!(medium.direct.is_none());
        assert!(std::fs::read(directory.path().join("file")).expect("readable").starts_with(b"beginmore"));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_is_reported_and_counts_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut medium = with_direct(directory.path(), "/dev/full");
        assert_eq!(medium.append(b"more").expect_err("full").kind(), io::ErrorKind::StorageFull);
        assert_eq!((medium.end, medium.room, medium.direct.is_some()), (5, 0, true));
    }
}
