//! Whom the battery shows arms to, what they do, and models that learned from them.

use crate::domain::Features;
use crate::domain::Seed;
use crate::domain::VariationKey;
use crate::policy::contextual::*;
use crate::policy::{Builder, Built, REGISTRY, build_any};

/// Draws that shares are counted from in these tests, where the policy draws at all.
pub(super) const DRAWS_COUNT: u32 = 1_024;

/// Visitors: what they look like and how well each arm does.
#[derive(Debug, Clone, Copy)]
pub(super) enum Visitors {
    /// An intercept and two attributes of three and two states.
    Categorical,
    /// An intercept and numbers.
    Numeric(u16),
}

impl Visitors {
    pub(super) const ALL: [Self; 4] = [Self::Categorical, Self::Numeric(1), Self::Numeric(20), Self::Numeric(200)];

    pub(super) fn shape(self) -> Shape {
        match self {
            Self::Categorical => Shape { dimensions: 6, patterns: Some(6) },
            Self::Numeric(dimensions) => Shape { dimensions: usize::from(dimensions), patterns: None },
        }
    }

    pub(super) fn features(self, index: u64) -> Features {
        let seed = Seed(31).child(index);
        let entries = match self {
            Self::Categorical => {
                let (one, two) = (seed.child(1).0 % 3, seed.child(2).0 % 2);
                [0, 1 + one, 4 + two].map(|index| (u16::try_from(index).expect("small"), 1.0)).to_vec()
            }
            #[expect(clippy::cast_possible_truncation, reason = "features are f32")]
            Self::Numeric(dimensions) => (0..dimensions)
                .map(|index| {
                    (index, if index == 0 { 1.0 } else { seed.child(index.into()).uniform() as f32 * 4.0 - 2.0 })
                })
                .filter(|(_, value)| *value != 0.0)
                .collect(),
        };
        Features::from_entries(entries).expect("in order")
    }
}

/// An event of a history: which arm was shown to whom, and what it earned, if anything.
pub(super) fn event(visitors: Visitors, index: u64, arms_count: usize) -> (usize, Features, f64) {
    let seed = Seed(77).child(index);
    let arm = usize::try_from(seed.child(1).0 % 1_000).expect("small") % arms_count;
    let rate = 0.1 + 0.6 * arm as f64 / arms_count as f64;
    (arm, visitors.features(index), if seed.child(2).uniform() < rate { 1.0 } else { 0.0 })
}

pub(super) fn learn(
    model: &mut dyn ContextualModel,
    visitors: Visitors,
    arms_count: usize,
    indices: impl Iterator<Item = u64>,
) {
    for index in indices {
        let (arm, features, earned) = event(visitors, index, arms_count);
        model.expose(arm, &features);
        if earned > 0.0 {
            model.reward(arm, &features, earned);
        }
    }
}

pub(super) fn fresh(kind: &str, shape: Shape) -> Box<dyn ContextualModel> {
    let keys = [VariationKey::new("a").expect("a key")];
    let entry = crate::policy::registration(kind).expect("registered");
    let mut parameters = (entry.example)(&keys);
    if entry.parameters.iter().any(|spec| spec.name == "draws") {
        parameters = parameters.with("draws", Parameter::Number(f64::from(DRAWS_COUNT)));
    }
    match build_any(kind, &parameters, &keys).expect("an example is allowed") {
        Built::Contextual(policy) => policy.model(&shape).expect("an example is allowed with any shape"),
        Built::Segments(_) => panic!("{kind} is registered as contextual"),
    }
}

/// Runs a check on every kind, on every sort of visitors, with 1, 2 and 10 arms, after nothing, little and much.
pub(super) fn for_each_model(check: impl Fn(&str, &dyn ContextualModel, Visitors, &[usize])) {
    for_each_kind(|kind, visitors| {
        for arms_count in [1, 2, 10] {
            let mut model = fresh(kind, visitors.shape());
            let arms: Vec<usize> = (0..arms_count).collect();
            check(kind, &*model, visitors, &arms);
            for indices in [0..10, 10..300] {
                learn(&mut *model, visitors, arms_count, indices);
                model.settle();
                check(kind, &*model, visitors, &arms);
            }
        }
    });
}

pub(super) fn for_each_kind(check: impl Fn(&str, Visitors)) {
    let contextual = REGISTRY.iter().filter(|entry| matches!(entry.build, Builder::Contextual(_)));
    let kinds: Vec<&str> = contextual.map(|entry| entry.kind).collect();
    assert!(kinds.len() >= 3, "{kinds:?}");
    for kind in kinds {
        Visitors::ALL.into_iter().for_each(|visitors| check(kind, visitors));
    }
}

pub(super) fn bits(shares: &[f64]) -> Vec<u64> {
    shares.iter().map(|share| share.to_bits()).collect()
}

/// What a model believes and decides, to the bit.
pub(super) fn decisions(model: &dyn ContextualModel, visitors: Visitors, arms: &[usize]) -> Vec<Vec<u64>> {
    (0..5).map(|index| bits(&model.shares(arms, &visitors.features(9_000 + index), Seed(index)))).collect()
}

pub(super) fn is_distribution(shares: &[f64], arms_count: usize, name: &str) {
    assert_eq!(shares.len(), arms_count, "{name}");
    assert!(shares.iter().all(|share| share.is_finite() && *share >= 0.0), "{name}: {shares:?}");
    let total: f64 = shares.iter().sum();
    assert!((total - 1.0).abs() < 1e-9, "{name}: {total}");
}

/// Whether two averages over so many draws agree, within four standard errors and a draw's rounding.
pub(super) fn agree(one: f64, other: f64, draws: [f64; 2]) -> bool {
    let rate = f64::midpoint(one, other).clamp(0.001, 0.999);
    let error = (rate * (1.0 - rate) * (draws[0].recip() + draws[1].recip())).sqrt();
    (one - other).abs() <= 4.0 * error + 1e-9
}
