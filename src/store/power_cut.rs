//! Power cuts, without cutting the power: what a data file was told is noted, and images of it are made as a cut could have
//! left it. Everything before the last sync is there; of what was written since, nothing, a beginning, or any of its sectors,
//! in any order.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::Seed;
use crate::store::head_file;
use crate::store::{
    Block, Blocks, Checkpoint, CheckpointKind, Head, Place, Row, Rows, Space, StateRow, Store, StoreError,
};

/// What a disk writes whole.
const SECTOR_BYTES: usize = 512;
/// What a system writes at once.
const PAGE_BYTES: usize = 4_096;

/// One thing that a data file was told.
#[derive(Debug, Clone)]
pub(crate) enum Told {
    Write { at: usize, bytes: Vec<u8> },
    Length(usize),
    Synced,
}

impl Told {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write { at, bytes } => {
                content.resize(content.len().max(at + bytes.len()), 0);
                content[*at..at + bytes.len()].copy_from_slice(bytes);
            }
            Self::Length(length) => content.resize(*length, 0),
            Self::Synced => {}
        }
    }
}

/// A promise of the store: from here on, blocks up to this one are there.
#[derive(Debug, Clone, Copy)]
struct Promise {
    /// How much the file had been told.
    told: usize,
    head: Head,
}

/// A data file's life from one opening on.
#[derive(Debug, Default)]
pub(crate) struct Recording(Mutex<Recorded>);

#[derive(Debug, Default)]
struct Recorded {
    begin: Vec<u8>,
    told: Vec<Told>,
    promises: Vec<Promise>,
    content: Vec<u8>,
}

impl Recording {
    /// From a file that is on the medium.
    pub(crate) fn over(begin: Vec<u8>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Recorded { content: begin.clone(), begin, ..Recorded::default() })))
    }

    fn lock(&self) -> MutexGuard<'_, Recorded> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn tell(&self, told: Told) {
        let mut recorded = self.lock();
        told.apply(&mut recorded.content);
        recorded.told.push(told);
    }

    /// The file as it is at a sync: what differs from the sync before was written in between.
    fn copied(&self, content: Vec<u8>) {
        let mut recorded = self.lock();
        if content.len() != recorded.content.len() {
            recorded.told.push(Told::Length(content.len()));
            recorded.content.resize(content.len(), 0);
        }
        let pairs = content.chunks(SECTOR_BYTES).zip(recorded.content.chunks(SECTOR_BYTES)).enumerate();
        let changed = pairs.filter(|(_, (after, before))| after != before);
        let writes: Vec<_> =
            changed.map(|(i, (after, _))| Told::Write { at: i * SECTOR_BYTES, bytes: after.to_vec() }).collect();
        recorded.told.extend(writes);
        recorded.told.push(Told::Synced);
        recorded.content = content;
    }

    /// The file as it is now.
    pub(crate) fn content(&self) -> Vec<u8> {
        self.lock().content.clone()
    }

    fn promise(&self, head: Head) {
        let mut recorded = self.lock();
        let told = recorded.told.len();
        recorded.promises.push(Promise { told, head });
    }

    /// The file as a cut at some moment of its life could have left it, how, and the head that had been promised by then.
    pub(crate) fn image(&self, seed: Seed) -> (Vec<u8>, Head, String) {
        let recorded = self.lock();
        let first = recorded.promises.first().expect("something was promised").told;
        let is_sync = |at: usize| matches!(recorded.told.get(at), Some(Told::Synced));
        let moments: Vec<usize> = (first..recorded.told.len()).filter(|at| !is_sync(*at)).collect();
        // Every second cut is just before a sync, when most is written and nothing of it need be there.
        let befores: Vec<usize> = moments.iter().copied().filter(|at| is_sync(at + 1)).collect();
        let among = if seed.child(2).0.is_multiple_of(2) && !befores.is_empty() { &befores } else { &moments };
        let cut = among[pick(seed.child(0), among.len())] + 1;
        let promise = recorded.promises.iter().rfind(|promise| promise.told <= cut).expect("the first is before");
        let synced = recorded.told[..cut].iter().rposition(|told| matches!(told, Told::Synced)).map_or(0, |at| at + 1);
        let mut content = recorded.begin.clone();
        recorded.told[..synced].iter().for_each(|told| told.apply(&mut content));
        let how = survive(&mut content, &recorded.told[synced..cut], seed.child(1));
        (content, promise.head, format!("cut after {cut} of {}, synced {synced}: {how}", recorded.told.len()))
    }
}

