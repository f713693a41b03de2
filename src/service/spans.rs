//! What took time, for whoever collects that elsewhere.
//!
//! Invariant: without a tracer no span is made. None has a visitor, a context, a payload, a receipt or a key: spans leave the server.

use std::fmt;
use std::time::Duration;

/// Whoever is told. An implementation of the binary sends them on.
pub trait Tracer: fmt::Debug + Send + Sync {
    /// Takes what has just ended, and keeps nobody waiting: it drops what it has no room for.
    fn ended(&self, span: &Span<'_>);
}

/// Something that took time.
#[derive(Debug, Clone, Copy)]
pub struct Span<'a> {
    /// Words of the program's own.
    pub name: &'a str,
    /// What it is part of, outside of this server.
    pub parent: Option<Parent>,
    /// Whether it was asked for from outside.
    pub served: bool,
    /// How long it took, up to now.
    pub took: Duration,
    /// Whether it failed by the server's own fault.
    pub failed: bool,
    /// What is known of it.
    pub facts: &'a [(&'static str, Fact<'a>)],
}

/// Something known of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fact<'a> {
    /// A word.
    Text(&'a str),
    /// A number.
    Number(u64),
}

/// A span of somebody else's, in whose trace others stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parent {
    /// The trace.
    pub trace: u128,
    /// The span in it.
    pub span: u64,
    /// Whether the trace is kept at all.
    pub sampled: bool,
}
