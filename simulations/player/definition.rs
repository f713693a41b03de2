//! The experiment that a strategy saves.

use mabel::domain::{AttributeName, ExperimentKey, GoalKey, Probability, Span};
use mabel::engine::definition::{Definition, Goal, PolicyChoice, Role, Segments, Variation};

use crate::simulations::world::{Phase, World};

/// The one goal's key.
pub(super) const GOAL: &str = "conversion";

/// What can be shown in a phase, divided by everything that is known of visitors.
pub(super) fn definition(
    world: &World,
    phase: &Phase,
    key: ExperimentKey,
    policy: PolicyChoice,
    control: Probability,
) -> Definition {
    let mut attributes: Vec<&str> =
        world.segments.iter().flat_map(|segment| segment.context.iter().map(|(name, _)| name.as_str())).collect();
    attributes.sort_unstable();
    attributes.dedup();
    let attributes: Vec<AttributeName> = attributes
        .into_iter()
        .map(|name| AttributeName::new(name).expect("checked when the scenario was read"))
        .collect();
    let variation = |v: &usize| Variation::new(world.variations[*v].key.clone(), "null");
    let goal = Goal::conversion(GoalKey::new(GOAL).expect("letters"), Role::Primary, Span::DAY.times(7));
    Definition {
        control,
        segments: if attributes.is_empty() { Segments::All } else { Segments::By(attributes) },
        ..Definition::new(key, phase.available.iter().map(variation).collect(), vec![goal], policy)
    }
}
