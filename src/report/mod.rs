//! Layer 3: inference for people. Counts to rates, intervals and comparisons, in the words of a report.
//!
//! Invariant: pure functions; nothing here decides, stores or forgets. Probabilities of a model are called that and never
//! "confidence", and no lift is read off arms whose traffic a policy has chosen.

pub mod borrowing;
pub mod delays;
pub mod intervals;
pub mod lift;
pub mod standardised;
pub mod stopping;
pub mod summary;
pub mod value;

pub use intervals::{Interval, posterior_interval};
pub use lift::{Counts, Lift, lift};
pub use stopping::{Progress, Reason, StoppingRule, Verdict, stopping};
pub use summary::{ArmSummary, summarise};
