//! One strategy, one run: visitors one after another through the engine, as a server would drive it.
//!
//! Rewards need no receipt here: their events are built from the decision's record, as the engine builds them from a
//! receipt. Who does not convert sends nothing, as on a site. Every allocation that falls due is computed at once.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mabel::domain::{AllocationId, Context, ExperimentKey, Probability, RewardId, Seed, Span, Timestamp};
use mabel::engine::Engine;
use mabel::engine::decide::{Explain, Request, RequestId};
use mabel::engine::definition::{PolicyChoice, Status};
use mabel::engine::error::SaveError;
use mabel::engine::event::{Event, Rewarded};
use mabel::engine::ledger::{Judgement, Position, judge};
use mabel::engine::refresh::RefreshJob;
use mabel::engine::secret::Secret;
use mabel::policy::{Parameter, Parameters};

use crate::simulations::player::definition::{GOAL, definition};
use crate::simulations::sample_ratio::{Counts, SampleRatio};
use crate::simulations::scenario::Refusal;
use crate::simulations::strategies::{Act, Plan, Stage, Strategy, Winner};
use crate::simulations::world::{Phase, Visitor, World};

mod definition;

/// Points of a curve over a run: more cannot be seen in a picture.
pub(crate) const POINTS: u64 = 200;

/// Midnight, 1 January 2026: simulated time begins with a bucket. No result depends on it.
const START: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// Visitors between two looks at whether to stop.
const STOP_EVERY: u64 = 4_096;

/// How long a run is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Course {
    pub(crate) visitors: u64,
    /// Simulated time between two visitors.
    pub(crate) interval: Span,
}

/// What a strategy achieved in one run.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    /// Expected conversions of the variations chosen.
    pub(crate) reward: f64,
    /// Expected conversions lost against each segment's best, after each of [`Course::points`].
    pub(crate) regret: Vec<f64>,
    /// The propensities in force at each of [`Course::points`]: by segment, then by variation of the world.
    pub(crate) allocations: Vec<Vec<Vec<f64>>>,
    pub(crate) sample_ratio: SampleRatio,
}

impl Outcome {
    /// Expected conversions lost in the whole run.
    pub(crate) fn total_regret(&self) -> f64 {
        *self.regret.last().expect("the last point is the end of the run")
    }
}

impl Course {
    /// Numbers of visitors after which curves are recorded; the last is all of them.
    pub(crate) fn points(self) -> Vec<u64> {
        let count = POINTS.min(self.visitors);
        (1..=count).map(|point| point * self.visitors / count).collect()
    }

    fn at(self, visitor: u64) -> Timestamp {
        START + self.interval.times(visitor)
    }
}

/// Saves what a strategy would save, so that a run need not expect refusals.
pub(crate) fn check(world: &World, strategies: &[Strategy]) -> Result<(), Refusal> {
    for (index, strategy) in strategies.iter().enumerate() {
        let mut player = Player::new(world, strategy);
        for stage in strategy.stages(&world.phases(1_000)) {
            player.begin(&stage, START).map_err(|error| refusal(index, error))?;
        }
    }
    Ok(())
}

/// An engine speaks of a definition; whoever wrote a scenario must hear of the scenario's field.
fn refusal(strategy: usize, error: SaveError) -> Refusal {
    match error {
        SaveError::Field(error) => {
            let field = match error.field.strip_prefix("policy.") {
                Some(parameter) => format!("strategies[{strategy}].{parameter}"),
                None => error.field,
            };
            Refusal::new(field, error.given, error.allowed)
        }
        SaveError::Deleted(_) | SaveError::TooManyEpochs(_) => {
            Refusal::new(format!("strategies[{strategy}]"), "the experiment", error.to_string())
        }
    }
}

/// Plays one run; `None` if it was told to stop.
pub(crate) fn play(
    world: &World,
    strategy: &Strategy,
    course: Course,
    run: Seed,
    stop: &AtomicBool,
) -> Option<Outcome> {
    let mut player = Player::new(world, strategy);
    let contexts = world.contexts();
    let phases = world.phases(course.visitors);
    let points = course.points();
    for stage in strategy.stages(&phases) {
        player.begin(&stage, course.at(stage.visitors.start)).expect("the scenario's strategies were checked");
        for index in stage.visitors.clone() {
            if index % STOP_EVERY == 0 && stop.load(Ordering::Relaxed) {
                return None;
            }
            let visitor = Visitor::of(run, index, world);
            player.round(index, visitor, &contexts[visitor.segment], course.at(index), stage.phase);
            if points.get(player.regret.len()) == Some(&(index + 1)) {
                player.record(stage.phase);
            }
        }
        player.end(stage.phase);
    }
    Some(player.outcome())
}

struct Player<'a> {
    world: &'a World,
    strategy: &'a Strategy,
    engine: Engine,
    /// Which experiment decides for each segment.
    experiments: Vec<ExperimentKey>,
    jobs: Vec<RefreshJob>,
    reward_id: RewardId,
    visitor_id: String,
    /// By segment and variation: everything shown, and what converted.
    shown: Table,
    converted: Table,
    /// Shown since the phase began.
    shown_in_phase: Table,
    /// Drawn by propensity: shown, but not to the control group.
    drawn: Table,
    watches: Vec<Watch>,
    /// Of the phases that are over.
    reward: f64,
    regret_before: f64,
    regret: Vec<f64>,
    allocations: Vec<Vec<Vec<f64>>>,
}

