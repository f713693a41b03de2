//! Images of the data files as a power cut could have left them, of a real life of the service on each embedded store: each is
//! opened, holds what had been acknowledged, verifies, and serves. `MABEL_IMAGES` and `MABEL_SEED` say how many and which; a
//! failure prints what repeats it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use crate::domain::{Seed, Span, Timestamp};
use crate::engine::ledger::Outcome;
use crate::engine::reward::{Action, Reward};
use crate::service::bench::{START, Site, run};
use crate::service::clock::ManualClock;
use crate::service::retention::{Keeper, Retention};
use crate::service::reward::Subject;
use crate::service::verify::verify;
use crate::store::disk::DiskStore;
use crate::store::journaled::JournaledStore;
use crate::store::power_cut::{Recording, Watched, copy_directory, write_head};
use crate::store::redb::RedbStore;
use crate::store::{Block, DiskOptions, Head, Store};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sled,
    Redb,
}

impl Kind {
    /// The file that is written and synced all the time.
    const fn data_file(self) -> &'static str {
        match self {
            Self::Sled => "sled/db",
            Self::Redb => "journal.redb",
        }
    }

    /// A store whose files' life is noted.
    fn watched(self, directory: &Path) -> (Arc<dyn Store>, Arc<Recording>) {
        let name = self.data_file();
        let options = DiskOptions::default();
        let journaled = |database: Box<dyn Store>| {
            Arc::new(JournaledStore::open(directory, options, database).expect("it opens").store)
        };
        let content = || fs::read(directory.join(name)).unwrap_or_default();
        if self == Self::Sled {
            let store = journaled(Box::new(DiskStore::open(directory, options).expect("it opens").store));
            let recording = Recording::over(directory, name, content());
            return (Arc::new(Watched::new(store, Arc::clone(&recording), Some(name))), recording);
        }
        let recording = Recording::over(directory, name, content());
        let database = RedbStore::recorded(directory, &content(), Arc::clone(&recording)).expect("it opens");
        let store = journaled(Box::new(database));
        (Arc::new(Watched::new(store, Arc::clone(&recording), None)), recording)
    }

    /// The store of an image, and how many things were out of order.
    fn open(self, directory: &Path, name: &str) -> (Arc<dyn Store>, usize) {
        let options = DiskOptions::default();
        let (database, mut notes): (Box<dyn Store>, _) = match self {
            Self::Sled => {
                let opened = DiskStore::open(directory, options).unwrap_or_else(|error| panic!("{name}: {error}"));
                (Box::new(opened.store), opened.notes)
            }
            Self::Redb => {
                let opened = RedbStore::open(directory, options).unwrap_or_else(|error| panic!("{name}: {error}"));
                (Box::new(opened.store), opened.notes)
            }
        };
        let opened =
            JournaledStore::open(directory, options, database).unwrap_or_else(|error| panic!("{name}: {error}"));
        notes.extend(opened.notes);
        (Arc::new(opened.store), notes.iter().filter(|note| !note.contains("no head file")).count())
    }
}

/// What a site saw and a data file was told between one opening and its close.
struct Life {
    /// The directory as it was on the medium when this life began.
    began: tempfile::TempDir,
    recording: Arc<Recording>,
    /// Receipts whose reward was acknowledged in this life or before, each with the head at that moment.
    rewarded: Vec<(u64, String)>,
    ended: Timestamp,
}

type Journal = BTreeMap<u64, Block>;

/// Memory, where there is a file system in it: nothing here needs a disk.
fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.exists() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.expect("a directory")
}

/// Three lives on one store, and all that its journal ever held: visitors of two experiments with checkpoints all the while; in the second and third old blocks are
/// sealed and dropped.
fn lives(kind: Kind) -> (Vec<Life>, Journal) {
    let directory = scratch();
    let (mut now, mut rewarded, mut journal) = (START, Vec::new(), Journal::new());
    let mut lives = Vec::new();
    for life in 0..3 {
        let (store, recording) = kind.watched(directory.path());
        let began = scratch();
        copy_directory(directory.path(), began.path());
        let mut site = Site::on(Arc::clone(&store), now);
        if life == 0 {
            site.save("hero", "none");
            site.save("banner", "partial");
        }
        for round in 0..120_u64 {
            site.visit(["hero", "banner"][usize::from(round % 3 == 0)], 1);
            rewarded.push((store.head().number, site.rewarded.last().expect("rewarded").clone()));
            if round % 20 == 19 {
                site.pass(Span::HOUR.times(3));
            }
            if life > 0 && round % 40 == 39 {
                keep(&*store, &mut journal);
                site.checkpointed(&*store);
                drop_old(&store, site.now());
            }
        }
        now = site.now() + Span::SECOND;
        site.service.stop();
        if kind == Kind::Redb {
            let content = recording.content(kind.data_file());
            fs::write(directory.path().join(kind.data_file()), content).expect("written");
        }
        lives.push(Life { began, recording, rewarded: rewarded.clone(), ended: now });
    }
    keep(&*kind.open(directory.path(), "undisturbed").0, &mut journal);
    assert!(journal.len() > 300, "too little happened");
    (lives, journal)
}

