//! Connections between requests: they wait for what comes first, and keep no memory for what has not come.

use std::cell::RefCell;
use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;
use tokio::task::unconstrained;
use tokio::time::{Sleep, sleep_until};

use crate::service::counts::moment;

/// Tells every connection that the server stops. The server's own signal can only be waited for; whoever is busy has to ask.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    told: AtomicBool,
    waiting: Arc<Notify>,
}

impl Stop {
    pub(crate) fn tell(&self) {
        self.told.store(true, Ordering::Release);
        self.waiting.notify_waiters();
    }

    pub(super) fn is_told(&self) -> bool {
        self.told.load(Ordering::Acquire)
    }

    /// Until it is told.
    pub(super) async fn told(&self) {
        let told = self.waiting.notified();
        if !self.is_told() {
            told.await;
        }
    }
}

/// What a connection waits for, beside what it reads.
pub(super) struct Waiting {
    stop: Arc<Stop>,
    stopped: Pin<Box<OwnedNotified>>,
    /// Set anew once it has run off, not with each request.
    timer: Pin<Box<Sleep>>,
    deadline: Instant,
    answered: bool,
    /// Whether stop and timer know whom to wake: that holds as long as the connection does.
    armed: bool,
}

/// What came.
pub(super) enum Came {
    Something,
    /// And nothing will: the other end has no more, or the server stops.
    Nothing,
    /// In time; whether there was something before.
    Late {
        answered: bool,
    },
}

impl Waiting {
    /// For the first request.
    pub(super) fn new(stop: &Arc<Stop>, most: Duration) -> Self {
        let deadline = moment() + most;
        let stopped = Box::pin(Arc::clone(&stop.waiting).notified_owned());
        let timer = Box::pin(sleep_until(deadline.into()));
        Self { stop: Arc::clone(stop), stopped, timer, deadline, answered: false, armed: false }
    }

    /// For the next one, after an answer.
    pub(super) fn again(&mut self, answered: Instant, most: Duration) {
        self.deadline = answered + most;
        self.answered = true;
    }

    pub(super) async fn next<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        inbox: &mut Vec<u8>,
        buffers: &Buffers,
    ) -> io::Result<Came> {
        poll_fn(|context| {
            *inbox = buffers.take();
            if let Poll::Ready(read) = pin!(stream.read_buf(inbox)).poll(context) {
                return Poll::Ready(read.map(|bytes| if bytes == 0 { Came::Nothing } else { Came::Something }));
            }
            buffers.give(std::mem::take(inbox));
            if self.elapsed(context).is_ready() {
                return Poll::Ready(Ok(Came::Late { answered: self.answered }));
            }
            // Asked for after it is known whom to wake.
            if self.stop.is_told() { Poll::Ready(Ok(Came::Nothing)) } else { Poll::Pending }
        })
        .await
    }

    /// Whether it has waited for too long; if not, it is woken when it has, and when the server stops.
    fn elapsed(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if !self.armed {
            self.armed = true;
            let _ = self.stopped.as_mut().poll(context);
            self.arm(context);
        }
        while self.timer.is_elapsed() {
            if self.deadline <= moment() {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(self.deadline.into());
            self.arm(context);
        }
        Poll::Pending
    }

    /// However much the task has done at once already: a timer that puts off being asked wakes nobody.
    fn arm(&mut self, context: &mut Context<'_>) {
        let _ = pin!(unconstrained(self.timer.as_mut())).poll(context);
    }
}

/// A thread's memory for requests, or for answers, that are here.
#[derive(Debug)]
pub(super) struct Buffers {
    kept: RefCell<Vec<Vec<u8>>>,
    /// Of a new one.
    bytes: usize,
}

impl Buffers {
    /// Of the largest that is kept.
    const MOST_BYTES: usize = 131_072;
    /// How many are kept.
    const MOST: usize = 128;

    pub(super) const fn new(bytes: usize) -> Self {
        Self { kept: RefCell::new(Vec::new()), bytes }
    }

    /// An empty one with room.
    pub(super) fn take(&self) -> Vec<u8> {
        self.kept.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(self.bytes))
    }

    pub(super) fn give(&self, mut buffer: Vec<u8>) {
        let mut kept = self.kept.borrow_mut();
        if kept.len() < Self::MOST && buffer.capacity() <= Self::MOST_BYTES {
            buffer.clear();
            kept.push(buffer);
        }
    }

    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.kept.borrow().len()
    }
}
