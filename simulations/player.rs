//! One strategy, one run: visitors one after another through the engine, as a server would drive it.
//!
//! Rewards need no receipt here: their events are built from the decision's record, as the engine builds them from a
//! receipt. Who does not convert sends nothing, as on a site. Every allocation that falls due is computed at once.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mabel::domain::{Aggregation, Context, ExperimentKey, GoalKind, RewardId, Seed, Span, Timestamp};
use mabel::engine::Engine;
use mabel::engine::decide::{Decision, Explain, Request, RequestId};
use mabel::engine::definition::Status;
use mabel::engine::error::SaveError;
use mabel::engine::event::{Event, Rewarded};
use mabel::engine::known::Known;
use mabel::engine::ledger::{Judgement, Position, judge};
use mabel::engine::refresh::RefreshJob;
use mabel::engine::secret::Secret;
use mabel::engine::settings::Settings;
use mabel::policy::{Parameter, Parameters};

use crate::simulations::player::account::{Account, Grid};
use crate::simulations::player::definition::{Choice, GOAL, definition};
use crate::simulations::player::kept::Kept;
use crate::simulations::player::pending::{Clock, Pending};
use crate::simulations::player::watch::Watch;
use crate::simulations::sample_ratio::SampleRatio;
use crate::simulations::strategies::{Act, Plan, Stage, Strategy, Winner};
use crate::simulations::world::{Phase, Scene, Scratch, Truth, Visitor, World, highest};

mod account;
mod check;
mod course;
mod definition;
mod kept;
mod pending;
mod verdicts;
mod watch;

pub(crate) use check::check;
pub(crate) use course::{Course, Outcome};
pub(crate) use verdicts::{Finish, play_until_finished};

/// Segments whose allocations are kept: more charts beside each other cannot be read.
pub(crate) const PICTURED_SEGMENTS: usize = 4;

/// Visitors between two looks at whether to stop.
const STOP_EVERY: u64 = 4_096;

/// After which a site sends a refused reward again.
const RETRY: Span = Span::SECOND;

/// Plays one run; `None` if it was told to stop.
pub(crate) fn play(
    world: &World,
    strategy: &Strategy,
    course: Course,
    run: Seed,
    stop: &AtomicBool,
) -> Option<Outcome> {
    let points = course.points();
    let mut player = Player::new(world, strategy, course.visitors);
    player.visit(course, run, stop, |player, moment| {
        if points.get(player.regret.len()) == Some(&(moment.index + 1)) {
            player.record();
        }
        ControlFlow::Continue(())
    })?;
    Some(player.outcome())
}

/// A visitor who comes.
struct Moment<'a> {
    index: u64,
    visitor: Visitor,
    context: &'a Context<'a>,
    scene: Scene<'a>,
    now: Timestamp,
    phase: &'a Phase,
}

/// Nobody to hide anything from. The same for every strategy, so that the same id gives the same draw.
fn new_engine() -> Engine {
    Engine::new(Secret::new([0; 32]), 0)
}

struct Player<'a> {
    world: &'a World,
    strategy: &'a Strategy,
    /// Of the whole run.
    visitors: u64,
    engine: Engine,
    /// Where something befalls the server.
    kept: Option<Kept>,
    /// Which experiment decides for each segment.
    experiments: Vec<ExperimentKey>,
    jobs: Vec<RefreshJob>,
    reward_id: RewardId,
    visitor_id: String,
    /// Whether propensities can differ between two decisions from one allocation: by the visitor's features, or because
    /// a budget is spent.
    explain: Explain,
    /// By segment and variation: how often shown, and what that is known to have earned.
    shown: Grid<u64>,
    earned: Grid<f64>,
    /// Rewards on their way.
    pending: Clock,
    watches: Vec<Watch>,
    account: Account,
    regret: Vec<f64>,
    allocations: Vec<Vec<Vec<f64>>>,
}

impl<'a> Player<'a> {
    fn new(world: &'a World, strategy: &'a Strategy, visitors: u64) -> Self {
        let by_features = !matches!(world.truth, Truth::Segments(_));
        let explain = if by_features || strategy.terms.budget.is_some() { Explain::Yes } else { Explain::No };
        Self {
            world,
            strategy,
            visitors,
            engine: new_engine(),
            kept: strategy.terms.trouble.map(Kept::new),
            experiments: vec![world.key.clone(); world.segments_count()],
            jobs: Vec::new(),
            reward_id: RewardId::new(GOAL).expect("a goal's key is a reward id"),
            visitor_id: String::new(),
            explain,
            shown: Grid::new(world),
            earned: Grid::new(world),
            pending: Clock::default(),
            watches: (0..world.segments_count()).map(|_| Watch::new(world.variations.len())).collect(),
            account: Account::default(),
            regret: Vec::new(),
            allocations: Vec::new(),
        }
    }

