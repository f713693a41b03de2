//! Power cuts, without cutting the power: what the files of a store were told is noted, and images of them are made as a cut could
//! have left them. Of each file everything before its last sync is there; of what was written since, nothing, a beginning, or any of
//! its sectors, in any order.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::Seed;
use crate::store::head_file;
use crate::store::journaled::HEADER_BYTES;
use crate::store::{
    Block, Blocks, Checkpoint, CheckpointKind, Head, Place, Row, Rows, Space, StateRow, Store, StoreError,
};

/// What a disk writes whole.
const SECTOR_BYTES: usize = 512;
/// What a system writes at once.
const PAGE_BYTES: usize = 4_096;

/// One thing that a file was told.
#[derive(Debug, Clone)]
pub(crate) enum Told {
    Write { at: usize, bytes: Vec<u8> },
    Length(usize),
    Synced,
    Removed,
}

/// Contents by name within the directory.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// Tells a file, which comes to be with the first thing that it is told.
fn apply(name: &str, told: &Told, files: &mut Files) {
    match told {
        Told::Removed => drop(files.remove(name)),
        Told::Write { .. } | Told::Length(_) | Told::Synced => told.apply(files.entry(name.to_owned()).or_default()),
    }
}

impl Told {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write { at, bytes } => {
                content.resize(content.len().max(at + bytes.len()), 0);
                content[*at..at + bytes.len()].copy_from_slice(bytes);
            }
            Self::Length(length) => content.resize(*length, 0),
            Self::Synced | Self::Removed => {}
        }
    }
}

/// A promise of the store: from here on, blocks up to this one are there.
#[derive(Debug, Clone, Copy)]
struct Promise {
    /// How much the files had been told.
    told: usize,
    head: Head,
}

/// The life of a store's files from one opening on.
#[derive(Debug)]
pub(crate) struct Recording {
    directory: PathBuf,
    recorded: Mutex<Recorded>,
}

#[derive(Debug, Default)]
struct Recorded {
    begin: Files,
    told: Vec<(String, Told)>,
    promises: Vec<Promise>,
    content: Files,
}

impl Recorded {
    fn tell(&mut self, name: &str, told: Told) {
        apply(name, &told, &mut self.content);
        self.told.push((name.to_owned(), told));
    }

    /// A file as it is at a sync: what differs from the sync before was written in between.
    fn copied(&mut self, name: &str, content: &[u8]) {
        let before = self.content.get(name).cloned().unwrap_or_default();
        if before == content {
            return;
        }
        if content.len() != before.len() {
            self.tell(name, Told::Length(content.len()));
        }
        let before = self.content.get(name).cloned().unwrap_or_default();
        let pairs = content.chunks(SECTOR_BYTES).zip(before.chunks(SECTOR_BYTES)).enumerate();
        for (place, (after, _)) in pairs.filter(|(_, (after, before))| after != before) {
            self.tell(name, Told::Write { at: place * SECTOR_BYTES, bytes: after.to_vec() });
        }
        self.tell(name, Told::Synced);
    }

    /// The journal's files, each of which is synced before anything else is told; a new one after its key, and with nothing but its
    /// header first.
    fn copy_journal(&mut self, directory: &Path) {
        let Ok(entries) = fs::read_dir(directory.join("journal")) else { return };
        let names = entries.map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned());
        let of_journal = |name: &String| name.ends_with(".journal") || name.ends_with(".key");
        let mut names: Vec<_> = names.filter(of_journal).map(|name| format!("journal/{name}")).collect();
        names.sort_unstable_by_key(|name| (!name.ends_with(".key"), name.clone()));
        for name in names {
            let content = fs::read(directory.join(&name)).expect("readable");
            if name.ends_with(".journal") && !self.content.contains_key(&name) {
                self.copied(&name, &content[..content.len().min(HEADER_BYTES)]);
            }
            self.copied(&name, &content);
        }
    }

    /// Files of the journal that are gone; before they went, the database was synced.
    fn remove_journal(&mut self, directory: &Path) {
        let names = self.content.keys().filter(|name| name.starts_with("journal/") && !directory.join(name).exists());
        for name in names.cloned().collect::<Vec<_>>() {
            self.tell(&name, Told::Removed);
        }
    }
}

impl Recording {
    /// From a directory that is on the medium, and in it a data file with this content.
    pub(crate) fn over(directory: &Path, data_file: &str, content: Vec<u8>) -> Arc<Self> {
        let mut recorded = Recorded::default();
        recorded.copy_journal(directory);
        recorded.copied(data_file, &content);
        let begin = std::mem::take(&mut recorded.content);
        let recorded = Recorded { content: begin.clone(), begin, ..Recorded::default() };
        Arc::new(Self { directory: directory.to_owned(), recorded: Mutex::new(recorded) })
    }

