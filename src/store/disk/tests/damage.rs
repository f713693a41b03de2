//! Hundreds of damaged copies of one store, each open to a whole store or refused in words that name the way out. The journal
//! and the checkpoint are never silently less than they were. `MABEL_IMAGES` and `MABEL_SEED` say how many (half as many as
//! power cuts) and which; a failure prints what repeats it.

use std::collections::BTreeMap;

use crate::domain::Seed;
use crate::store::disk::tests::*;

/// What befalls a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Damage {
    /// A snapshot that breaks off.
    SnapshotCut,
    SnapshotFlipped,
    /// The beginning of the next snapshot, as a kill leaves it, beside the good one or in its place.
    SnapshotBegun,
    SnapshotGone,
    /// Bits of the log's last messages.
    TailFlipped,
    MiddleFlipped,
    /// A sector of the log that reads as zeros.
    MiddleZeroed,
    /// A log that breaks off.
    TailCut,
    SettingsFlipped,
    /// Of the snapshot and of the log.
    BothFlipped,
}

const DAMAGES: [Damage; 10] = [
    Damage::SnapshotCut,
    Damage::TailFlipped,
    Damage::MiddleFlipped,
    Damage::SnapshotFlipped,
    Damage::SnapshotBegun,
    Damage::MiddleZeroed,
    Damage::TailCut,
    Damage::SnapshotGone,
    Damage::SettingsFlipped,
    Damage::BothFlipped,
];

fn pick(seed: Seed, among: usize) -> usize {
    usize::try_from(seed.0 % among as u64).expect("smaller than a length")
}

/// Flips one to three bits among the bytes between two shares of those that say something: the log's last segments are mostly
/// empty.
fn flip(path: &Path, dice: Seed, from: f64, to: f64) {
    let mut bytes = fs::read(path).expect("readable");
    let said: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
    let share = |part: f64| (part * said.len() as f64) as usize;
    for bit in 0..=dice.child(0).0 % 3 {
        let among = &said[share(from)..share(to)];
        let at = among[pick(dice.child(10 + bit), among.len())];
        bytes[at] ^= 1 << (dice.child(20 + bit).0 % 8);
    }
    fs::write(path, bytes).expect("written");
}

/// Keeps a beginning of what is said.
fn cut(path: &Path, dice: Seed, least: f64) {
    let bytes = fs::read(path).expect("readable");
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
    let kept = ((least + (1.0 - least) * dice.uniform()) * end as f64) as usize;
    fs::write(path, &bytes[..kept]).expect("written");
}

fn befall(directory: &Path, damage: Damage, dice: Seed) {
    let db = directory.join("sled/db");
    match damage {
        Damage::SnapshotCut => cut(&snapshot(directory), dice, 0.0),
        Damage::SnapshotFlipped => flip(&snapshot(directory), dice, 0.0, 1.0),
        Damage::SnapshotBegun => {
            let good = snapshot(directory);
            let begun = good.with_file_name("snap.7FFFFFFFFFFFFFFF.generating");
            fs::copy(&good, &begun).expect("copied");
            cut(&begun, dice, 0.0);
            if dice.child(1).0.is_multiple_of(2) {
                fs::remove_file(good).expect("removed");
            }
        }
        Damage::SnapshotGone => fs::remove_file(snapshot(directory)).expect("removed"),
        Damage::TailFlipped => flip(&db, dice, 0.9, 1.0),
        Damage::MiddleFlipped => flip(&db, dice, 0.0, 0.9),
        Damage::MiddleZeroed => {
            let mut bytes = fs::read(&db).expect("readable");
            let end = bytes.iter().rposition(|byte| *byte != 0).expect("something was written");
            let sector = pick(dice, end / 512) * 512;
            bytes[sector..sector + 512].fill(0);
            fs::write(&db, bytes).expect("written");
        }
        Damage::TailCut => cut(&db, dice, 0.7),
        Damage::SettingsFlipped => flip(&directory.join("sled/conf"), dice, 0.0, 1.0),
        Damage::BothFlipped => {
            flip(&snapshot(directory), dice.child(1), 0.0, 1.0);
            flip(&db, dice.child(2), 0.0, 1.0);
        }
    }
}

/// What became of the copies.
#[derive(Debug, Default)]
struct Fates {
    whole: u64,
    repaired: u64,
    refused: u64,
    /// Refused, and opened once the loss was accepted.
    accepted: u64,
    /// Opened with the checkpoint before the last.
    older_checkpoint: u64,
    /// Opened, with rows of the ledger gone: what only `mabel verify` notices (docs/DURABILITY.md).
    rows_lost: u64,
}

