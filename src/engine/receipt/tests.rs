//! Receipts come back whole or are refused by name.

use base64_simd::URL_SAFE_NO_PAD;
use proptest::prelude::*;

use crate::domain::*;
use crate::engine::event::DecisionRecord;
use crate::engine::receipt::*;
use crate::engine::secret::Secret;

fn sealer(secret: u8) -> Sealer {
    Sealer::new(&Secret::new([secret; 32]), 99)
}

fn seal(sealer: &Sealer, record: &DecisionRecord, deferred: bool, visitor: u64) -> String {
    sealer.several(1).seal(record, deferred, VisitorToken(u128::from(visitor) << 64))
}

fn record(segment: &str, propensity: f64) -> DecisionRecord {
    DecisionRecord {
        experiment: ExperimentKey::new(&"k".repeat(64)).expect("a key"),
        epoch: u32::MAX,
        definition: 7,
        segment: SegmentKey::new(segment),
        variation: Slot(255),
        allocation: AllocationId(u64::MAX),
        propensity,
        control: false,
        decision: DecisionId(u128::MAX),
        features: crate::domain::Features::new(),
    }
}

proptest! {
    #[test]
    fn what_was_sealed_opens(segment in "[ -~é]{0,200}", propensity in 1e-9..1.0_f64, deferred: bool, visitor: u64) {
        let sealer = sealer(1);
        let record = record(&segment, propensity);
        let text = seal(&sealer, &record, deferred, visitor);
        prop_assert_eq!(sealer.open(&text), Ok(Receipt { record, deferred, visitor }));
    }

    #[test]
    fn any_changed_byte_is_refused(at: prop::sample::Index, bit in 0_u8..8) {
        let sealer = sealer(1);
        let text = seal(&sealer, &record("device=mobile", 0.25), false, 3);
        let mut bytes = URL_SAFE_NO_PAD.decode_to_vec(&text).expect("base64");
        let index = at.index(bytes.len());
        bytes[index] ^= 1 << bit;
        let refused = sealer.open(&URL_SAFE_NO_PAD.encode_to_string(&bytes)).expect_err("altered");
        let expected = match index {
            0 => ReceiptError::Malformed,
            1..5 => ReceiptError::Foreign,
            _ => ReceiptError::Forged,
        };
        prop_assert_eq!(refused, expected);
    }

    #[test]
    fn any_text_is_refused_without_a_panic(text in ".{0,300}") {
        prop_assert!(sealer(1).open(&text).is_err());
    }
}

#[test]
fn the_longest_receipt_fits() {
    let text = seal(&sealer(1), &record(&"s".repeat(SegmentKey::MAX_BYTES), 1.0), true, u64::MAX);
    assert!(text.len() <= MAX_CHARACTERS, "{}", text.len());
}

#[test]
fn another_servers_receipt_is_foreign_and_no_two_look_alike() {
    let (ours, theirs) = (sealer(1), sealer(2));
    let record = record("all", 0.5);
    assert_eq!(ours.open(&seal(&theirs, &record, false, 1)), Err(ReceiptError::Foreign));
    assert_ne!(seal(&ours, &record, false, 1), seal(&ours, &record, false, 1));
    let cut = seal(&ours, &record, false, 1);
    // A whole number of base64's groups of four: what is left decodes, and is not what was sealed.
    assert_eq!(ours.open(&cut[..cut.len() / 8 * 4]), Err(ReceiptError::Forged));
    assert_eq!(ours.open("abc"), Err(ReceiptError::Malformed));
}

#[test]
fn a_receipt_has_one_text() {
    let ours = sealer(1);
    // The last character of some lengths says less than six bits.
    for length in 1..4 {
        let text = seal(&ours, &record(&"s".repeat(length), 0.5), false, 1);
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+/ ";
        let others = alphabet.chars().map(|last| format!("{}{last}", &text[..text.len() - 1]));
        assert_eq!(others.filter(|other| ours.open(other).is_ok()).collect::<Vec<_>>(), [text]);
    }
}

#[test]
fn as_many_features_fit_as_are_allowed() {
    let sealer = Sealer::new(&Secret::new([1; 32]), 2);
    for segment in [3, 100, SegmentKey::MAX_BYTES] {
        let mut features = crate::domain::Features::new();
        (0..features_max(64, segment)).for_each(|index| features.push(index, 0.5));
        let record = DecisionRecord {
            experiment: ExperimentKey::new(&"e".repeat(64)).expect("a key"),
            segment: SegmentKey::new(&"s".repeat(segment)),
            features,
            ..record("", 0.5)
        };
        let text = seal(&sealer, &record, false, 1);
        assert!(text.len() <= MAX_CHARACTERS && text.len() > MAX_CHARACTERS - 8, "{}", text.len());
        assert_eq!(sealer.open(&text).expect("its own").record, record);
    }
}

#[test]
fn no_two_receipts_have_one_nonce_however_many_were_asked_for() {
    let sealer = sealer(1);
    let record = record("all", 0.5);
    let (mut three, mut none) = (sealer.several(3), sealer.several(0));
    let texts = (0..5).flat_map(|_| [&mut three, &mut none].map(|seals| seals.seal(&record, false, VisitorToken(1))));
    let nonces =
        texts.map(|text| URL_SAFE_NO_PAD.decode_to_vec(&text).expect("base64")[HEADER..HEADER + NONCE].to_vec());
    assert_eq!(nonces.collect::<std::collections::BTreeSet<_>>().len(), 10);
}