    fn lock(&self) -> MutexGuard<'_, Recorded> {
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the data file is told, after all that the journal's files were told before.
    pub(crate) fn tell(&self, name: &str, told: Told) {
        let mut recorded = self.lock();
        recorded.copy_journal(&self.directory);
        recorded.tell(name, told);
    }

    /// A file as it is now.
    pub(crate) fn content(&self, name: &str) -> Vec<u8> {
        self.lock().content[name].clone()
    }

    fn promise(&self, head: Head, copied: Option<&str>) {
        let mut recorded = self.lock();
        recorded.copy_journal(&self.directory);
        if let Some(name) = copied {
            let content = fs::read(self.directory.join(name)).expect("the data file can be read");
            recorded.copied(name, &content);
        }
        recorded.remove_journal(&self.directory);
        let told = recorded.told.len();
        recorded.promises.push(Promise { told, head });
    }

    /// The files as a cut at some moment of their life could have left them, how, and the head that had been promised by then.
    pub(crate) fn image(&self, seed: Seed) -> (Files, Head, String) {
        let recorded = self.lock();
        let first = recorded.promises.first().expect("something was promised").told;
        let is_sync = |at: usize| matches!(recorded.told.get(at), Some((_, Told::Synced)));
        let moments: Vec<usize> = (first..recorded.told.len()).filter(|at| !is_sync(*at)).collect();
        // Every second cut is just before a sync, when most is written and nothing of it need be there.
        let befores: Vec<usize> = moments.iter().copied().filter(|at| is_sync(at + 1)).collect();
        let among = if seed.child(2).0.is_multiple_of(2) && !befores.is_empty() { &befores } else { &moments };
        let cut = among[pick(seed.child(0), among.len())] + 1;
        let promise = recorded.promises.iter().rfind(|promise| promise.told <= cut).expect("the first is before");
        let mut files = recorded.begin.clone();
        let mut unsynced: BTreeMap<&str, Vec<Told>> = BTreeMap::new();
        for (name, told) in &recorded.told[..cut] {
            let waiting = unsynced.entry(name).or_default();
            match told {
                Told::Synced => waiting.drain(..).for_each(|told| apply(name, &told, &mut files)),
                Told::Removed => {
                    waiting.clear();
                    apply(name, told, &mut files);
                }
                Told::Write { .. } | Told::Length(_) => waiting.push(told.clone()),
            }
        }
        let mut how = format!("cut after {cut} of {}", recorded.told.len());
        for (name, told) in unsynced.iter().filter(|(_, told)| !told.is_empty()) {
            let content = files.entry((*name).to_owned()).or_default();
            how += &format!(", {name}: {}", survive(content, told, seed.child(1)));
        }
        (files, promise.head, how)
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
            Self::Length(_) | Self::Synced | Self::Removed => 0,
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
    copied: Option<&'static str>,
}

impl Watched {
    pub(crate) fn new(inner: Arc<dyn Store>, recording: Arc<Recording>, copied: Option<&'static str>) -> Self {
        let watched = Self { inner, recording, copied };
        watched.promise();
        watched
    }

    fn promise(&self) {
        self.recording.promise(self.inner.head(), self.copied);
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
    fn tidy(&self) -> Result<bool, StoreError> {
        self.promised(self.inner.tidy())
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

/// A directory and all that is in it. What goes meanwhile is left out: sled's threads and the one of the `head` file write under another
/// name first.
pub(crate) fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("readable") {
        let entry = entry.expect("readable");
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy_directory(&entry.path(), &target),
            false => match fs::copy(entry.path(), target) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                copied => drop(copied.expect("copied")),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    //! An image keeps what was synced, and only what was written.

    use crate::store::power_cut::*;

    #[test]
    fn an_image_keeps_what_was_synced_and_invents_nothing() {
        let recording = Recording::over(Path::new("nowhere"), "file", vec![1; 5_000]);
        let promised = Head { number: 3, hash: [3; 32] };
        recording.tell("file", Told::Write { at: 100, bytes: vec![2; 3_000] });
        recording.tell("file", Told::Synced);
        recording.promise(promised, None);
        recording.tell("file", Told::Write { at: 2_000, bytes: vec![3; 6_000] });
        // A sync of another one makes nothing certain.
        recording.tell("other", Told::Synced);
        recording.tell("file", Told::Write { at: 2_000, bytes: vec![4; 700] });
        let (mut olds, mut news, mut mixed) = (0, 0, 0);
        for seed in 0..200 {
            let (files, head, how) = recording.image(Seed(seed));
            let content = &files["file"];
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
