//! A definition made ready to decide with: conditions compiled, policy built, slots looked up.

use std::collections::HashSet;
use std::sync::Arc;

use crate::domain::context::mark;
use crate::domain::{AllocationId, GoalKey, GoalKind, Seed, Slot, Span, VariationKey};
use crate::engine::allocation::Allocation;
use crate::engine::checkpoint::AllocationState;
use crate::engine::contextual::{Contextual, check_contextual, check_receipts, compile_schema};
use crate::engine::definition::{Definition, Goal, Role, Segments};
use crate::engine::due::Growth;
use crate::engine::error::FieldError;
use crate::engine::event::Shares;
use crate::engine::evidence::Inputs;
use crate::engine::secret::{KeyedHash, Secret};
use crate::policy::{Built, Evidence, Parameters, Policy, Pooling, build_any};
use crate::posterior::bucket::BucketLengths;
use crate::posterior::pooling::Fit;
use crate::targeting::{Condition, Segmentation};

/// How long after its window a reward is still taken, as late.
pub const LATE_SPAN: Span = Span::DAY.times(90);

/// Replaced as a whole with every save, never changed.
#[derive(Debug)]
pub struct Settings {
    /// The definition.
    pub definition: Arc<Definition>,
    /// Its version.
    pub version: u32,
    /// The epoch its decisions belong to.
    pub epoch: u32,
    pub(crate) audience: Option<Condition>,
    pub(crate) segmentation: Segmentation,
    policy: Box<dyn Policy>,
    contextual: Option<Contextual>,
    pools: bool,
    borrows: bool,
    /// Slots of the definition's variations, in its order.
    slots: Box<[Slot]>,
    /// Indices into the definition's variations, in order of their keys.
    by_key: Box<[usize]>,
    slots_by_key: Box<[Slot]>,
    goal_slots: Box<[Slot]>,
    /// Least probability of each eligible variation, in order of keys.
    floors: Box<[f64]>,
    primary: Slot,
    /// Its place in the definition.
    primary_index: usize,
    primary_kind: GoalKind,
    longest_window: Span,
    shortest_window: Span,
    /// Looked at for every attribute of every decision.
    attribute_names: HashSet<Box<str>, foldhash::fast::RandomState>,
    /// A name whose mark is missing is none of them.
    attribute_marks: u64,
    pub(crate) draw: KeyedHash,
    /// Draws for visitors that stay with what is drawn: no epoch in its key.
    pub(crate) sticky: KeyedHash,
    pub(crate) groups: KeyedHash,
    pub(crate) traffic: KeyedHash,
}

/// Slots of everything an experiment ever had, in order of appearance.
#[derive(Debug, Clone, Default)]
pub(crate) struct Slots {
    pub(crate) variations: Vec<VariationKey>,
    pub(crate) goals: Vec<GoalKey>,
}

impl Slots {
    /// Gives slots to what has none yet.
    pub(crate) fn extend(&mut self, definition: &Definition) {
        for variation in &definition.variations {
            if !self.variations.contains(&variation.key) {
                self.variations.push(variation.key.clone());
            }
        }
        for goal in &definition.goals {
            if !self.goals.contains(&goal.key) {
                self.goals.push(goal.key.clone());
            }
        }
    }

    pub(crate) fn variation(&self, key: &VariationKey) -> Option<Slot> {
        slot_of(&self.variations, key)
    }

    pub(crate) fn goal(&self, key: &GoalKey) -> Option<Slot> {
        slot_of(&self.goals, key)
    }
}

fn slot_of<K: PartialEq>(keys: &[K], key: &K) -> Option<Slot> {
    keys.iter().position(|known| known == key).and_then(|index| u16::try_from(index).ok()).map(Slot)
}

