//! Layer 4: all state in memory. Invariant: no I/O, no async, no clock, no ambient randomness, nothing serialisable.

pub mod checkpoint;
pub mod definition;
pub mod event;
pub mod ledger;
