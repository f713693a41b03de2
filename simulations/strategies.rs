//! What is compared: policies of the library, and the ways of working that they have to beat.

use std::ops::Range;

use mabel::domain::{GoalKind, Span};
use mabel::engine::definition::{Delay, HalfLife, Objective};
use mabel::policy::{Parameter, Parameters};

use crate::simulations::world::Phase;

/// One row of a result.
#[derive(Debug, Clone)]
pub(crate) struct Strategy {
    /// As tables and pictures name it; unique in its scenario.
    pub(crate) name: String,
    pub(crate) plan: Plan,
    pub(crate) terms: Terms,
}

/// What a strategy's definition says beside its policy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Terms {
    /// Least probability of every variation.
    pub(crate) floor: f64,
    /// Share of visitors kept on the first variation.
    pub(crate) control: f64,
    pub(crate) half_life: HalfLife,
    /// `None`: the margin where something costs, else the goal.
    pub(crate) objective: Option<Objective>,
    pub(crate) delay: Delay,
    pub(crate) typical_delay: Option<Span>,
    /// What it hears of: `None`, the world's goal; conversions, only that there was one.
    pub(crate) goal: Option<GoalKind>,
    pub(crate) expected: Expected,
    pub(crate) budget: Option<Budget>,
    pub(crate) trouble: Option<Trouble>,
}

/// What befalls its server, at shares of the run's visitors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Trouble {
    /// It is stopped, and started again from what its store holds: a checkpoint of half that time, and the journal since.
    Restart { at: f64 },
    /// Its store refuses: visitors are shown the default and nothing is recorded.
    StoreFails { from: f64, to: f64 },
    /// Nobody asks it: the site shows the default by itself.
    Away { from: f64, to: f64 },
}

/// What it is told of how many visitors will come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    Unsaid,
    /// All of the run.
    Run,
    Number(u64),
}

/// What costed variations may spend.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Budget {
    /// Minor units, times the visitors of the run.
    pub(crate) per_visitor: f64,
    pub(crate) hard: bool,
}

impl Default for Terms {
    /// No floor, no control group, nothing forgotten, rewards taken to come at once, and no trouble.
    fn default() -> Self {
        Self {
            floor: 0.0,
            control: 0.0,
            half_life: HalfLife::Off,
            objective: None,
            delay: Delay::None,
            typical_delay: None,
            goal: None,
            expected: Expected::Unsaid,
            budget: None,
            trouble: None,
        }
    }
}

/// How a strategy decides.
#[derive(Debug, Clone)]
pub(crate) enum Plan {
    /// Knows the truth: each segment's best variation, always.
    Oracle,
    /// An A/B test: some visitors are shown all variations alike, then everybody what was best by posterior mean.
    AbTest {
        /// Share of the visitors of each phase who are tested, in (0, 1).
        explore: f64,
        winner: Winner,
    },
    /// A policy of the library, by its kind and parameters.
    Policy { kind: String, parameters: Parameters },
}

/// For whom an A/B test is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Winner {
    /// One winner for all visitors.
    Global,
    /// One in each segment.
    PerSegment,
}

/// Visitors who are decided for in one way.
pub(crate) struct Stage<'a> {
    pub(crate) visitors: Range<u64>,
    pub(crate) phase: &'a Phase,
    pub(crate) act: Act,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// As the truth says.
    Know,
    /// As the policy says; all variations alike in the first part of a test.
    Learn,
    /// What was best in the test.
    Exploit(Winner),
}

impl Strategy {
    /// Its kind, as a scenario names it.
    pub(crate) fn policy(&self) -> &str {
        match &self.plan {
            Plan::Oracle => "oracle",
            Plan::AbTest { winner: Winner::Global, .. } => "ab-test",
            Plan::AbTest { winner: Winner::PerSegment, .. } => "ab-test-per-segment",
            Plan::Policy { kind, .. } => kind,
        }
    }

    /// Whether it is Thompson sampling, with which others are compared unless the scenario says otherwise.
    pub(crate) fn is_thompson(&self) -> bool {
        self.policy() == "thompson"
    }

    /// Whether it is Thompson sampling in each segment on its own.
    pub(crate) fn learns_by_segment(&self) -> bool {
        let alone = |parameters: &Parameters| match parameters.get("pooling") {
            Some(Parameter::Text(pooling)) => pooling == "none",
            Some(_) | None => false,
        };
        self.is_thompson() && matches!(&self.plan, Plan::Policy { parameters, .. } if alone(parameters))
    }

    /// What it does in each phase, in order.
    pub(crate) fn stages<'a>(&self, phases: &'a [Phase]) -> Vec<Stage<'a>> {
        let mut stages = Vec::new();
        for phase in phases {
            let Range { start, end } = phase.visitors;
            match &self.plan {
                Plan::Oracle => stages.push(Stage { visitors: start..end, phase, act: Act::Know }),
                Plan::Policy { .. } => stages.push(Stage { visitors: start..end, phase, act: Act::Learn }),
                // A new variation is a new test: a site that adds one wants to know.
                Plan::AbTest { explore, winner } => {
                    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of visitors")]
                    let tested = start + (explore * (end - start) as f64).ceil() as u64;
                    stages.push(Stage { visitors: start..tested, phase, act: Act::Learn });
                    stages.push(Stage { visitors: tested..end, phase, act: Act::Exploit(*winner) });
                }
            }
        }
        stages
    }
}