impl Settings {
    /// Compiles a definition that [`crate::engine::check::check`] has let through.
    pub(crate) fn compile(
        definition: Arc<Definition>,
        version: u32,
        epoch: u32,
        slots: &Slots,
        secret: &Secret,
    ) -> Result<Self, FieldError> {
        let audience = definition.audience.as_deref().map(Condition::compile).transpose();
        let audience = audience.map_err(|error| FieldError::new("audience", error.source_text, error.reason))?;
        let segmentation = compile_segments(&definition.segments)?;
        let mut by_key: Vec<usize> = (0..definition.variations.len()).collect();
        by_key.sort_unstable_by(|a, b| definition.variations[*a].key.cmp(&definition.variations[*b].key));
        let keys: Vec<VariationKey> = by_key.iter().map(|index| definition.variations[*index].key.clone()).collect();
        let choice = &definition.policy;
        let schema = compile_schema(&definition)?;
        let variation_slots: Box<[Slot]> = definition
            .variations
            .iter()
            .map(|v| slots.variation(&v.key).expect("every variation has a slot"))
            .collect();
        let slots_by_key: Box<[Slot]> = by_key.iter().map(|index| variation_slots[*index]).collect();
        let (policy, contextual) = match build_any(&choice.kind, &choice.parameters, &keys)? {
            Built::Segments(policy) => (policy, None),
            Built::Contextual(policy) => {
                check_contextual(&definition)?;
                schema.as_ref().map_or(Ok(()), |schema| check_receipts(&definition, schema))?;
                let arms = slots_by_key.iter().map(|slot| slot.index()).collect();
                let scores = secret.keyed_hash("scores", &definition.key, epoch);
                // Where no segment decides, nothing is ever asked of what stands in for its policy.
                let standing_in = crate::policy::build("uniform", &Parameters::new(), &keys)?;
                (standing_in, Some(Contextual::new(policy, schema, arms, scores)?))
            }
        };
        let goal_slots: Box<[Slot]> =
            definition.goals.iter().map(|g| slots.goal(&g.key).expect("every goal has a slot")).collect();
        let primary =
            definition.goals.iter().position(|g| g.role == Role::Primary).expect("a definition has a primary goal");
        let windows = || definition.goals.iter().map(|goal| goal.window);
        let attribute_names = audience.iter().flat_map(Condition::names).chain(segmentation.names());
        let seen = contextual.iter().flat_map(|contextual| contextual.schema.names());
        let attribute_names: HashSet<Box<str>, _> = attribute_names.chain(seen).map(Box::from).collect();
        let key = &definition.key;
        Ok(Self {
            version,
            epoch,
            pools: policy.learns() && policy.pooling() == Pooling::Complete,
            borrows: policy.learns() && policy.pooling() == Pooling::Partial,
            policy,
            contextual,
            slots_by_key,
            slots: variation_slots,
            floors: by_key.iter().map(|index| floor(&definition, *index)).collect(),
            primary: goal_slots[primary],
            primary_index: primary,
            primary_kind: definition.goals[primary].kind,
            by_key: by_key.into(),
            goal_slots,
            longest_window: windows().max().expect("a definition has a goal"),
            shortest_window: windows().min().expect("a definition has a goal"),
            attribute_marks: attribute_names.iter().fold(0, |marks, name| marks | mark(name)),
            attribute_names,
            sticky: secret.keyed_hash("visitor draw", key, 0),
            // The control group and the share that takes part are for the experiment's life: no epoch in their keys.
            draw: secret.keyed_hash("draw", key, epoch),
            groups: secret.keyed_hash("control group", key, 0),
            traffic: secret.keyed_hash("traffic", key, 0),
            audience,
            segmentation,
            definition,
        })
    }

    /// Whether an attribute can have an effect.
    #[must_use]
    pub fn uses(&self, attribute: &str) -> bool {
        self.attribute_marks & mark(attribute) != 0 && self.attribute_names.contains(attribute)
    }

    /// The policy.
    #[must_use]
    pub fn policy(&self) -> &dyn Policy {
        &*self.policy
    }

    /// Whether one allocation serves all segments.
    pub(crate) fn pools(&self) -> bool {
        self.pools
    }

    /// Whether segments borrow from each other.
    pub(crate) fn borrows(&self) -> bool {
        self.borrows
    }

    /// Whether the policy learns from features of each visitor.
    #[must_use]
    pub const fn is_contextual(&self) -> bool {
        self.contextual.is_some()
    }

    /// The contextual policy, if it is one.
    pub(crate) fn contextual(&self) -> Option<&Contextual> {
        self.contextual.as_ref()
    }

    /// Slots in order of keys.
    pub(crate) fn slots_by_key(&self) -> &[Slot] {
        &self.slots_by_key
    }

    /// Index into the definition's variations of the `position`-th key.
    pub(crate) fn variation_at(&self, position: usize) -> usize {
        self.by_key[position]
    }

    /// Indices into the definition's variations, in order of their keys.
    #[must_use]
    pub fn variations_by_key(&self) -> &[usize] {
        &self.by_key
    }

    /// Slot of the definition's `index`-th variation.
    #[must_use]
    pub fn slot(&self, index: usize) -> Slot {
        self.slots[index]
    }

    /// Index of the variation with a slot; `None` if it was removed.
    #[must_use]
    pub fn variation_of(&self, slot: Slot) -> Option<usize> {
        self.slots.iter().position(|known| *known == slot)
    }

    /// Slot of the definition's `index`-th goal.
    #[must_use]
    pub fn goal_slot(&self, index: usize) -> Slot {
        self.goal_slots[index]
    }

    /// The goal the policy maximises.
    #[must_use]
    pub fn primary(&self) -> Slot {
        self.primary
    }

    /// The same as it is defined.
    #[must_use]
    pub fn primary_goal(&self) -> &Goal {
        &self.definition.goals[self.primary_index]
    }

    /// What its rewards are.
    pub(crate) fn primary_kind(&self) -> GoalKind {
        self.primary_kind
    }

