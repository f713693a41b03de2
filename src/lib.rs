//! Mabel: a personalization service that learns. Sites ask which variation to show a visitor; each segment's traffic
//! moves to what works there, by Thompson sampling with exactly known probabilities.
//!
//! Modules are layers; imports point down only, which `tests/architecture.rs` checks. `docs/ARCHITECTURE.md` is the map.

pub mod access;
pub mod domain;
pub mod engine;
pub mod http;
pub mod policy;
pub mod posterior;
pub mod report;
pub mod service;
pub mod store;
pub mod targeting;
