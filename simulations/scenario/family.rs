//! Worlds that are given by parameters, and what may be said of any world: drift, goal, orders, delay.

use mabel::domain::{Context, Currency, GoalKind, Span, VALUE_MAX, VariationKey};
use serde::Deserialize;

use crate::simulations::scenario::Refusal;
use crate::simulations::world::blueprint::{Drift, Family, LogisticFamily, TwoWay, Weights};
use crate::simulations::world::orders::OrdersBlueprint;
use crate::simulations::world::{GoalInWorld, VariationInWorld};

#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", deny_unknown_fields, rename_all = "kebab-case")]
pub(super) enum FamilyInFile {
    TwoWay {
        segments: usize,
        variations: Option<usize>,
        base: f64,
        #[serde(default)]
        segment_sd: f64,
        #[serde(default)]
        arm_sd: f64,
        #[serde(default)]
        interaction_sd: f64,
    },
    Logistic {
        d: usize,
        variations: Option<usize>,
        sd: Option<f64>,
        theta: Option<Vec<Vec<f64>>>,
    },
}

#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", deny_unknown_fields, rename_all = "kebab-case")]
pub(super) enum DriftInFile {
    Season { period: u64, amplitude: f64 },
    Redraw { every: u64 },
    OrnsteinUhlenbeck { memory: u64 },
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GoalInFile {
    kind: Option<String>,
    currency: Option<String>,
    worth: Option<f64>,
    cap: Option<i64>,
    window: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OrdersInFile {
    mean: f64,
    sigma: f64,
    #[serde(default)]
    arm_sd: f64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DelayInFile {
    mean: String,
}

/// Most variations of an experiment.
const VARIATIONS_MAX: usize = 256;
/// Most segments of an experiment that are kept apart.
const SEGMENTS_MAX: usize = 10_000;
/// Beyond it rates are 0 or 1.
const SD_MAX: f64 = 5.0;

fn within(field: &str, number: f64, least: f64, most: f64) -> Result<f64, Refusal> {
    if (least..=most).contains(&number) {
        Ok(number)
    } else {
        Err(Refusal::new(field, number, format!("a number from {least} to {most}")))
    }
}

fn count(field: &str, number: usize, most: usize) -> Result<usize, Refusal> {
    if (1..=most).contains(&number) {
        Ok(number)
    } else {
        Err(Refusal::new(field, number, format!("a whole number from 1 to {most}")))
    }
}

/// A length of time, at least a second.
pub(super) fn span(field: &str, text: &str) -> Result<Span, Refusal> {
    let read = Span::parse(text).filter(|span| (Span::SECOND..=Span::DAY.times(365)).contains(span));
    read.ok_or_else(|| Refusal::new(field, format!("{text:?}"), "a length from 1s to 365d, as in \"7d\""))
}

fn given_variations(family: &FamilyInFile) -> Option<usize> {
    match family {
        FamilyInFile::TwoWay { variations, .. } | FamilyInFile::Logistic { variations, .. } => *variations,
    }
}

/// As many variations as the family says: v1, v2 and so on, all there from the start.
pub(super) fn variations(family: &FamilyInFile) -> Result<Vec<VariationInWorld>, Refusal> {
    let given = given_variations(family).ok_or_else(|| {
        let allowed = "their number; or [[variations]], which says more of each";
        Refusal::new("family.variations", "nothing", allowed)
    })?;
    let number = count("family.variations", given, VARIATIONS_MAX)?;
    let width = number.to_string().len();
    let key = |place| VariationKey::new(&format!("v{place:0width$}")).expect("a letter and digits");
    Ok((1..=number).map(|place| VariationInWorld::new(key(place))).collect())
}

/// Refuses a number of variations where they are listed.
pub(super) fn no_variations(family: &FamilyInFile) -> Result<(), Refusal> {
    match given_variations(family) {
        None => Ok(()),
        Some(number) => Err(Refusal::new("family.variations", number, "nothing: [[variations]] says them")),
    }
}

/// The family of so many variations.
pub(super) fn read(family: &FamilyInFile, variations: usize) -> Result<Family, Refusal> {
    match family {
        FamilyInFile::TwoWay { segments, variations: _, base, segment_sd, arm_sd, interaction_sd } => {
            if !(*base > 0.0 && *base < 1.0) {
                return Err(Refusal::new("family.base", base, "a rate above 0 and below 1"));
            }
            Ok(Family::TwoWay(TwoWay {
                segments: count("family.segments", *segments, SEGMENTS_MAX)?,
                base: *base,
                segment_sd: within("family.segment_sd", *segment_sd, 0.0, SD_MAX)?,
                arm_sd: within("family.arm_sd", *arm_sd, 0.0, SD_MAX)?,
                interaction_sd: within("family.interaction_sd", *interaction_sd, 0.0, SD_MAX)?,
            }))
        }
        FamilyInFile::Logistic { d, variations: _, sd, theta } => {
            let dimensions = count("family.d", *d, Context::MAX_ATTRIBUTES)?;
            let weights = match (sd, theta) {
                (Some(sd), None) => Weights::Drawn { sd: within("family.sd", *sd, 0.0, SD_MAX)? },
                (None, Some(theta)) => Weights::Stated(weights(theta, variations, dimensions)?),
                (None, None) => return Err(Refusal::new("family.sd", "nothing", "sd or theta")),
                (Some(sd), Some(_)) => return Err(Refusal::new("family.sd", sd, "sd or theta, not both")),
            };
            Ok(Family::Logistic(LogisticFamily { dimensions, weights }))
        }
    }
}

fn weights(theta: &[Vec<f64>], variations: usize, dimensions: usize) -> Result<Vec<f64>, Refusal> {
    let shaped = theta.len() == variations && theta.iter().all(|row| row.len() == dimensions);
    if !shaped || theta.iter().flatten().any(|weight| !weight.is_finite()) {
        let given = format!("{} lists", theta.len());
        let allowed = format!("{variations} lists, one for each variation, of {dimensions} finite numbers");
        return Err(Refusal::new("family.theta", given, allowed));
    }
    Ok(theta.concat())
}

pub(super) fn drift(drift: &DriftInFile, family: &Family) -> Result<Drift, Refusal> {
    let length = |field: &str, visitors: u64| match visitors {
        0 => Err(Refusal::new(field, 0, "a number of visitors from 1")),
        visitors => Ok(visitors),
    };
    let read = match drift {
        DriftInFile::Season { period, amplitude } => Drift::Season {
            period: length("drift.period", *period)?,
            amplitude: within("drift.amplitude", *amplitude, 0.0, 1.0)?,
        },
        DriftInFile::Redraw { every } => Drift::Redraw { every: length("drift.every", *every)? },
        DriftInFile::OrnsteinUhlenbeck { memory } => {
            Drift::OrnsteinUhlenbeck { memory: length("drift.memory", *memory)? }
        }
    };
    let refused = |given: &str, allowed: &str| Err(Refusal::new("drift.kind", given, allowed));
    match (family, read) {
        (Family::TwoWay(_), _) | (Family::Stated(..), Drift::Season { .. }) => Ok(read),
        (Family::Stated(..), _) => refused("a drift of what variations do", "\"season\", where rates are stated"),
        (Family::Logistic(_) | Family::Rows(_), _) => refused("a drift", "nothing, where visitors have features"),
    }
}

pub(super) fn goal(goal: Option<&GoalInFile>) -> Result<GoalInWorld, Refusal> {
    let Some(goal) = goal else { return Ok(GoalInWorld::CONVERSIONS) };
    let kind = match goal.kind.as_deref() {
        None | Some("conversion") => GoalKind::Conversion,
        Some("revenue") => GoalKind::Revenue,
        Some(other) => {
            return Err(Refusal::new("goal.kind", format!("{other:?}"), "\"conversion\" or \"revenue\""));
        }
    };
    let currency = |code: &String| {
        Currency::new(code).ok_or_else(|| Refusal::new("goal.currency", format!("{code:?}"), Currency::ALLOWED))
    };
    if let Some(worth) = goal.worth
        && !(kind == GoalKind::Conversion && worth > 0.0 && worth <= VALUE_MAX as f64)
    {
        let allowed = format!("a number above 0 up to {VALUE_MAX}, where the goal is a conversion");
        return Err(Refusal::new("goal.worth", worth, allowed));
    }
    if let Some(cap) = goal.cap
        && !(kind == GoalKind::Revenue && (1..=VALUE_MAX).contains(&cap))
    {
        let allowed = format!("a whole number from 1 to {VALUE_MAX}, where the goal is revenue");
        return Err(Refusal::new("goal.cap", cap, allowed));
    }
    let window = goal.window.as_deref().map(|text| span("goal.window", text)).transpose()?;
    Ok(GoalInWorld {
        kind,
        currency: goal.currency.as_ref().map(currency).transpose()?,
        worth: goal.worth,
        cap: goal.cap,
        window: window.unwrap_or(GoalInWorld::CONVERSIONS.window),
    })
}

pub(super) fn orders(orders: Option<&OrdersInFile>, goal: &GoalInWorld) -> Result<Option<OrdersBlueprint>, Refusal> {
    match (orders, goal.kind) {
        (None, GoalKind::Revenue) => {
            Err(Refusal::new("orders", "nothing", "mean and sigma, where the goal is revenue"))
        }
        (Some(_), GoalKind::Conversion | GoalKind::Count) => {
            Err(Refusal::new("orders", "orders", "nothing, unless goal.kind is \"revenue\""))
        }
        (None, GoalKind::Conversion | GoalKind::Count) => Ok(None),
        (Some(orders), GoalKind::Revenue) => Ok(Some(OrdersBlueprint {
            mean: within("orders.mean", orders.mean, 1.0, 1e9)?,
            sigma: within("orders.sigma", orders.sigma, 0.0, 3.0)?,
            arm_sd: within("orders.arm_sd", orders.arm_sd, 0.0, 3.0)?,
        })),
    }
}

pub(super) fn delay(delay: &DelayInFile) -> Result<Span, Refusal> {
    span("delay.mean", &delay.mean)
}
