//! The experiment that a strategy saves.

use mabel::domain::{AttributeName, ExperimentKey, GoalKey, GoalKind, Probability};
use mabel::engine::definition::{Budget, Definition, Goal, Objective, PolicyChoice, Role, Segments, Variation};
use mabel::policy::Parameters;

use crate::simulations::strategies::{Expected, Terms};
use crate::simulations::world::{Phase, World};

/// The one goal's key.
pub(super) const GOAL: &str = "goal";

/// A policy by its kind and parameters.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choice<'a> {
    pub(super) kind: &'a str,
    pub(super) parameters: &'a Parameters,
}

/// What can be shown in a phase to `visitors` in the whole run, divided by everything that is known of them.
pub(super) fn definition(
    world: &World,
    phase: &Phase,
    terms: &Terms,
    key: ExperimentKey,
    choice: Choice<'_>,
    visitors: u64,
) -> Definition {
    let attributes: Vec<AttributeName> = world
        .segment_attributes()
        .into_iter()
        .map(|name| AttributeName::new(name).expect("checked when the scenario was read"))
        .collect();
    let variation = |v: &usize| {
        let known = &world.variations[*v];
        Variation {
            cost: known.cost,
            cost_per_conversion: known.cost_per_conversion,
            ..Variation::new(known.key.clone(), "null")
        }
    };
    let default_objective = if world.costs() { Objective::Margin } else { Objective::Goal };
    let policy = PolicyChoice {
        floor: terms.floor,
        half_life: terms.half_life,
        objective: terms.objective.unwrap_or(default_objective),
        expected_visitors: match terms.expected {
            Expected::Unsaid => None,
            Expected::Run => Some(visitors),
            Expected::Number(number) => Some(number),
        },
        ..PolicyChoice::new(choice.kind, choice.parameters.clone())
    };
    let budget = |budget: crate::simulations::strategies::Budget| Budget {
        amount: budget.per_visitor * visitors as f64,
        visitors,
        hard: budget.hard,
    };
    Definition {
        control: Probability::new(terms.control).expect("checked when the scenario was read"),
        segments: if attributes.is_empty() { Segments::All } else { Segments::By(attributes) },
        budget: terms.budget.map(budget),
        attributes: world.seen.attributes.clone(),
        interactions: world.seen.interactions.clone(),
        group: None,
        ..Definition::new(key, phase.available.iter().map(variation).collect(), vec![goal(world, terms)], policy)
    }
}

/// The world's goal, or only whether it was reached, where a strategy looks at nothing else.
fn goal(world: &World, terms: &Terms) -> Goal {
    let known = &world.goal;
    let kind = terms.goal.unwrap_or(known.kind);
    let counted = kind == GoalKind::Conversion && known.worth.is_none();
    let key = GoalKey::new(GOAL).expect("letters");
    Goal {
        kind,
        currency: known.currency.filter(|_| !counted),
        cap: known.cap.filter(|_| kind == GoalKind::Revenue),
        worth: known.worth,
        delay: terms.delay,
        typical_delay: terms.typical_delay,
        ..Goal::conversion(key, Role::Primary, known.window)
    }
}
