//! Ends experiments that have said what they can, where their definition asks for it (`on_finish = "end"`).

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use crate::domain::{Span, Timestamp};
use crate::engine::Engine;
use crate::engine::definition::{OnFinish, Status};
use crate::engine::event::Event;
use crate::engine::experiment::{Active, Experiment};
use crate::service::clock::Clock;
use crate::service::committer::Queue;
use crate::service::report::{Stopped, stopped};

/// Time between two looks, by the clock: a verdict changes with thousands of visitors.
const LOOK_EVERY: Span = Span::SECOND.times(60);

/// How often the clock is asked.
const TICK: Duration = Duration::from_millis(250);

pub(crate) struct Watcher {
    pub(crate) engine: Arc<Engine>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) queue: Queue,
    /// Shared with every other change of experiments.
    pub(crate) changing: Arc<tokio::sync::Mutex<()>>,
    /// Closed when the service stops.
    pub(crate) stop: Receiver<()>,
}

impl Watcher {
    /// Runs until it is told to stop.
    pub(crate) fn run(self) {
        let mut looked = self.clock.now();
        while matches!(self.stop.recv_timeout(TICK), Err(RecvTimeoutError::Timeout)) {
            let now = self.clock.now();
            // A clock that was set back must not stop the looks for as long.
            if now.since(looked) >= LOOK_EVERY || now < looked {
                looked = now;
                self.look(now);
            }
        }
    }

    fn look(&self, now: Timestamp) {
        for experiment in self.engine.experiments() {
            let active = experiment.active_full();
            if !watched(&experiment, &active) {
                continue;
            }
            if let Some(stopped) = stopped(&active, now).filter(|stopped| stopped.verdict.finished()) {
                self.end(&experiment, &active, &stopped, now);
            }
        }
    }

    /// Ends it as a person would, unless it was changed since the look.
    fn end(&self, experiment: &Experiment, seen: &Active, stopped: &Stopped, at: Timestamp) {
        let _one_at_a_time = self.changing.blocking_lock();
        let active = experiment.active_full();
        if !watched(experiment, &active) || active.settings.version != seen.settings.version {
            return;
        }
        let key = experiment.key();
        let event = Event::StatusChanged { experiment: key.clone(), status: Status::Ended, at };
        match self.queue.submit(event).and_then(crate::service::committer::Pending::wait) {
            Ok(_) => tracing::info!(experiment = %key, sentence = stopped.sentence, "ended, as on_finish says"),
            Err(error) => tracing::warn!(experiment = %key, %error, "is finished and could not be ended yet"),
        }
    }
}

fn watched(experiment: &Experiment, active: &Active) -> bool {
    experiment.status() == Status::Running && active.settings.definition.on_finish == OnFinish::End
}