/// The propensities that a segment is drawn from, until its allocation changes.
struct Watch {
    allocation: Option<(AllocationId, u32)>,
    propensities: Vec<f64>,
    decisions: u64,
    counts: Counts,
}

/// Counts by segment and variation.
struct Table {
    variations: usize,
    counts: Vec<u64>,
}

impl Table {
    fn new(world: &World) -> Self {
        let variations = world.variations.len();
        Self { variations, counts: vec![0; world.segments.len() * variations] }
    }

    fn add(&mut self, segment: usize, variation: usize) {
        self.counts[segment * self.variations + variation] += 1;
    }

    fn segment(&self, segment: usize) -> &[u64] {
        &self.counts[segment * self.variations..][..self.variations]
    }

    /// Σ count × value over all cells.
    fn sum(&self, value: impl Fn(usize, usize) -> f64) -> f64 {
        let cells = self.counts.iter().enumerate();
        cells.map(|(i, count)| *count as f64 * value(i / self.variations, i % self.variations)).sum()
    }
}

impl<'a> Player<'a> {
    fn new(world: &'a World, strategy: &'a Strategy) -> Self {
        let variations = world.variations.len();
        let watch = |_| Watch {
            allocation: None,
            propensities: vec![0.0; variations],
            decisions: 0,
            counts: Counts::new(variations),
        };
        Self {
            world,
            strategy,
            // Nobody to hide anything from. The same for every strategy, so that the same id gives the same draw.
            engine: Engine::new(Secret::new([0; 32]), 0),
            experiments: vec![world.key.clone(); world.segments.len()],
            jobs: Vec::new(),
            reward_id: RewardId::new(GOAL).expect("a goal's key is a reward id"),
            visitor_id: String::new(),
            shown: Table::new(world),
            converted: Table::new(world),
            shown_in_phase: Table::new(world),
            drawn: Table::new(world),
            watches: (0..world.segments.len()).map(watch).collect(),
            reward: 0.0,
            regret_before: 0.0,
            regret: Vec::new(),
            allocations: Vec::new(),
        }
    }

    /// Saves what decides from now on.
    fn begin(&mut self, stage: &Stage<'_>, now: Timestamp) -> Result<(), SaveError> {
        let (kind, parameters) = match (&self.strategy.plan, stage.act) {
            (_, Act::Know) => return Ok(()),
            (Plan::Policy { kind, parameters }, _) => (kind.as_str(), parameters.clone()),
            (_, Act::Learn) => ("uniform", Parameters::new()),
            (_, Act::Exploit(winner)) => return self.exploit(winner, stage.phase, now),
        };
        self.experiments.fill(self.world.key.clone());
        self.save(self.world.key.clone(), stage.phase, kind, parameters, now)
    }

    /// Fixes what was best in the test, for all or in an experiment for each segment.
    fn exploit(&mut self, winner: Winner, phase: &Phase, now: Timestamp) -> Result<(), SaveError> {
        match winner {
            Winner::Global => {
                let best = self.best(phase, 0..self.world.segments.len());
                self.save(self.world.key.clone(), phase, "fixed", self.only(best, phase), now)
            }
            Winner::PerSegment => {
                for segment in 0..self.world.segments.len() {
                    let best = self.best(phase, segment..segment + 1);
                    let key = ExperimentKey::new(&format!("winner-{segment}")).expect("letters, a sign and digits");
                    self.save(key.clone(), phase, "fixed", self.only(best, phase), now)?;
                    self.experiments[segment] = key;
                }
                Ok(())
            }
        }
    }

    /// The variation with the highest posterior mean, Beta(1,1), over some segments.
    fn best(&self, phase: &Phase, segments: Range<usize>) -> usize {
        let sum = |table: &Table, v: usize| segments.clone().map(|s| table.segment(s)[v]).sum::<u64>();
        let mean = |v: usize| (sum(&self.converted, v) + 1) as f64 / (sum(&self.shown, v) + 2) as f64;
        let best = phase.available.iter().copied().reduce(|a, b| if mean(b) > mean(a) { b } else { a });
        best.expect("a phase has a variation")
    }

    fn only(&self, variation: usize, phase: &Phase) -> Parameters {
        let share = |v: &usize| (self.world.variations[*v].key.to_string(), if *v == variation { 1.0 } else { 0.0 });
        Parameters::new().with("shares", Parameter::Shares(phase.available.iter().map(share).collect()))
    }

    fn save(
        &mut self,
        key: ExperimentKey,
        phase: &Phase,
        kind: &str,
        parameters: Parameters,
        now: Timestamp,
    ) -> Result<(), SaveError> {
        let policy = PolicyChoice { floor: self.strategy.floor, ..PolicyChoice::new(kind, parameters) };
        let control = Probability::new(self.strategy.control).expect("checked when the scenario was read");
        let saved = self.engine.save(definition(self.world, phase, key, policy, control), Status::Running, now)?;
        if let Some(saved) = saved {
            self.apply(&Event::ExperimentSaved(Arc::new(saved)), &Judgement::PLAIN);
        }
        Ok(())
    }