fn pick(seed: Seed, among: usize) -> usize {
    usize::try_from(seed.0 % among as u64).expect("smaller than a length")
}

/// Lets some of what was not synced reach the medium all the same.
fn survive(content: &mut Vec<u8>, unsynced: &[Told], dice: Seed) -> String {
    let grain = [SECTOR_BYTES, PAGE_BYTES][pick(dice.child(0), 2)];
    let mut pieces: Vec<Told> = unsynced.iter().flat_map(|told| cut_up(told, grain)).collect();
    let all = pieces.len();
    let chance = [0.25, 0.5, 0.75, 0.95][pick(dice.child(1), 4)];
    let kept = |index: usize| dice.child(100 + index as u64).uniform() < chance;
    let how = match pick(dice.child(2), 6) {
        0 => {
            pieces.clear();
            "dropped"
        }
        4 => "kept",
        1 => {
            pieces.truncate(pick(dice.child(3), all + 1));
            "cut at the end"
        }
        2 => {
            let longest = pieces.iter().map(Told::end).max().unwrap_or(0);
            content.resize(content.len().max(longest), 0);
            pieces = kept_of(pieces, kept);
            "longer than what was written of it"
        }
        3 => {
            pieces = kept_of(pieces, kept);
            "with holes"
        }
        _ => {
            pieces = kept_of(pieces, kept);
            // An overtaken write of the same sector leaves what was older.
            for index in (1..pieces.len()).rev() {
                pieces.swap(index, pick(dice.child(100_000 + index as u64), index + 1));
            }
            "reordered"
        }
    };
    pieces.iter().for_each(|piece| piece.apply(content));
    format!("{how}, {} of {all} pieces of {grain} bytes", pieces.len())
}

fn kept_of(pieces: Vec<Told>, kept: impl Fn(usize) -> bool) -> Vec<Told> {
    pieces.into_iter().enumerate().filter(|(index, _)| kept(*index)).map(|(_, piece)| piece).collect()
}

impl Told {
    fn end(&self) -> usize {
        match self {
            Self::Write { at, bytes } => at + bytes.len(),
            Self::Length(_) | Self::Synced => 0,
        }
    }
}

/// A write as the pieces that a medium keeps or loses one by one.
fn cut_up(told: &Told, grain: usize) -> Vec<Told> {
    let Told::Write { at, bytes } = told else { return vec![told.clone()] };
    let (mut at, mut rest) = (*at, bytes.as_slice());
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.len().min(grain - at % grain));
        pieces.push(Told::Write { at, bytes: piece.to_vec() });
        (at, rest) = (at + piece.len(), after);
    }
    pieces
}

/// A store that notes what it promised: when an append or a checkpoint returns, it is on the medium.
pub(crate) struct Watched {
    inner: Arc<dyn Store>,
    recording: Arc<Recording>,
    /// The data file, where it must be copied to know what it was told.
    copied: Option<PathBuf>,
}

impl Watched {
    pub(crate) fn new(inner: Arc<dyn Store>, recording: Arc<Recording>, copied: Option<PathBuf>) -> Self {
        let watched = Self { inner, recording, copied };
        watched.promise();
        watched
    }

    fn promise(&self) {
        if let Some(path) = &self.copied {
            self.recording.copied(fs::read(path).expect("the data file can be read"));
        }
        self.recording.promise(self.inner.head());
    }

