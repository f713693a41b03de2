//! What version 2 adds to definitions and to what goals measure.

use bincode::{BorrowDecode, Encode};

use crate::domain::{AttributeName, Currency, GoalKind, Span};
use crate::engine::definition::{
    Attribute, Budget, Definition, Delay, Encoding, HalfLife, Objective, OnFinish, StoppingRule,
};
use crate::engine::epoch::Measure;
use crate::store::record::Checked;
use crate::store::record::pool::StoredKind;

#[derive(Encode, BorrowDecode, PartialEq)]
pub(super) struct DefinitionAdditions {
    goals: Vec<GoalAdditions>,
    /// By variation: per exposure, per conversion.
    costs: Vec<(f64, f64)>,
    half_life: StoredHalfLife,
    margin: bool,
    expected_visitors: Option<u64>,
    /// Amount, visitors, hard.
    budget: Option<(f64, u64, bool)>,
    stopping: StoredStopping,
    attributes: Vec<(String, StoredEncoding)>,
    interactions: Vec<(String, String)>,
}

#[derive(Encode, BorrowDecode, PartialEq)]
enum StoredEncoding {
    Levels(Vec<String>),
    Boolean,
    Standardised { mean: f64, sd: f64 },
    Bins(Vec<f64>),
}

#[derive(Encode, BorrowDecode, PartialEq)]
struct GoalAdditions {
    measure: StoredMeasure,
    cap: Option<i64>,
    worth: Option<f64>,
    delay: StoredDelay,
    typical_delay: Option<u64>,
}

#[derive(Encode, BorrowDecode, PartialEq)]
enum StoredDelay {
    None,
    Wait,
    Survival,
}

#[derive(Encode, BorrowDecode, PartialEq)]
enum StoredHalfLife {
    Off,
    Fixed(u64),
    Auto,
}

#[derive(Encode, BorrowDecode, PartialEq)]
struct StoredStopping {
    value_remaining: f64,
    probability: f64,
    equivalence: f64,
    span_min: u64,
    conversions_min: u64,
    exposures_max: Option<u64>,
    end: bool,
}

#[derive(Encode, BorrowDecode, Clone, Copy, PartialEq)]
pub(super) struct StoredMeasure {
    kind: StoredKind,
    currency: Option<[u8; 3]>,
}

impl DefinitionAdditions {
    /// Nothing if version 1 says it all.
    pub(super) fn of(definition: &Definition) -> Option<Self> {
        let StoppingRule { value_remaining, probability, equivalence, span_min, conversions_min, exposures_max } =
            definition.stopping;
        let additions = Self {
            goals: definition
                .goals
                .iter()
                .map(|goal| GoalAdditions {
                    measure: Measure::of(goal).into(),
                    cap: goal.cap,
                    worth: goal.worth,
                    delay: match goal.delay {
                        Delay::None => StoredDelay::None,
                        Delay::Wait => StoredDelay::Wait,
                        Delay::Survival => StoredDelay::Survival,
                    },
                    typical_delay: goal.typical_delay.map(Span::as_millis),
                })
                .collect(),
            costs: definition.variations.iter().map(|v| (v.cost, v.cost_per_conversion)).collect(),
            half_life: match definition.policy.half_life {
                HalfLife::Off => StoredHalfLife::Off,
                HalfLife::Fixed(span) => StoredHalfLife::Fixed(span.as_millis()),
                HalfLife::Auto => StoredHalfLife::Auto,
            },
            margin: definition.policy.objective == Objective::Margin,
            expected_visitors: definition.policy.expected_visitors,
            budget: definition.budget.map(|budget| (budget.amount, budget.visitors, budget.hard)),
            stopping: StoredStopping {
                value_remaining,
                probability,
                equivalence,
                span_min: span_min.as_millis(),
                conversions_min,
                exposures_max,
                end: definition.on_finish == OnFinish::End,
            },
            attributes: definition.attributes.iter().map(|a| (a.name.to_string(), (&a.encoding).into())).collect(),
            interactions: definition.interactions.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect(),
        };
        (additions != Self::plain(definition)).then_some(additions)
    }

    /// What a definition of version 1 means.
    fn plain(definition: &Definition) -> Self {
        let goals = definition.goals.iter().map(|_| GoalAdditions {
            measure: StoredMeasure { kind: StoredKind::Conversion, currency: None },
            cap: None,
            worth: None,
            delay: StoredDelay::None,
            typical_delay: None,
        });
        let stopping = StoppingRule::default();
        Self {
            goals: goals.collect(),
            costs: vec![(0.0, 0.0); definition.variations.len()],
            half_life: StoredHalfLife::Off,
            margin: false,
            expected_visitors: None,
            budget: None,
            stopping: StoredStopping {
                value_remaining: stopping.value_remaining,
                probability: stopping.probability,
                equivalence: stopping.equivalence,
                span_min: stopping.span_min.as_millis(),
                conversions_min: stopping.conversions_min,
                exposures_max: None,
                end: false,
            },
            attributes: Vec::new(),
            interactions: Vec::new(),
        }
    }

