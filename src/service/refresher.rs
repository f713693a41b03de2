//! Computes allocations off the request path and hands them to the committer, which journals and applies them.

use std::sync::Arc;

use crossbeam_channel::Receiver;

use crate::service::committer::{Due, Queue};
use crate::service::counts::{Counts, moment};
use crate::service::spans::Fact;

pub(crate) struct Refresher {
    jobs: Receiver<Due>,
    queue: Queue,
    counts: Arc<Counts>,
}

impl Refresher {
    pub(crate) fn new(jobs: Receiver<Due>, queue: Queue, counts: Arc<Counts>) -> Self {
        Self { jobs, queue, counts }
    }

    /// Runs until the committer is gone: it owns the other ends of both channels.
    pub(crate) fn run(self) {
        for Due { job, since } in &self.jobs {
            let began = moment();
            let computed = job.compute();
            self.counts.refreshes.ended(since);
            self.counts.worked("refresh", began, false, &[("mabel.experiment", Fact::Text(job.key().0.as_str()))]);
            if !self.queue.push(computed) {
                return;
            }
        }
    }
}
