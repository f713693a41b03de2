//! The engine as its drivers use it: decide, apply, refresh, restore.

pub(crate) mod corrections;
mod definitions;
pub(crate) mod driver;
mod folding;
mod propensities;
mod rewards;
mod values;
