//! Computes allocations off the request path and hands them to the committer, which journals and applies them.

use crossbeam_channel::Receiver;

use crate::engine::refresh::RefreshJob;
use crate::service::committer::Queue;

pub(crate) struct Refresher {
    jobs: Receiver<RefreshJob>,
    queue: Queue,
}

impl Refresher {
    pub(crate) fn new(jobs: Receiver<RefreshJob>, queue: Queue) -> Self {
        Self { jobs, queue }
    }

    /// Runs until the committer is gone: it owns the other ends of both channels.
    pub(crate) fn run(self) {
        for job in &self.jobs {
            if !self.queue.push(job.compute()) {
                return;
            }
        }
    }
}
