//! Simulated worlds and recorded logs, played through the same engine as the server.
//!
//! Invariant: uses the library's public interface only; a run is a function of its scenario and seed.
