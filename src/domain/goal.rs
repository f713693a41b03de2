//! What a goal measures.

/// The kind of a goal's rewards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GoalKind {
    /// Whether it happened: a reward is 1.
    #[default]
    Conversion,
    /// Money, in integer minor units of one currency; mostly zero.
    Revenue,
    /// How often it happened.
    Count,
}