    pub(super) fn add_to(self, definition: &mut Definition) -> Checked<()> {
        if self.goals.len() != definition.goals.len() || self.costs.len() != definition.variations.len() {
            return Err("additions for other goals or variations than the definition has".into());
        }
        let numbers =
            self.costs.iter().flat_map(|(a, b)| [*a, *b]).chain(self.goals.iter().filter_map(|goal| goal.worth));
        if let Some(number) = numbers.chain(self.budget.map(|budget| budget.0)).find(|number| !number.is_finite()) {
            return Err(format!("the amount {number} is not finite"));
        }
        for (goal, stored) in definition.goals.iter_mut().zip(self.goals) {
            (goal.kind, goal.currency) = stored.measure.restore()?;
            (goal.cap, goal.worth) = (stored.cap, stored.worth);
            goal.delay = match stored.delay {
                StoredDelay::None => Delay::None,
                StoredDelay::Wait => Delay::Wait,
                StoredDelay::Survival => Delay::Survival,
            };
            goal.typical_delay = stored.typical_delay.map(Span::from_millis);
        }
        for (variation, (cost, per_conversion)) in definition.variations.iter_mut().zip(self.costs) {
            (variation.cost, variation.cost_per_conversion) = (cost, per_conversion);
        }
        let policy = &mut definition.policy;
        policy.half_life = match self.half_life {
            StoredHalfLife::Off => HalfLife::Off,
            StoredHalfLife::Fixed(span) => HalfLife::Fixed(Span::from_millis(span)),
            StoredHalfLife::Auto => HalfLife::Auto,
        };
        policy.objective = if self.margin { Objective::Margin } else { Objective::Goal };
        policy.expected_visitors = self.expected_visitors;
        definition.budget = self.budget.map(|(amount, visitors, hard)| Budget { amount, visitors, hard });
        let stored = self.stopping;
        definition.on_finish = if stored.end { OnFinish::End } else { OnFinish::Keep };
        definition.stopping = StoppingRule {
            value_remaining: stored.value_remaining,
            probability: stored.probability,
            equivalence: stored.equivalence,
            span_min: Span::from_millis(stored.span_min),
            conversions_min: stored.conversions_min,
            exposures_max: stored.exposures_max,
        };
        let name = |text: &str| AttributeName::new(text).map_err(|invalid| invalid.to_string());
        let attribute = |(text, encoding): (String, StoredEncoding)| {
            Ok(Attribute { name: name(&text)?, encoding: encoding.restore() })
        };
        definition.attributes = self.attributes.into_iter().map(attribute).collect::<Checked<_>>()?;
        let pair = |(one, other): (String, String)| Ok((name(&one)?, name(&other)?));
        definition.interactions = self.interactions.into_iter().map(pair).collect::<Checked<_>>()?;
        Ok(())
    }
}

impl From<&Encoding> for StoredEncoding {
    fn from(encoding: &Encoding) -> Self {
        match encoding {
            Encoding::Levels(levels) => Self::Levels(levels.clone()),
            Encoding::Boolean => Self::Boolean,
            Encoding::Standardised { mean, sd } => Self::Standardised { mean: *mean, sd: *sd },
            Encoding::Bins(bins) => Self::Bins(bins.clone()),
        }
    }
}

impl StoredEncoding {
    fn restore(self) -> Encoding {
        match self {
            Self::Levels(levels) => Encoding::Levels(levels),
            Self::Boolean => Encoding::Boolean,
            Self::Standardised { mean, sd } => Encoding::Standardised { mean, sd },
            Self::Bins(bins) => Encoding::Bins(bins),
        }
    }
}

impl From<Measure> for StoredMeasure {
    fn from(measure: Measure) -> Self {
        let letters = |currency: Currency| currency.as_str().as_bytes().try_into().expect("three letters");
        Self { kind: measure.kind.into(), currency: measure.currency.map(letters) }
    }
}

impl StoredMeasure {
    pub(super) fn restore(self) -> Checked<(GoalKind, Option<Currency>)> {
        let currency = self.currency.map(|letters| {
            std::str::from_utf8(&letters).ok().and_then(Currency::new).ok_or("a currency that is none".to_owned())
        });
        Ok((self.kind.into(), currency.transpose()?))
    }
}