fn check(whole: &Path, blocks: &[Block], damage: Damage, dice: Seed, name: &str, fates: &mut Fates) {
    let directory = tempfile::tempdir_in(scratch()).expect("a directory");
    copy(whole, directory.path());
    befall(directory.path(), damage, dice);
    match open(directory.path()) {
        Ok(opened) => {
            assert_eq!(read(&opened.store, 1), blocks, "{name}");
            // What was written last may be the checkpoint: then the one before is there, whole, and the journal says the rest.
            let checkpoint = opened.store.load_checkpoint(CheckpointKind::Current);
            let checkpoint = checkpoint.unwrap_or_else(|error| panic!("{name}: {error}")).block;
            assert!(checkpoint <= blocks.len() as u64, "{name}: {checkpoint}");
            fates.older_checkpoint += u64::from(checkpoint < blocks.len() as u64);
            let rows = opened.store.rows(Space::Ledger, &[], None, usize::MAX).expect("readable").len();
            fates.rows_lost += u64::from(rows != blocks.len() / 3);
            let aside = names(directory.path(), "sled.set-aside-1");
            let replaced = opened.notes.iter().any(|note| note.contains("kept as"));
            assert_eq!(aside, usize::from(replaced), "{name}: {:?}", opened.notes);
            fates.repaired += u64::from(replaced);
            fates.whole += 1;
        }
        Err(error) => {
            assert!(!matches!(error, StoreError::Unavailable { .. }), "{name}: {error}");
            let said = error.to_string();
            assert!(said.contains("`mabel restore`") && said.contains("--accept-loss"), "{name}: {said}");
            assert_eq!((names(directory.path(), "aside"), names(directory.path(), "copy")), (0, 0), "{name}");
            assert!(directory.path().join("sled/db").exists(), "{name}: it is where it was");
            fates.refused += 1;
            fates.accepted += u64::from(accept(directory.path(), blocks, name));
        }
    }
}

/// What is whole can be had, the chain goes on from there, and what was there is set aside.
fn accept(directory: &Path, blocks: &[Block], name: &str) -> bool {
    let before = fs::metadata(directory.join("sled/db")).expect("there").len();
    let opened = match open_accepting_loss(directory) {
        Ok(opened) => opened,
        Err(error) => {
            assert!(error.to_string().contains("`mabel restore`"), "{name}: {error}");
            assert!(directory.join("sled/db").exists(), "{name}: it is where it was");
            assert!(directory.join("head").exists(), "{name}: what had been committed is still known");
            return false;
        }
    };
    let kept = read(&opened.store, 1);
    assert_eq!(kept, blocks[..kept.len()], "{name}");
    let aside = fs::metadata(directory.join("sled.set-aside-1/db"));
    // sled lengthens its file while it opens it, and shortens it by whole free segments.
    assert!(aside.is_ok_and(|aside| aside.len() > 0 && before > 0), "{name}: the original is not kept");
    let checkpoint = opened.store.load_checkpoint(CheckpointKind::Current).expect("whole or gone").block;
    assert!(checkpoint <= kept.len() as u64, "{name}");
    append(&opened.store, [vec![1]]);
    drop(opened);
    let again = open(directory).unwrap_or_else(|error| panic!("{name}: reported again: {error}"));
    assert_eq!(again.store.head().number, kept.len() as u64 + 1, "{name}");
    true
}

/// Memory, where there is a file system in it.
fn scratch() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.exists() { memory } else { std::env::temp_dir() }
}

#[test]
fn damaged_copies_open_whole_or_name_the_way_out() {
    let number =
        |name: &str, default: u64| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (images, seed) = (number("MABEL_IMAGES", 100).div_ceil(2), number("MABEL_SEED", 1));
    let whole = tempfile::tempdir_in(scratch()).expect("a directory");
    let blocks = filled(whole.path(), 150);
    let mut fates: BTreeMap<Damage, Fates> = BTreeMap::new();
    for image in 0..images {
        let damage = DAMAGES[usize::try_from(image).expect("small") % DAMAGES.len()];
        let name = format!("MABEL_IMAGES={} MABEL_SEED={seed}, image {image}, {damage:?}", 2 * images);
        check(whole.path(), &blocks, damage, Seed(seed).child(image), &name, fates.entry(damage).or_default());
    }
    println!("{images} damaged copies: {fates:#?}");
    let sum = |of: fn(&Fates) -> u64| fates.values().map(of).sum::<u64>();
    let (repaired, refused, accepted) = (sum(|f| f.repaired), sum(|f| f.refused), sum(|f| f.accepted));
    assert!(repaired > 0 && refused > 0 && accepted > 0, "{repaired} repaired, {refused} refused, {accepted} accepted");
    let snapshots = [Damage::SnapshotCut, Damage::SnapshotFlipped, Damage::SnapshotBegun, Damage::SnapshotGone];
    let lost: u64 = snapshots.iter().filter_map(|damage| fates.get(damage)).map(|fates| fates.refused).sum();
    assert_eq!(lost, 0, "a snapshot holds nothing that the log does not");
}