    /// Decides for one visitor after another, until the run is over or `after` one of them there is nothing more to see; `None`
    /// if it was told to stop.
    fn visit(
        &mut self,
        course: Course,
        run: Seed,
        stop: &AtomicBool,
        mut after: impl FnMut(&mut Self, &Moment<'_>) -> ControlFlow<()>,
    ) -> Option<()> {
        let (world, strategy) = (self.world, self.strategy);
        let contexts = world.contexts();
        let phases = world.phases(course.visitors);
        let mut scratch = Scratch::default();
        for stage in strategy.stages(&phases) {
            self.begin(&stage, course.at(stage.visitors.start)).expect("the scenario's strategies were checked");
            for index in stage.visitors.clone() {
                if index % STOP_EVERY == 0 && stop.load(Ordering::Relaxed) {
                    return None;
                }
                let visitor = Visitor::of(run, index, world);
                world.look(index, &visitor, &mut scratch);
                let own = world.context(index, &scratch);
                let context = own.as_ref().unwrap_or_else(|| &contexts[visitor.segment]);
                let scene = world.scene(index, &visitor, stage.phase, &scratch);
                let moment = Moment { index, visitor, context, scene, now: course.at(index), phase: stage.phase };
                self.round(&moment);
                if after(self, &moment).is_break() {
                    return Some(());
                }
            }
        }
        Some(())
    }

    /// Saves what decides from now on.
    fn begin(&mut self, stage: &Stage<'_>, now: Timestamp) -> Result<(), SaveError> {
        let strategy = self.strategy;
        let none = Parameters::new();
        let choice = match (&strategy.plan, stage.act) {
            (_, Act::Know) => return Ok(()),
            (Plan::Policy { kind, parameters }, _) => Choice { kind, parameters },
            (_, Act::Learn) => Choice { kind: "uniform", parameters: &none },
            (_, Act::Exploit(winner)) => return self.exploit(winner, stage.phase, now),
        };
        self.experiments.fill(self.world.key.clone());
        self.save(self.world.key.clone(), stage.phase, choice, now)
    }

    /// Fixes what was best in the test, for all or in an experiment for each segment.
    fn exploit(&mut self, winner: Winner, phase: &Phase, now: Timestamp) -> Result<(), SaveError> {
        let segments = self.world.segments_count();
        match winner {
            Winner::Global => self.fix(self.world.key.clone(), 0..segments, phase, now),
            Winner::PerSegment => {
                for segment in 0..segments {
                    let key = ExperimentKey::new(&format!("winner-{segment}")).expect("letters, a sign and digits");
                    self.fix(key.clone(), segment..segment + 1, phase, now)?;
                    self.experiments[segment] = key;
                }
                Ok(())
            }
        }
    }

    /// Shows some segments nothing but what was best in them.
    fn fix(
        &mut self,
        key: ExperimentKey,
        segments: Range<usize>,
        phase: &Phase,
        now: Timestamp,
    ) -> Result<(), SaveError> {
        let best = self.best(phase, segments);
        let share = |v: &usize| (self.world.variations[*v].key.to_string(), if *v == best { 1.0 } else { 0.0 });
        let shares = Parameter::Shares(phase.available.iter().map(share).collect());
        let parameters = Parameters::new().with("shares", shares);
        self.save(key, phase, Choice { kind: "fixed", parameters: &parameters }, now)
    }

    /// The variation with the highest mean of what it is known to have earned, over some segments; of conversions, the
    /// posterior mean under Beta(1,1).
    fn best(&self, phase: &Phase, segments: Range<usize>) -> usize {
        let counted = self.counts_conversions();
        highest(&phase.available, |v| {
            let shown = segments.clone().map(|s| self.shown.segment(s)[v]).sum::<u64>() as f64;
            let earned = segments.clone().map(|s| self.earned.segment(s)[v]).sum::<f64>();
            if counted {
                (earned + 1.0) / (shown + 2.0)
            } else {
                earned / shown.max(1.0) - self.world.variations[v].cost
            }
        })
    }

    /// Whether a reward is that something happened, and no money.
    fn counts_conversions(&self) -> bool {
        self.goal() == GoalKind::Conversion && self.world.goal.worth.is_none() && !self.world.costs()
    }

    fn goal(&self) -> GoalKind {
        self.strategy.terms.goal.unwrap_or(self.world.goal.kind)
    }

    fn save(&mut self, key: ExperimentKey, phase: &Phase, choice: Choice<'_>, now: Timestamp) -> Result<(), SaveError> {
        let definition = definition(self.world, phase, &self.strategy.terms, key, choice, self.visitors);
        if let Some(saved) = self.engine.save(definition, Status::Running, now)? {
            let event = Event::ExperimentSaved(Arc::new(saved));
            assert!(self.record_event(&event, &Judgement::PLAIN), "definitions are saved while the store takes them");
            self.apply(&event, &Judgement::PLAIN);
        }
        Ok(())
    }

    /// Applies an event that is recorded, and what becomes due by it.
    fn apply(&mut self, event: &Event, judgement: &Judgement) {
        self.engine.apply(event, judgement, &mut self.jobs);
        while let Some(job) = self.jobs.pop() {
            let computed = job.compute();
            let recorded = self.record_event(&computed, &Judgement::PLAIN);
            assert!(recorded, "a store that took an event takes what follows from it");
            self.engine.apply(&computed, &Judgement::PLAIN, &mut self.jobs);
        }
    }

    /// The site shows the default by itself, and nothing is recorded.
    fn fall_back(&mut self, moment: &Moment<'_>) {
        self.account.show(self.world, &moment.scene, moment.phase.available[0]);
    }

    /// One visitor: decided for, counted, and rewarded if there is a conversion.
    fn round(&mut self, moment: &Moment<'_>) {
        let Moment { index, visitor, context, scene, now, phase } = moment;
        while let Some(reward) = self.pending.pop(*now) {
            self.deliver(reward, *index, *now);
        }
        if matches!(self.strategy.plan, Plan::Oracle) {
            self.account.show(self.world, scene, scene.best);
            return;
        }
        if self.befall(*index) {
            return self.fall_back(moment);
        }
        if self.strategy.terms.control > 0.0 {
            // Only the control group's hash reads it.
            self.visitor_id = index.to_string();
        }
        let request = Request {
            visitor: &self.visitor_id,
            token: None,
            assignment: None,
            visitor_given: true,
            context,
            exclude: &[],
            defer: false,
            receipt: None,
            id: RequestId::Minted(visitor.tail),
            now: *now,
        };
        let experiment = self.experiments[visitor.segment].as_str();
        let found = self.engine.experiment(experiment).expect("the experiment was saved");
        let active = found.active_full();
        let decision = self.engine.decide_in(&found, &active, &request, None, self.explain);
        let record = decision.record.as_ref().expect("an experiment that runs records its decisions");
        let variation = phase.available[decision.variation];
        if !self.record_decision(experiment, &request) {
            return self.fall_back(moment);
        }
        self.shown.add(visitor.segment, variation, 1);
        self.account.show(self.world, scene, variation);
        if !record.control {
            let watch = &mut self.watches[visitor.segment];
            match self.explain {
                Explain::No => watch.saw(&self.engine, &request, record, phase, variation),
                Explain::Yes => watch.saw_explained(&active.settings, &decision, record, phase, variation),
            }
        }
        let reward = (visitor.uniform < scene.rates[variation])
            .then(|| self.reward(moment, &active.settings, &decision, variation));
        let event = decision.event().expect("a decision that is not deferred is an exposure");
        self.apply(&event, &Judgement::PLAIN);
        match reward {
            None => {}
            Some((None, reward)) => self.deliver(reward, *index, *now),
            Some((Some(delay), reward)) => self.pending.push(*now + delay, reward),
        }
    }

    /// What a visitor who converts brings, and after how long.
    fn reward(
        &self,
        moment: &Moment<'_>,
        settings: &Settings,
        decision: &Decision<'_>,
        variation: usize,
    ) -> (Option<Span>, Pending) {
        let Moment { visitor, now, .. } = moment;
        let delay = self.world.delay(visitor, variation);
        let conversion = self.goal() == GoalKind::Conversion;
        let value = if conversion { 1 } else { self.world.amount(visitor, variation) };
        let worth = if conversion { self.world.goal.worth.unwrap_or(1.0) } else { value as f64 };
        let event = Event::Rewarded(Rewarded {
            record: decision.record.as_deref().cloned().expect("an experiment that runs records its decisions"),
            deferred: false,
            goal: settings.primary(),
            value,
            reward_id: self.reward_id.clone(),
            arrived_at: *now + delay.unwrap_or_default(),
            occurred_at: None,
            window: settings.longest_window(),
            cap: self.world.goal.cap.filter(|_| !conversion),
            aggregation: Aggregation::First,
        });
        let earned = worth - self.world.variations[variation].cost_per_conversion;
        (delay, Pending { event, segment: visitor.segment, variation, earned })
    }

    /// A reward becomes known; one that is refused is sent again.
    fn deliver(&mut self, mut reward: Pending, index: u64, now: Timestamp) {
        let position = self.kept.as_ref().map_or(Position { block: index + 1, index: 0 }, Kept::next);
        let judgement = judge(&reward.event, position, &Known::default());
        if !self.record_event(&reward.event, &judgement) {
            let again = now + RETRY;
            if let Event::Rewarded(rewarded) = &mut reward.event {
                rewarded.arrived_at = again;
            }
            return self.pending.push(again, reward);
        }
        self.earned.add(reward.segment, reward.variation, reward.earned);
        self.apply(&reward.event, &judgement);
    }

    fn record(&mut self) {
        self.regret.push(self.account.regret);
        let pictured = self.watches.iter().take(PICTURED_SEGMENTS);
        self.allocations.push(pictured.map(|watch| watch.propensities.clone()).collect());
    }

    fn outcome(self) -> Outcome {
        let checks = self.watches.into_iter().map(Watch::check);
        Outcome {
            reward: self.account.reward,
            spend: self.account.spend,
            regret: self.regret,
            allocations: self.allocations,
            sample_ratio: checks.fold(SampleRatio::default(), SampleRatio::worst),
        }
    }
}

#[cfg(test)]
mod tests;