    /// Least probability of each eligible variation, in order of keys.
    pub(crate) fn floors(&self) -> &[f64] {
        &self.floors
    }

    /// After this no reward of a decision is learned.
    #[must_use]
    pub fn longest_window(&self) -> Span {
        self.longest_window
    }

    /// Within this a decision can be activated.
    #[must_use]
    pub fn shortest_window(&self) -> Span {
        self.shortest_window
    }

    /// How an epoch that begins with this definition cuts its buckets.
    pub(crate) fn lengths(&self) -> BucketLengths {
        BucketLengths { fine: self.definition.bucket, settled: self.longest_window }
    }

    /// Asks the policy. A pure function of the definition, the segment's name and the inputs, whose hash is the id.
    pub(crate) fn compute(&self, segment: Option<&str>, inputs: &Inputs) -> Shares {
        let mut hasher = self.hasher(segment.unwrap_or_default(), u8::from(segment.is_some()));
        inputs.hash(&mut hasher);
        self.allocate(&hasher, |seed| inputs.evidence(seed))
    }

    /// What segments without any evidence are allocated by, before the first fit of all segments.
    pub(crate) fn initial(&self) -> Shares {
        self.compute(None, &Inputs::none(self))
    }

    /// What segments without evidence are allocated by, given what all segments say together.
    pub(crate) fn unseen(&self, fit: &Fit) -> Shares {
        let mut hasher = self.hasher("", 2);
        for node in fit.nodes() {
            let numbers = [&node.tau, &node.weight].into_iter().chain(&node.gamma).chain(&node.factor);
            for number in numbers {
                hasher.update(&number.to_bits().to_le_bytes());
            }
        }
        let inputs = Inputs::none(self);
        self.allocate(&hasher, |seed| Evidence { fit: Some(fit), ..inputs.evidence(seed) })
    }

    /// Begun with everything but the evidence.
    fn hasher(&self, segment: &str, what: u8) -> blake3::Hasher {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.definition.key.as_str().as_bytes());
        hasher.update(&[0]);
        hasher.update(segment.as_bytes());
        hasher.update(&[0, what]);
        hasher.update(&self.epoch.to_le_bytes());
        hasher.update(&self.version.to_le_bytes());
        hasher
    }

    /// Half of the hash is the allocation's id, the other half seeds the policy's draws.
    fn allocate<'a>(&self, hasher: &blake3::Hasher, evidence: impl FnOnce(Seed) -> Evidence<'a>) -> Shares {
        let mut bytes = [0; 16];
        hasher.finalize_xof().fill(&mut bytes);
        let [id, seed] =
            [&bytes[..8], &bytes[8..]].map(|half| u64::from_le_bytes(half.try_into().expect("half of sixteen bytes")));
        let shares = self.policy.allocate(&evidence(Seed(seed)));
        Shares { id: AllocationId(id), variations: self.slots_by_key.clone(), shares: shares.into() }
    }

    /// Shares as an allocation in force.
    pub(crate) fn allocation(&self, state: AllocationState) -> Arc<Allocation> {
        // Draws cost more than a quadrature, and 5 % decides as well as 1 % (STATISTICS §18).
        let parts = if self.borrows { 20 } else { 100 };
        Allocation::new(state, Growth::of(self, parts), &self.floors)
    }

    /// An allocation that rests on nothing of its segment.
    pub(crate) fn without_evidence(&self, shares: Shares) -> Arc<Allocation> {
        let (definition, evidence, amendments) = (self.version, 0, 0);
        self.allocation(AllocationState { definition, evidence, effective: None, fit: None, amendments, shares })
    }
}

/// The least probability of a variation: none for one that costs under a hard budget, which exploring must not spend.
fn floor(definition: &Definition, variation: usize) -> f64 {
    let variation = &definition.variations[variation];
    let hard = definition.budget.is_some_and(|budget| budget.hard);
    if hard && variation.costs() { 0.0 } else { definition.policy.floor }
}

fn compile_segments(segments: &Segments) -> Result<Segmentation, FieldError> {
    match segments {
        Segments::All => Ok(Segmentation::All),
        Segments::By(by) => Segmentation::cross_product(by.clone()).map_err(|error| {
            let names: Vec<&str> = by.iter().map(crate::domain::AttributeName::as_str).collect();
            FieldError::new("segments.by", format!("[{}]", names.join(", ")), error.to_string())
        }),
        Segments::Rules(rules) => {
            let mut compiled = Vec::with_capacity(rules.len());
            for (index, rule) in rules.iter().enumerate() {
                let condition = Condition::compile(&rule.when).map_err(|error| {
                    FieldError::new(format!("segments.rules[{index}].when"), error.source_text, error.reason)
                })?;
                compiled.push((rule.name.clone(), condition));
            }
            let given = format!("{} rules", rules.len());
            Segmentation::rules(compiled).map_err(|error| FieldError::new("segments.rules", given, error.to_string()))
        }
    }
}