    fn apply(&mut self, event: &Event, judgement: &Judgement) {
        self.engine.apply(event, judgement, &mut self.jobs);
        while let Some(job) = self.jobs.pop() {
            self.engine.apply(&job.compute(), &Judgement::PLAIN, &mut self.jobs);
        }
    }

    /// One visitor: decided for, counted, and rewarded if there is a conversion.
    fn round(&mut self, index: u64, visitor: Visitor, context: &Context<'_>, now: Timestamp, phase: &Phase) {
        let rates = &self.world.segments[visitor.segment].rates;
        if matches!(self.strategy.plan, Plan::Oracle) {
            let best = phase.available.iter().copied().reduce(|a, b| if rates[b] > rates[a] { b } else { a });
            self.shown_in_phase.add(visitor.segment, best.expect("a phase has a variation"));
            return;
        }
        if self.strategy.control > 0.0 {
            // Only the control group's hash reads it.
            self.visitor_id = index.to_string();
        }
        let request = Request {
            visitor: &self.visitor_id,
            visitor_given: true,
            context,
            exclude: &[],
            defer: false,
            receipt: None,
            id: RequestId::Minted(visitor.tail),
            now,
        };
        let experiment = self.experiments[visitor.segment].as_str();
        let decision = self.engine.decide(experiment, &request, Explain::No).expect("the experiment was saved");
        let record = decision.record.as_ref().expect("an experiment that runs records its decisions");
        let variation = phase.available[decision.variation];
        self.shown.add(visitor.segment, variation);
        self.shown_in_phase.add(visitor.segment, variation);
        if !record.control {
            let watch = &mut self.watches[visitor.segment];
            let allocation = Some((record.allocation, record.definition));
            if watch.allocation != allocation {
                watch.flush();
                watch.allocation = allocation;
                watch.read(&self.engine, experiment, &request, phase);
            }
            let expected = watch.propensities[variation];
            assert!(expected.to_bits() == record.propensity.to_bits(), "drawn from {expected}, recorded {record:?}");
            watch.decisions += 1;
            self.drawn.add(visitor.segment, variation);
        }
        let reward = (visitor.uniform < rates[variation]).then(|| {
            let settings = &decision.active.settings;
            Event::Rewarded(Rewarded {
                record: record.clone(),
                deferred: false,
                goal: settings.primary(),
                value: 1,
                reward_id: self.reward_id.clone(),
                arrived_at: now,
                occurred_at: None,
                window: settings.longest_window(),
                cap: None,
            })
        });
        let event = decision.into_event().expect("a decision that is not deferred is an exposure");
        self.apply(&event, &Judgement::PLAIN);
        if let Some(reward) = reward {
            self.converted.add(visitor.segment, variation);
            let judgement = judge(&reward, Position { block: index + 1, index: 0 }, &[]);
            self.apply(&reward, &judgement);
        }
    }

    fn regret_in_phase(&self, phase: &Phase) -> f64 {
        self.shown_in_phase.sum(|s, v| phase.best[s] - self.world.segments[s].rates[v])
    }

    fn record(&mut self, phase: &Phase) {
        self.regret.push(self.regret_before + self.regret_in_phase(phase));
        self.allocations.push(self.watches.iter().map(|watch| watch.propensities.clone()).collect());
    }

    fn end(&mut self, phase: &Phase) {
        self.regret_before += self.regret_in_phase(phase);
        self.reward += self.shown_in_phase.sum(|s, v| self.world.segments[s].rates[v]);
        self.shown_in_phase.counts.fill(0);
    }

    fn outcome(mut self) -> Outcome {
        let mut sample_ratio = SampleRatio::default();
        for (segment, watch) in self.watches.iter_mut().enumerate() {
            watch.flush();
            sample_ratio = sample_ratio.worst(watch.counts.check(self.drawn.segment(segment)));
        }
        Outcome { reward: self.reward, regret: self.regret, allocations: self.allocations, sample_ratio }
    }
}

impl Watch {
    /// Counts what was drawn from the propensities so far.
    fn flush(&mut self) {
        for (variation, propensity) in self.propensities.iter().enumerate() {
            self.counts.add(variation, *propensity, self.decisions);
        }
        self.decisions = 0;
    }

    /// Asks the engine what it draws from; asking changes nothing.
    fn read(&mut self, engine: &Engine, experiment: &str, request: &Request<'_>, phase: &Phase) {
        let explained = engine.decide(experiment, request, Explain::Yes).expect("it has just decided");
        let basis = explained.basis.as_ref().expect("an explanation was asked for");
        self.propensities.fill(0.0);
        for (index, propensity) in explained.settings().variations_by_key().iter().zip(&basis.propensities) {
            self.propensities[phase.available[*index]] = *propensity;
        }
    }
}

#[cfg(test)]
mod tests;
