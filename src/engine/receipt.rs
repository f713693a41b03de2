//! Receipts: a decision, encrypted and authenticated, so that whoever brings it back with a reward brings everything
//! needed to learn from it, and nobody can read it or make one.
//!
//! `base64url(version 1 byte, key id 4, nonce 12, AES-128-GCM(record), tag 16)`, at most 1,200 characters. A nonce is six
//! bytes drawn when the process starts and a counter of six: unique within a process, and across restarts up to the
//! chance that two of them draw the same six bytes (1 in 10^9 for a thousand restarts).

use std::cell::RefCell;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use base64_simd::URL_SAFE_NO_PAD;
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use crate::domain::{AllocationId, DecisionId, ExperimentKey, Features, SegmentKey, Slot, VisitorToken};
use crate::engine::event::DecisionRecord;
use crate::engine::secret::Secret;

/// Longest receipt, in characters.
pub const MAX_CHARACTERS: usize = 1_200;

const VERSION: u8 = 1;
const HEADER: usize = 5;
const NONCE: usize = 12;
const TAG: usize = 16;
const LOW_48: u64 = (1 << 48) - 1;
/// Bytes of a record besides its texts and features: lengths, numbers, flags, ids.
const FIXED: usize = 54;
/// Bytes of one feature: its index and its value.
const ENTRY: usize = 5;
const CONTROL: u8 = 1;
const DEFERRED: u8 = 2;
const FEATURES: u8 = 4;

/// What a receipt holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Receipt {
    /// The decision.
    pub record: DecisionRecord,
    /// Whether it was deferred.
    pub deferred: bool,
    /// A hash of the visitor it was made for.
    pub visitor: u64,
}

/// Why a receipt is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// It is not the text of any receipt.
    #[error("the receipt is not one of ours: it is cut, or not base64url of the right length")]
    Malformed,
    /// It was made under a key that is not known here.
    #[error("the receipt was made by another server, or under a key that is no longer known")]
    Foreign,
    /// It was not made here, or changed since.
    #[error("the receipt was forged or altered")]
    Forged,
    /// Its time is over.
    #[error("the receipt has expired")]
    Expired,
    /// Its visitor was erased after the decision.
    #[error("the receipt's visitor was erased: nothing is recorded for its decision any more")]
    Erased,
}

/// How many features fit into a receipt beside an experiment's key and a segment's, of so many bytes.
pub(crate) const fn features_max(experiment: usize, segment: usize) -> usize {
    // Base64 takes four characters for three bytes.
    let bytes = MAX_CHARACTERS / 4 * 3 - HEADER - NONCE - TAG;
    bytes.saturating_sub(FIXED + experiment + segment) / ENTRY
}

thread_local! {
    /// A receipt's bytes before they are its text.
    static BYTES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Makes and opens receipts.
pub(crate) struct Sealer {
    /// Its nonces are told apart here, which is what is less safe about it.
    cipher: LessSafeKey,
    header: [u8; HEADER],
    /// The first six bytes of a nonce.
    nonce_prefix: u64,
    counter: AtomicU64,
}

/// Makes some receipts, whose nonces were counted at once: to count each by itself among other threads takes a good part of the time
/// that it takes to encrypt one.
pub struct Seals<'s> {
    sealer: &'s Sealer,
    numbers: Range<u64>,
}

impl Sealer {
    /// `nonce_seed` must be drawn anew for every process that uses the same secret.
    pub(crate) fn new(secret: &Secret, nonce_seed: u64) -> Self {
        let key = secret.derive("receipt", &[]);
        let cipher = UnboundKey::new(&AES_128_GCM, &key[..16]).expect("AES-128 has keys of sixteen bytes");
        let id = secret.derive("receipt key id", &[]);
        Self {
            cipher: LessSafeKey::new(cipher),
            header: [VERSION, id[0], id[1], id[2], id[3]],
            nonce_prefix: nonce_seed & LOW_48,
            counter: AtomicU64::new(0),
        }
    }

    /// For so many receipts.
    pub(crate) fn several(&self, count: usize) -> Seals<'_> {
        let first = self.counter.fetch_add(count as u64, Ordering::Relaxed);
        Seals { sealer: self, numbers: first..first + count as u64 }
    }

    /// The nonce of a number that is given once: six bytes, and six of the number.
    fn nonce(&self, number: u64) -> [u8; NONCE] {
        let nonce = u128::from(self.nonce_prefix) | u128::from(number & LOW_48) << 48;
        *nonce.to_le_bytes().first_chunk().expect("twelve of sixteen bytes")
    }

    fn seal_into(
        &self,
        nonce: [u8; NONCE],
        record: &DecisionRecord,
        deferred: bool,
        visitor: u64,
        bytes: &mut Vec<u8>,
    ) -> String {
        bytes.extend_from_slice(&self.header);
        bytes.extend_from_slice(&nonce);
        write_record(record, deferred, visitor, bytes);
        let body = &mut bytes[HEADER + NONCE..];
        let tag = self
            .cipher
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), body)
            .expect("a record of some hundred bytes is far below the cipher's bound of 64 GB");
        bytes.extend_from_slice(tag.as_ref());
        let text = URL_SAFE_NO_PAD.encode_to_string(bytes);
        assert!(text.len() <= MAX_CHARACTERS, "a receipt of {} characters was made", text.len());
        text
    }

    pub(crate) fn open(&self, text: &str) -> Result<Receipt, ReceiptError> {
        if text.len() > MAX_CHARACTERS {
            return Err(ReceiptError::Malformed);
        }
        let mut bytes = URL_SAFE_NO_PAD.decode_to_vec(text).map_err(|_| ReceiptError::Malformed)?;
        if bytes.len() < HEADER + NONCE + TAG || bytes[0] != VERSION {
            return Err(ReceiptError::Malformed);
        }
        // The header is not authenticated and need not be: it is compared whole.
        if bytes[..HEADER] != self.header {
            return Err(ReceiptError::Foreign);
        }
        let (head, rest) = bytes.split_at_mut(HEADER + NONCE);
        let nonce: [u8; NONCE] = head[HEADER..].try_into().map_err(|_| ReceiptError::Malformed)?;
        let body = self.cipher.open_in_place(Nonce::assume_unique_for_key(nonce), Aad::empty(), rest);
        let body = body.map_err(|_| ReceiptError::Forged)?;
        // Authenticated, so written by us; a record that still does not read is of a version we never wrote.
        read_record(body).ok_or(ReceiptError::Malformed)
    }
}

