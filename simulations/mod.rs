//! Simulated worlds and recorded logs, played through the same engine as the server.
//!
//! Invariant: uses the library's public interface only; a run is a function of its scenario and seed, whatever the number
//! of threads.

pub(crate) mod classification;
#[cfg(feature = "plots")]
pub(crate) mod drawing;
pub(crate) mod headlines;
pub(crate) mod player;
pub(crate) mod result;
pub(crate) mod runner;
pub(crate) mod sample_ratio;
pub(crate) mod scenario;
pub(crate) mod statistics;
pub(crate) mod stopping;
pub(crate) mod strategies;
pub(crate) mod table;
pub(crate) mod world;

#[cfg(test)]
mod acceptance;
