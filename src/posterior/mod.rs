//! Layer 1: tallies to beliefs. What an arm's counts say about its reward, as a distribution.
//!
//! Invariant: no context, no choice of an arm, no clock, no random number that was not asked for with a generator passed in;
//! only integers are merged, and what is derived from them never is.

pub mod arm;
pub mod beta;
pub mod bucket;
pub mod delay;
pub mod forgetting;
pub mod gamma;
pub mod gamma_poisson;
pub mod hurdle;
pub mod learner;
pub mod linear;
pub mod logistic;
pub mod normal;
pub mod pooling;
pub mod sampler;
mod special;
pub mod symmetric;
pub mod tally;
pub mod weighing;

pub use arm::Arm;
pub use beta::{Beta, InvalidBeta};
pub use gamma::Gamma;
pub use learner::Learner;
pub use linear::Linear;
pub use logistic::{Cells, Filter};
pub use normal::{NormalInverseGamma, StudentSampler, StudentT};
pub use sampler::{BetaSampler, GammaSampler};
pub use symmetric::{Entries, Gaussian, Probe, Symmetric};