impl Seals<'_> {
    /// The receipt of a decision, beyond those that were asked for as well.
    pub fn seal(&mut self, record: &DecisionRecord, deferred: bool, visitor: VisitorToken) -> String {
        let Some(number) = self.numbers.next() else {
            return self.sealer.several(1).seal(record, deferred, visitor);
        };
        BYTES.with_borrow_mut(|bytes| {
            bytes.clear();
            self.sealer.seal_into(self.sealer.nonce(number), record, deferred, visitor.short(), bytes)
        })
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer(…)")
    }
}

fn write_record(record: &DecisionRecord, deferred: bool, visitor: u64, to: &mut Vec<u8>) {
    let experiment = record.experiment.as_str().as_bytes();
    to.push(u8::try_from(experiment.len()).expect("a key has at most 64 bytes"));
    to.extend_from_slice(experiment);
    to.extend_from_slice(&record.epoch.to_le_bytes());
    to.extend_from_slice(&record.definition.to_le_bytes());
    let segment = record.segment.as_str().as_bytes();
    to.extend_from_slice(&u16::try_from(segment.len()).expect("a segment key has at most 560 bytes").to_le_bytes());
    to.extend_from_slice(segment);
    to.extend_from_slice(&record.variation.0.to_le_bytes());
    to.extend_from_slice(&record.allocation.0.to_le_bytes());
    to.extend_from_slice(&record.propensity.to_bits().to_le_bytes());
    let features = record.features.entries();
    let flag = |bit, set| if set { bit } else { 0 };
    to.push(flag(CONTROL, record.control) | flag(DEFERRED, deferred) | flag(FEATURES, !features.is_empty()));
    to.extend_from_slice(&record.decision.to_bytes());
    to.extend_from_slice(&visitor.to_le_bytes());
    for (index, value) in features {
        // A schema has at most 200 columns, and one byte less an entry is a quarter of a short receipt.
        to.push(u8::try_from(*index).expect("features have at most 200 columns"));
        to.extend_from_slice(&value.to_bits().to_le_bytes());
    }
}

fn read_record(bytes: &[u8]) -> Option<Receipt> {
    let mut rest = bytes;
    let experiment_length = usize::from(u8::from_le_bytes(take(&mut rest)?));
    let experiment = ExperimentKey::new(take_text(&mut rest, experiment_length)?).ok()?;
    let epoch = u32::from_le_bytes(take(&mut rest)?);
    let definition = u32::from_le_bytes(take(&mut rest)?);
    let segment_length = usize::from(u16::from_le_bytes(take(&mut rest)?));
    if segment_length > SegmentKey::MAX_BYTES {
        return None;
    }
    let segment = SegmentKey::new(take_text(&mut rest, segment_length)?);
    let variation = Slot(u16::from_le_bytes(take(&mut rest)?));
    let allocation = AllocationId(u64::from_le_bytes(take(&mut rest)?));
    let propensity = f64::from_bits(u64::from_le_bytes(take(&mut rest)?));
    let [flags] = take(&mut rest)?;
    let decision = DecisionId::from_bytes(take(&mut rest)?);
    let visitor = u64::from_le_bytes(take(&mut rest)?);
    let mut entries = Vec::new();
    while flags & FEATURES != 0 && !rest.is_empty() {
        let [index] = take(&mut rest)?;
        entries.push((u16::from(index), f32::from_bits(u32::from_le_bytes(take(&mut rest)?))));
    }
    let features = Features::from_entries(entries)?;
    let known = flags & !(CONTROL | DEFERRED | FEATURES) == 0;
    let sound = rest.is_empty() && known && propensity > 0.0 && propensity <= 1.0;
    sound.then_some(Receipt {
        record: DecisionRecord {
            experiment,
            epoch,
            definition,
            segment,
            variation,
            allocation,
            propensity,
            control: flags & CONTROL != 0,
            decision,
            features,
        },
        deferred: flags & DEFERRED != 0,
        visitor,
    })
}

/// Reads what a receipt holds once it is decrypted; what is read is written and read again, to the same bytes. For fuzzing:
/// whatever the bytes, it comes back.
#[doc(hidden)]
#[must_use]
pub fn record_reads_back(bytes: &[u8]) -> bool {
    let Some(Receipt { record, deferred, visitor }) = read_record(bytes) else { return false };
    let mut written = Vec::new();
    write_record(&record, deferred, visitor, &mut written);
    // A flag for features and none of them is read as none.
    let again = read_record(&written).expect("what was written is read");
    assert!(
        again == Receipt { record, deferred, visitor }
            && (written == bytes || again.record.features.entries().is_empty())
    );
    true
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*first)
}

fn take_text<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a str> {
    let (first, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    std::str::from_utf8(first).ok()
}

#[cfg(test)]
mod tests;