fn keep(store: &dyn Store, journal: &mut Journal) {
    journal.extend(store.blocks(1).map(|block| block.expect("whole")).map(|block| (block.number(), block)));
}

fn drop_old(store: &Arc<dyn Store>, now: Timestamp) {
    let (_running, stop) = crossbeam_channel::bounded(0);
    let retention = Retention { span: Span::HOUR.times(12), bytes: u64::MAX };
    let clock = Arc::new(ManualClock::new(now));
    Keeper::new(Arc::clone(store), clock, retention, Arc::default(), stop).look(now).expect("dropped");
}

/// The reward of this receipt, sent once more.
fn again(site: &Site, receipt: &str) -> Outcome {
    let reward =
        Reward { action: Action::Reward, goal: None, value: None, currency: None, reward_id: None, occurred_at: None };
    run(site.service.reward(Subject::Receipt(receipt), &reward)).expect("taken").outcome
}

/// What became of images.
#[derive(Debug, Default)]
struct Fates {
    /// Something was out of order, and was put in order.
    repaired: u64,
    /// More was there than had been promised.
    ahead: u64,
    /// Just what had been promised, though more had been written.
    promised: u64,
}

/// One image: opened, compared, verified, served from, and verified once more.
fn check(kind: Kind, life: &Life, blocks: &Journal, seed: Seed, name: &str, fates: &mut Fates) {
    let directory = scratch();
    copy_directory(life.began.path(), directory.path());
    let (files, promised, how) = life.recording.image(seed);
    let name = format!("{name}: {how}, blocks up to {} promised", promised.number);
    let journal = directory.path().join("journal");
    for entry in fs::read_dir(&journal).expect("readable") {
        let path = entry.expect("readable").path();
        if path.extension().is_some_and(|extension| extension == "journal" || extension == "key") {
            fs::remove_file(path).expect("removed");
        }
    }
    for (file, content) in files {
        fs::write(directory.path().join(file), content).expect("written");
    }
    if seed.child(9).0.is_multiple_of(2) && promised.number > 0 {
        write_head(&journal, promised);
    }
    let (store, notes) = kind.open(directory.path(), &name);
    check_blocks(&*store, blocks, promised, &name);
    fates.repaired += u64::from(notes > 0);
    let ahead = store.head().number > promised.number;
    *(if ahead { &mut fates.ahead } else { &mut fates.promised }) += 1;
    let verified = verify(&*store, &mut |_| {}).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(verified.passed(), "{name}: {:#?}", verified.differences);
    let mut site = Site::on(Arc::clone(&store), life.ended);
    let acknowledged: Vec<_> = life.rewarded.iter().take_while(|(head, _)| *head <= promised.number).collect();
    let counted: u64 = site.service.experiments().iter().map(|experiment| experiment.reward_counts().recorded).sum();
    assert!(counted >= acknowledged.len() as u64, "{name}: {counted} of {} rewards", acknowledged.len());
    for (_, receipt) in acknowledged.iter().rev().take(4).chain(acknowledged.first()) {
        assert_eq!(again(&site, receipt), Outcome::Repeated, "{name}");
    }
    if site.service.engine().experiment("hero").is_ok() {
        site.visit("hero", 1);
    }
    site.service.stop();
    drop((site, store));
    let (store, _) = kind.open(directory.path(), &name);
    let verified = verify(&*store, &mut |_| {}).unwrap_or_else(|error| panic!("{name}: served from: {error}"));
    assert!(verified.passed(), "{name}: served from: {:#?}", verified.differences);
}

/// Everything up to the promise is there, and what is behind it is what had been written.
fn check_blocks(store: &dyn Store, journal: &Journal, promised: Head, name: &str) {
    assert!(store.head().number >= promised.number, "{name}: the journal ends at {}", store.head().number);
    for block in store.blocks(1) {
        let block = block.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(journal.get(&block.number()), Some(&block), "{name}");
    }
}

fn check_store(kind: Kind) {
    let number =
        |name: &str, default: u64| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (images, seed) = (number("MABEL_IMAGES", 100).div_ceil(2), number("MABEL_SEED", 1));
    let (lives, journal) = lives(kind);
    let mut fates = Fates::default();
    for image in 0..images {
        let life = usize::try_from(image % 3).expect("small");
        let name = format!("MABEL_IMAGES={} MABEL_SEED={seed}, {kind:?}, image {image}, life {life}", 2 * images);
        check(kind, &lives[life], &journal, Seed(seed).child(image), &name, &mut fates);
    }
    println!("{kind:?}: {images} images of power cuts opened, verified and served from: {fates:?}");
    let enough = |some: u64| images < 20 || some > 0;
    assert!(enough(fates.ahead) && enough(fates.promised), "the cuts were all alike: {fates:?}");
}

#[test]
fn power_cuts_lose_nothing_that_was_acknowledged() {
    check_store(Kind::Sled);
}

#[test]
fn power_cuts_under_redb_lose_nothing_that_was_acknowledged() {
    check_store(Kind::Redb);
}
