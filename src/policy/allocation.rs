//! From a policy's shares to the propensities of one decision, and the draw.

use crate::policy::PolicyError;

/// The largest part of the traffic that a floor may take from the policy, K·f.
pub const FLOOR_TOTAL_MAX: f64 = 0.5;

/// Shares of the eligible below this, together, say nothing about them.
const REMAINDER_MIN: f64 = 1e-9;

/// Checks the least share `floor` of each of `variations_count` variations when a definition is saved.
///
/// # Errors
/// [`PolicyError::Refused`] unless `floor` is at least 0 and all floors together take at most half of the traffic.
pub fn check_floor(floor: f64, variations_count: usize) -> Result<(), PolicyError> {
    let most = FLOOR_TOTAL_MAX / variations_count as f64;
    if (0.0..=most).contains(&floor) {
        return Ok(());
    }
    Err(PolicyError::Refused {
        field: "policy.floor".to_owned(),
        given: floor.to_string(),
        allowed: format!("a number from 0 to {most}, half of the traffic over {variations_count} variations"),
    })
}

/// The propensities of one decision: `shares` of the eligible, renormalised, then the floors: q = (1 − Σf)·p + f over the
/// eligible. 0 exactly for everything else; they sum to 1 within 1e-12. `None` if nothing is eligible.
///
/// Where less than 1e-9 of the shares is left, the eligible share equally: the policy has said nothing about them.
///
/// # Panics
/// If the slices differ in length or the floors were never checked by [`check_floor`].
#[must_use]
pub fn project(shares: &[f64], eligible: &[bool], floors: &[f64]) -> Option<Vec<f64>> {
    assert!(shares.len() == eligible.len() && shares.len() == floors.len(), "one eligibility and floor for each share");
    let (mut eligible_count, mut remainder, mut reserved) = (0_usize, 0.0, 0.0);
    for ((share, floor), _) in shares.iter().zip(floors).zip(eligible).filter(|(_, eligible)| **eligible) {
        eligible_count += 1;
        remainder += share;
        reserved += floor;
    }
    if eligible_count == 0 {
        return None;
    }
    assert!((0.0..=FLOOR_TOTAL_MAX + 1e-12).contains(&reserved), "floors of {reserved} together");
    let silent = remainder < REMAINDER_MIN;
    let (scale, equal) = if silent { (0.0, 1.0 / eligible_count as f64) } else { ((1.0 - reserved) / remainder, 0.0) };
    let propensity = |((share, floor), eligible): ((&f64, &f64), &bool)| match (eligible, silent) {
        (false, _) => 0.0,
        (true, true) => equal,
        (true, false) => share * scale + floor,
    };
    Some(shares.iter().zip(floors).zip(eligible).map(propensity).collect())
}

/// The variation that the uniform number `u` in [0, 1) chooses: propensities are laid end to end in the order given.
///
/// Never one whose propensity is 0, also where rounding makes the sum fall short of `u`.
///
/// # Panics
/// If every propensity is 0: nothing was eligible, and [`project`] said so.
#[inline]
#[must_use]
pub fn draw(propensities: &[f64], u: f64) -> usize {
    let mut end = 0.0;
    for (place, propensity) in propensities.iter().enumerate() {
        // What has no propensity moves no end, so that a number below this end and not below the last found one above 0.
        end += propensity;
        if u < end {
            return place;
        }
    }
    propensities.iter().rposition(|propensity| *propensity > 0.0).expect("a draw from propensities that are all 0")
}

#[cfg(test)]
mod tests;
