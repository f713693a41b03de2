//! Stopping rules as a scenario writes them: fields as in a definition, each the library's default unless stated.

use mabel::domain::Span;
use mabel::policy::segment_kinds;
use mabel::report::stopping::StoppingRule;
use serde::Deserialize;

use crate::simulations::scenario::{Refusal, Source};
use crate::simulations::stopping::{NamedRule, Stopping};
use crate::simulations::strategies::Strategy;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoppingInFile {
    every: u64,
    rules: Vec<RuleInFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleInFile {
    name: String,
    value_remaining: Option<f64>,
    probability: Option<f64>,
    equivalence: Option<f64>,
    span_min: Option<String>,
    conversions_min: Option<u64>,
}

pub(super) fn read(
    given: &StoppingInFile,
    source: &Source,
    segments: usize,
    strategies: &[Strategy],
) -> Result<Stopping, Refusal> {
    if segments != 1 || !matches!(source, Source::World(_)) {
        return Err(Refusal::new("stopping", "rules", "a world of its own with one segment"));
    }
    for (index, strategy) in strategies.iter().enumerate() {
        if segment_kinds().all(|kind| kind.kind != strategy.policy()) {
            let kinds: Vec<&str> = segment_kinds().map(|kind| kind.kind).collect();
            let allowed = format!("where there are stopping rules: {}", kinds.join(", "));
            return Err(Refusal::new(format!("strategies[{index}].policy"), strategy.policy(), allowed));
        }
    }
    if given.every == 0 {
        return Err(Refusal::new("stopping.every", 0, "a number of visitors from 1"));
    }
    if given.rules.is_empty() {
        return Err(Refusal::new("stopping.rules", "none", "at least one"));
    }
    let rules = given.rules.iter().enumerate();
    let rules = rules.map(|(index, rule)| check(rule, &format!("stopping.rules[{index}]")));
    Ok(Stopping { every: given.every, rules: rules.collect::<Result<_, _>>()? })
}

fn check(given: &RuleInFile, at: &str) -> Result<NamedRule, Refusal> {
    let usual = StoppingRule::default();
    let share = |field: &str, given: Option<f64>, usual: f64| match given.unwrap_or(usual) {
        share if (0.0..1.0).contains(&share) => Ok(share),
        share => Err(Refusal::new(format!("{at}.{field}"), share, "a share from 0 to below 1")),
    };
    let span_min = given.span_min.as_ref().map(|text| {
        let allowed = "a length, as in \"7d\"";
        Span::parse(text).ok_or_else(|| Refusal::new(format!("{at}.span_min"), format!("{text:?}"), allowed))
    });
    let rule = StoppingRule {
        value_remaining: share("value_remaining", given.value_remaining, usual.value_remaining)?,
        probability: share("probability", given.probability, usual.probability)?,
        equivalence: share("equivalence", given.equivalence, usual.equivalence)?,
        span_min: span_min.transpose()?.unwrap_or(usual.span_min),
        conversions_min: given.conversions_min.unwrap_or(usual.conversions_min),
        exposures_max: None,
    };
    Ok(NamedRule { name: given.name.clone(), rule })
}
