//! Whether a scenario's strategies can be saved.

use mabel::engine::error::SaveError;

use crate::simulations::player::Player;
use crate::simulations::player::course::START;
use crate::simulations::scenario::Refusal;
use crate::simulations::strategies::Strategy;
use crate::simulations::world::World;

/// Visitors of a run that is only checked.
const CHECKED: u64 = 1_000;

/// Saves what a strategy would save, so that a run need not expect refusals.
pub(crate) fn check(world: &World, strategies: &[Strategy]) -> Result<(), Refusal> {
    for (index, strategy) in strategies.iter().enumerate() {
        let mut player = Player::new(world, strategy, CHECKED);
        for stage in strategy.stages(&world.phases(CHECKED)) {
            player.begin(&stage, START).map_err(|error| refusal(index, error))?;
        }
    }
    Ok(())
}

/// An engine speaks of a definition; whoever wrote a scenario must hear of the scenario's field.
fn refusal(strategy: usize, error: SaveError) -> Refusal {
    let own = |field: &str| format!("strategies[{strategy}].{field}");
    match error {
        SaveError::Field(error) => {
            let parts = error.field.split_once('.').unwrap_or((&error.field, ""));
            let field = match parts {
                ("policy", "kind") => own("policy"),
                ("policy", parameter) => own(parameter),
                ("goals[0]", field @ ("delay" | "typical_delay")) => own(field),
                ("goals[0]", field) => format!("goal.{field}"),
                ("budget", _) => own("budget"),
                (attributes, _) if attributes.starts_with("attributes") || attributes.starts_with("interactions") => {
                    format!("schema: {}", error.field)
                }
                (_, _) => error.field,
            };
            Refusal::new(field, error.given, error.allowed)
        }
        SaveError::Deleted(_) | SaveError::TooManyEpochs(_) => {
            Refusal::new(format!("strategies[{strategy}]"), "the experiment", error.to_string())
        }
    }
}
