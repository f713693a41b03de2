//! Definitions of policies that learn from features: what they see of a visitor, and what does not go with them.

use crate::domain::{Aggregation, GoalKind, SegmentKey};
use crate::engine::definition::{Definition, Delay, HalfLife, Objective, OnFinish, Role, Segments, Unit};
use crate::engine::error::FieldError;
use crate::engine::receipt::features_max;
use crate::engine::secret::KeyedHash;
use crate::policy::contextual::Shape;
use crate::policy::{ContextualModel, ContextualPolicy};
use crate::targeting::features::Schema;

/// A policy that computes shares for each visitor, and what it sees of one.
#[derive(Debug)]
pub(crate) struct Contextual {
    policy: Box<dyn ContextualPolicy>,
    pub(crate) schema: Schema,
    shape: Shape,
    /// Seeds the draws from which a visitor's shares are counted.
    pub(crate) scores: KeyedHash,
    /// Indices of the arms in the model, in order of keys.
    pub(crate) arms: Box<[usize]>,
}

impl Contextual {
    pub(crate) fn new(
        policy: Box<dyn ContextualPolicy>,
        schema: Option<Schema>,
        arms: Box<[usize]>,
        scores: KeyedHash,
    ) -> Result<Self, FieldError> {
        let Some(schema) = schema else {
            let allowed = "at least one attribute, for a policy that learns from them";
            return Err(FieldError::new("attributes", "nothing", allowed));
        };
        let shape = Shape { dimensions: schema.dimensions(), patterns: schema.patterns() };
        policy.model(&shape)?;
        let numbers = shape.dimensions * shape.dimensions * arms.len();
        if numbers > MAX_BELIEF_NUMBERS {
            let given = format!("{} features for {} variations", shape.dimensions, arms.len());
            let allowed = format!("at most {MAX_BELIEF_NUMBERS} for features × features × variations");
            return Err(FieldError::new("attributes", given, allowed));
        }
        Ok(Self { policy, schema, shape, scores, arms })
    }

    /// A model that has learned nothing.
    pub(crate) fn model(&self) -> Box<dyn ContextualModel> {
        self.policy.model(&self.shape).expect("a model of this shape was made when the definition was checked")
    }
}

/// Most numbers that the beliefs about all variations' weights may take: 32 MB.
const MAX_BELIEF_NUMBERS: usize = 4 << 20;

/// What does not go with a policy that learns from features: its model holds weights and no counts by time.
pub(crate) fn check_contextual(definition: &Definition) -> Result<(), FieldError> {
    let refuse = |field: String, given: &str, allowed: &str| Err(FieldError::new(field, given, allowed));
    let index = definition.goals.iter().position(|goal| goal.role == Role::Primary).unwrap_or(0);
    if definition.unit == Unit::Visitor {
        let allowed =
            "\"decision\" where the policy learns from features: what it has learned of a visitor it cannot take back";
        return refuse("unit".into(), "\"visitor\"", allowed);
    }
    if definition.goals[index].delay != Delay::None {
        return refuse(format!("goals[{index}].delay"), "a delay", "\"none\" where the policy learns from features");
    }
    if definition.goals[index].kind != GoalKind::Conversion && definition.policy.kind.starts_with("logistic") {
        return refuse(format!("goals[{index}].kind"), "rewards with values", "\"conversion\" under a logistic policy");
    }
    if definition.goals[index].aggregation != Aggregation::First {
        let allowed = "\"first\" for the primary goal where the policy learns from features: what it has learned it cannot take back";
        return refuse(format!("goals[{index}].rewards"), "another value", allowed);
    }
    if definition.policy.half_life != HalfLife::Off {
        return refuse("policy.half_life".into(), "a half-life", "\"off\" where the policy learns from features");
    }
    if definition.policy.objective != Objective::Goal {
        return refuse("policy.objective".into(), "\"margin\"", "\"goal\" where the policy learns from features");
    }
    if definition.on_finish != OnFinish::Keep {
        let allowed = "\"keep\" where the policy learns from features: what it believes is about single visitors";
        return refuse("stopping.on_finish".into(), "\"end\"", allowed);
    }
    Ok(())
}

/// Whether every decision's features fit into its receipt, whatever its segment.
pub(crate) fn check_receipts(definition: &Definition, schema: &Schema) -> Result<(), FieldError> {
    let segment = match &definition.segments {
        Segments::All => SegmentKey::ALL.len(),
        Segments::By(_) => SegmentKey::MAX_BYTES,
        Segments::Rules(rules) => {
            rules.iter().map(|rule| rule.name.as_str().len()).fold(SegmentKey::OTHER.len(), usize::max)
        }
    };
    let most = features_max(definition.key.as_str().len(), segment);
    if schema.entries_max() <= most {
        return Ok(());
    }
    let given = format!("{} features that can be there at once", schema.entries_max());
    let allowed = format!("at most {most} beside keys of segments of up to {segment} bytes: a receipt holds both");
    Err(FieldError::new("attributes", given, allowed))
}

/// What a contextual policy sees; checked under every policy, so that one can be replaced by another.
pub(crate) fn compile_schema(definition: &Definition) -> Result<Option<Schema>, FieldError> {
    if definition.attributes.is_empty() && definition.interactions.is_empty() {
        return Ok(None);
    }
    let schema = Schema::new(definition.attributes.clone(), &definition.interactions);
    schema.map(Some).map_err(|error| FieldError::new(error.field, error.given, error.allowed))
}
