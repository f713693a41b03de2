//! What happened since the start, counted for whoever watches the server: no lock on the way of a decision, and so much memory
//! however much happens.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::service::decide::Why;
use crate::service::sample_ratio::SampleRatios;
use crate::service::spans::{Fact, Span, Tracer};

/// Upper bounds of how long something took.
const BOUNDS: [Duration; 16] = [
    Duration::from_micros(10),
    Duration::from_micros(25),
    Duration::from_micros(50),
    Duration::from_micros(100),
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(5),
];

/// What a service counts beside what its experiments do.
#[derive(Debug, Default)]
pub struct Counts {
    decisions: [AtomicU64; Why::ALL.len()],
    /// From taking a batch of events to its being on disk, applied and answered.
    pub commits: Durations,
    /// Events of these commits.
    pub events: AtomicU64,
    /// From an allocation being due to its being computed.
    pub refreshes: Durations,
    /// Whether variations are shown as often as their propensities say.
    pub sample_ratios: SampleRatios,
    /// Who is told of single commits and refreshes.
    pub(crate) tracer: OnceLock<Arc<dyn Tracer>>,
}

impl Counts {
    pub(crate) fn decided(&self, why: Why) {
        self.decisions[place(why)].fetch_add(1, Ordering::Relaxed);
    }

    /// For answers to one request, which are counted once it is over.
    pub(crate) fn deciding(&self) -> Deciding<'_> {
        Deciding { counts: self, decisions: [0; Why::ALL.len()] }
    }

    /// Tells of the service's own work that began at an instant and is over now, where somebody wants to know.
    pub(crate) fn worked(&self, name: &'static str, began: Instant, failed: bool, facts: &[(&'static str, Fact<'_>)]) {
        if let Some(tracer) = self.tracer.get() {
            tracer.ended(&Span { name, parent: None, served: false, took: began.elapsed(), failed, facts });
        }
    }

    /// Answers by reason, explanations aside.
    pub fn decisions(&self) -> impl Iterator<Item = (Why, u64)> + '_ {
        Why::ALL.into_iter().zip(self.decisions.iter().map(|count| count.load(Ordering::Relaxed)))
    }
}

/// See [`Counts::deciding`].
pub(crate) struct Deciding<'c> {
    counts: &'c Counts,
    decisions: [u64; Why::ALL.len()],
}

impl Deciding<'_> {
    pub(crate) fn decided(&mut self, why: Why) {
        self.decisions[place(why)] += 1;
    }
}

impl Drop for Deciding<'_> {
    fn drop(&mut self) {
        for (all, count) in self.counts.decisions.iter().zip(self.decisions).filter(|(_, count)| *count > 0) {
            all.fetch_add(count, Ordering::Relaxed);
        }
    }
}

/// Where a reason stands among all.
fn place(why: Why) -> usize {
    Why::ALL.iter().position(|known| *known == why).expect("every reason is listed")
}

/// How long something took, each time that it happened.
#[derive(Debug, Default)]
pub struct Durations {
    /// The last is for what took longer than every bound.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    nanoseconds: AtomicU64,
}

impl Durations {
    /// Counts what began at an instant and is over now; when that is.
    pub fn ended(&self, began: Instant) -> Instant {
        let now = moment();
        self.add(now.saturating_duration_since(began));
        now
    }

    fn add(&self, took: Duration) {
        let place = BOUNDS.iter().position(|bound| took <= *bound).unwrap_or(BOUNDS.len());
        self.buckets[place].fetch_add(1, Ordering::Relaxed);
        self.nanoseconds.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// By upper bound in seconds, infinite at last: how often it took so long, and longer than the bound before.
    #[must_use]
    pub fn buckets(&self) -> Vec<(f64, u64)> {
        let bounds = BOUNDS.iter().map(Duration::as_secs_f64).chain(std::iter::once(f64::INFINITY));
        bounds.zip(self.buckets.iter().map(|count| count.load(Ordering::Relaxed))).collect()
    }

    /// All of them together, in seconds.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed)).as_secs_f64()
    }
}

/// A moment to measure from. No event's time comes from it.
#[expect(clippy::disallowed_methods, reason = "measures how long things take; no event's time comes from it")]
#[must_use]
pub fn moment() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_duration_is_in_the_first_bucket_that_holds_it() {
        let durations = Durations::default();
        for micros in [1, 10, 11, 999, 5_000_000, 6_000_000] {
            durations.add(Duration::from_micros(micros));
        }
        let counted: Vec<(f64, u64)> = durations.buckets().into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counted, [(10e-6, 2), (25e-6, 1), (1e-3, 1), (5.0, 1), (f64::INFINITY, 1)]);
        assert!((durations.seconds() - 11.001_021).abs() < 1e-9);
    }
}
