//! When stopping rules say that a strategy has learned enough, asked while it plays.

use std::ops::ControlFlow;
use std::sync::atomic::AtomicBool;

use mabel::domain::Seed;
use mabel::engine::Engine;
use mabel::policy::belief::Model;
use mabel::report::lift::Counts;
use mabel::report::stopping::{Progress, Reason, StoppingRule, Verdict, stopping};

use crate::simulations::player::{Course, Moment, Player};
use crate::simulations::sample_ratio::SampleRatio;
use crate::simulations::stopping::Stopping;
use crate::simulations::strategies::Strategy;
use crate::simulations::world::{Scene, World};

/// Joint draws that rules are asked with, as many as a report of one segment makes.
const DRAWS: usize = 4_096;

/// Of the draws: the same at every look, as in a report.
const SEED: Seed = Seed(0x7374_6f70);

/// What a rule said in the end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Finish {
    /// Visitors by then.
    pub(crate) visitors: u64,
    pub(crate) reason: Reason,
    /// What the best variation has more than the one that is kept, as a share of the latter's expected reward. Where there is no
    /// practical difference the default is kept.
    pub(crate) loss: f64,
}

/// Plays one run until every rule has said that it is finished, or the run is over: what each said in the end. `None` if it
/// was told to stop.
///
/// Rules look on and change nothing, so that all of them look at the same run.
pub(crate) fn play_until_finished(
    world: &World,
    strategy: &Strategy,
    course: Course,
    run: Seed,
    stop: &AtomicBool,
    asked: &Stopping,
) -> Option<(Vec<Finish>, SampleRatio)> {
    let mut finishes: Vec<Option<Finish>> = vec![None; asked.rules.len()];
    let mut player = Player::new(world, strategy, course.visitors);
    player.visit(course, run, stop, |player, moment| {
        let visitors = moment.index + 1;
        let over = visitors == course.visitors;
        if !over && !visitors.is_multiple_of(asked.every) {
            return ControlFlow::Continue(());
        }
        let look = Look::at(player, moment);
        for (rule, finish) in asked.rules.iter().zip(&mut finishes).filter(|(_, finish)| finish.is_none()) {
            let verdict = look.ask(&rule.rule);
            if over || verdict.finished() {
                let loss = look.loss(&verdict, moment.scene);
                *finish = Some(Finish { visitors, reason: verdict.reason, loss });
            }
        }
        if finishes.iter().all(Option::is_some) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    let finishes = finishes.into_iter().map(|finish| finish.expect("a run that is over has finished")).collect();
    Some((finishes, player.outcome().sample_ratio))
}

/// What is known at one moment, variations in order of their keys.
struct Look {
    age: mabel::domain::Span,
    counts: Vec<Counts>,
    scores: Vec<f64>,
    default: usize,
    /// Places in the world.
    places: Vec<usize>,
}

impl Look {
    fn at(player: &Player<'_>, moment: &Moment<'_>) -> Self {
        let engine: &Engine = &player.engine;
        let active = engine.experiment(player.world.key.as_str()).expect("it was saved").active_full();
        let settings = &active.settings;
        let segments = active.segments();
        let read = active.reading().of(segments.first().expect("somebody has come"), moment.now);
        let by_key = settings.variations_by_key();
        let counts = |index: &usize| Counts {
            exposures: read.learning.exposures(settings.slot(*index)),
            conversions: read.learning.conversions(settings.slot(*index), settings.primary()),
        };
        let policy = settings.policy();
        let model = Model { pooling: policy.pooling(), prior: policy.prior(), sharpening: 1.0, draws: DRAWS };
        let draws = model.believe(&read.evidence()).draws_among(SEED, SEED.child(1));
        Self {
            age: active.newest().since(read.since.expect("somebody has come")),
            counts: by_key.iter().map(counts).collect(),
            scores: draws.rows().flatten().copied().collect(),
            default: by_key.iter().position(|index| *index == 0).expect("one is the first"),
            places: by_key.iter().map(|index| moment.phase.available[*index]).collect(),
        }
    }

    fn ask(&self, rule: &StoppingRule) -> Verdict {
        let Self { age, counts, scores, default, .. } = self;
        stopping(&Progress { age: *age, counts, scores, default: *default }, rule)
    }

    fn loss(&self, verdict: &Verdict, scene: Scene<'_>) -> f64 {
        let kept = if verdict.reason == Reason::NoPracticalDifference { self.default } else { verdict.best };
        let kept = scene.values[self.places[kept]];
        (scene.values[scene.best] - kept) / kept
    }
}
