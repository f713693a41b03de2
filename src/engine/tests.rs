//! The engine as its drivers use it: decide, apply, refresh, restore.

mod definitions;
mod driver;
mod folding;
mod propensities;
mod rewards;
mod values;
