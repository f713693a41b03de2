//! Shares that the definition gives: a rollout, or an A/B/n test of unequal groups.

use std::collections::BTreeMap;

use crate::domain::VariationKey;
use crate::policy::parameters::excerpt;
use crate::policy::{Evidence, Parameter, ParameterSpec, Parameters, Policy, PolicyError, Pooling, Registration};

const SHARES: ParameterSpec = ParameterSpec {
    name: "shares",
    summary: "the share of each variation's traffic",
    allowed: "a share of at least 0 for every variation by its key, together 1",
    default: |_| None,
};

/// How far from 1 the sum of given shares may lie: three shares of 0.333333 are meant to be thirds.
const SUM_TOLERANCE: f64 = 1e-6;

/// `fixed`, with `shares`.
pub const REGISTRATION: Registration = Registration {
    kind: "fixed",
    summary: "the shares the definition gives, whatever the variations show: a rollout",
    parameters: &[SHARES],
    example,
    build: |parameters, variations| Ok(Box::new(Fixed::new(parameters, variations)?)),
};

/// Shares from the definition, summing to 1, in order of the variations' keys.
#[derive(Debug, Clone)]
pub struct Fixed {
    shares: Vec<f64>,
}

impl Fixed {
    fn new(parameters: &Parameters, variations: &[VariationKey]) -> Result<Self, PolicyError> {
        let given = parameters.read(&SHARES, |value| match value {
            Parameter::Shares(shares) => Some(shares),
            Parameter::Number(_) | Parameter::Text(_) | Parameter::Numbers(_) | Parameter::Flag(_) => None,
        })?;
        if let Some(unknown) = given.keys().find(|key| variations.iter().all(|known| known.as_str() != *key)) {
            return Err(refuse(unknown, "no variation has this key".to_owned()));
        }
        let mut shares = Vec::with_capacity(variations.len());
        for variation in variations {
            let share = given.get(variation.as_str()).copied();
            match share {
                Some(share) if share.is_finite() && share >= 0.0 => shares.push(share),
                Some(share) => return Err(refuse(variation.as_str(), share.to_string())),
                None => return Err(refuse(variation.as_str(), "nothing".to_owned())),
            }
        }
        let total: f64 = shares.iter().sum();
        if (total - 1.0).abs() > SUM_TOLERANCE {
            return Err(PolicyError::Refused {
                field: SHARES.field(),
                given: format!("a sum of {total}"),
                allowed: SHARES.allowed.to_owned(),
            });
        }
        shares.iter_mut().for_each(|share| *share /= total);
        Ok(Self { shares })
    }
}

impl Policy for Fixed {
    fn pooling(&self) -> Pooling {
        Pooling::Complete
    }

    fn learns(&self) -> bool {
        false
    }

    fn allocate(&self, evidence: &Evidence<'_>) -> Vec<f64> {
        assert_eq!(
            evidence.arms.len(),
            self.shares.len(),
            "evidence of other variations than the policy was built for"
        );
        self.shares.clone()
    }
}

fn refuse(key: &str, given: String) -> PolicyError {
    PolicyError::Refused {
        field: format!("{}.{}", SHARES.field(), excerpt(key)),
        given,
        allowed: SHARES.allowed.to_owned(),
    }
}

/// Half of the traffic for the first variation, the rest in equal parts.
fn example(variations: &[VariationKey]) -> Parameters {
    let others_count = variations.len() - 1;
    let share = |place: usize| match (place, others_count) {
        (0, 0) => 1.0,
        (0, _) => 0.5,
        _ => 0.5 / others_count as f64,
    };
    let shares: BTreeMap<_, _> =
        variations.iter().enumerate().map(|(place, key)| (key.as_str().to_owned(), share(place))).collect();
    Parameters::new().with(SHARES.name, Parameter::Shares(shares))
}