    fn promised<T>(&self, done: Result<T, StoreError>) -> Result<T, StoreError> {
        if done.is_ok() {
            self.promise();
        }
        done
    }
}

impl Store for Watched {
    fn head(&self) -> Head {
        self.inner.head()
    }
    fn append(&self, blocks: &[Block], rows: &[Row]) -> Result<(), StoreError> {
        self.promised(self.inner.append(blocks, rows))
    }
    fn place(&self, space: Space, key: &[u8]) -> Result<Place, StoreError> {
        self.inner.place(space, key)
    }

    fn rows(&self, space: Space, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Rows, StoreError> {
        self.inner.rows(space, prefix, after, limit)
    }
    fn forget(&self, space: Space, below: &[u8], limit: usize) -> Result<usize, StoreError> {
        self.inner.forget(space, below, limit)
    }
    fn base(&self) -> Head {
        self.inner.base()
    }
    fn blocks(&self, from: u64) -> Blocks<'_> {
        self.inner.blocks(from)
    }
    fn begin(&self, base: Head) -> Result<(), StoreError> {
        self.promised(self.inner.begin(base))
    }
    fn drop_blocks(&self, through: u64, limit: usize) -> Result<usize, StoreError> {
        self.inner.drop_blocks(through, limit)
    }
    fn save_checkpoint(&self, kind: CheckpointKind, block: u64, rows: &[StateRow]) -> Result<(), StoreError> {
        self.promised(self.inner.save_checkpoint(kind, block, rows))
    }
    fn load_checkpoint(&self, kind: CheckpointKind) -> Result<Checkpoint, StoreError> {
        self.inner.load_checkpoint(kind)
    }
    fn recover(&self) -> Result<Head, StoreError> {
        self.inner.recover()
    }
    fn close(&self) -> Result<(), StoreError> {
        self.inner.close()
    }
}

/// The side file that says how long the journal was: renamed into place after the sync, it is this one or an older one.
pub(crate) fn write_head(directory: &Path, head: Head) {
    head_file::write(directory, head).expect("written");
}

/// A directory and all that is in it.
pub(crate) fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("readable") {
        let entry = entry.expect("readable");
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy_directory(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).expect("copied")),
        }
    }
}

#[cfg(test)]
mod tests {
    //! An image keeps what was synced, and only what was written.

    use crate::store::power_cut::*;

    #[test]
    fn an_image_keeps_what_was_synced_and_invents_nothing() {
        let recording = Recording::over(vec![1; 5_000]);
        let promised = Head { number: 3, hash: [3; 32] };
        recording.tell(Told::Write { at: 100, bytes: vec![2; 3_000] });
        recording.tell(Told::Synced);
        recording.promise(promised);
        recording.tell(Told::Write { at: 2_000, bytes: vec![3; 6_000] });
        recording.tell(Told::Write { at: 2_000, bytes: vec![4; 700] });
        let (mut olds, mut news, mut mixed) = (0, 0, 0);
        for seed in 0..200 {
            let (content, head, how) = recording.image(Seed(seed));
            assert_eq!(head, promised);
            assert!(
                content[..100].iter().all(|byte| *byte == 1) && content[100..2_000].iter().all(|b| *b == 2),
                "{how}"
            );
            assert!(content[2_000..3_100].iter().all(|byte| [2, 3, 4].contains(byte)), "{how}");
            assert!(content[3_100..].iter().all(|byte| [0, 1, 3].contains(byte)), "{how}");
            let new = content[2_000..].iter().filter(|byte| **byte > 2).count();
            (olds, news) = (olds + usize::from(new == 0), news + usize::from(new == 6_000));
            mixed += usize::from(new > 0 && new < 6_000);
        }
        assert!(olds > 20 && news > 20 && mixed > 40, "{olds} old, {news} new, {mixed} between");
    }
}
