//! Runs work on threads of its own; a panic there becomes a failed task.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};

use super::{CancelToken, Progress, Ticket};
use crate::error::{Error, Result};

/// Starts tasks and wakes its owner when one moves or ends.
#[derive(Clone)]
pub struct Runner {
    waker: Arc<dyn Fn() + Send + Sync>,
}

impl Runner {
    /// A runner that calls `waker` from worker threads; it must be cheap and must not block.
    pub fn new(waker: impl Fn() + Send + Sync + 'static) -> Self {
        Self { waker: Arc::new(waker) }
    }

    /// Runs `work` on a thread of its own.
    pub fn spawn<T: Send + 'static>(
        &self,
        name: impl Into<String>,
        work: impl FnOnce(&Ticket) -> Result<T> + Send + 'static,
    ) -> Task<T> {
        let name = name.into();
        let (send, receive) = channel();
        let waker = Arc::clone(&self.waker);
        let ticket = Ticket::new(CancelToken::default(), move || waker());
        let inner = ticket.clone();
        let wake_at_end = Arc::clone(&self.waker);
        let spawned = std::thread::Builder::new().name(name.clone()).spawn(move || {
            let result = caught(|| work(&inner));
            // The receiver may be gone: then the result is dropped.
            let _ = send.send(result);
            wake_at_end();
        });
        let failed = spawned.err().map(|e| Error::new(format!("cannot start a thread: {e}")));
        Task { name, ticket, receive, failed }
    }
}

/// Does `work`, and turns a panic in it into an error: of this program, or of a library that panics where the system has no
/// more threads or memory to give.
///
/// # Errors
/// As `work`, and where it panics.
pub fn caught<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<&str>()
            .map(|s| (*s).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "unknown cause".to_owned());
        Err(Error::new(format!("internal fault: {text}")).hint("please report it with what you did"))
    })
}

/// What became of a [`Task`] when asked.
pub enum TaskState<T> {
    /// The task is still at work.
    Running(Progress),
    /// Ended; handed out once.
    Ended(Result<T>),
}

/// A piece of work under way.
pub struct Task<T> {
    name: String,
    ticket: Ticket,
    receive: Receiver<Result<T>>,
    failed: Option<Error>,
}

impl<T> Task<T> {
    /// The name it was started under.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Asks it to stop; it ends with a cancelled error at its next safe point.
    pub fn cancel(&self) {
        self.ticket.cancel_token().cancel();
    }

    /// True once a stop was asked for.
    pub fn is_cancelling(&self) -> bool {
        self.ticket.cancel_token().is_cancelled()
    }

    /// Looks without waiting. After `Ended` was handed out, further polls end as cancelled.
    pub fn poll(&mut self) -> TaskState<T> {
        if let Some(error) = self.failed.take() {
            return TaskState::Ended(Err(error));
        }
        match self.receive.try_recv() {
            Ok(result) => TaskState::Ended(result),
            Err(TryRecvError::Empty) => TaskState::Running(self.ticket.progress()),
            Err(TryRecvError::Disconnected) => TaskState::Ended(Err(Error::cancelled())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn wait<T>(mut task: Task<T>) -> Result<T> {
        loop {
            match task.poll() {
                TaskState::Ended(result) => return result,
                TaskState::Running(_) => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    #[test]
    fn a_panic_becomes_a_failure_and_a_cancel_is_no_fault() {
        let runner = Runner::new(|| {});
        let failed = wait(runner.spawn("boom", |_| -> Result<()> { panic!("boom") }));
        assert!(failed.is_err_and(|e| e.to_string().contains("boom") && !e.is_cancelled()));
        let task = runner.spawn("long", |ticket| -> Result<()> {
            loop {
                ticket.advance(1)?;
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        task.cancel();
        assert!(wait(task).is_err_and(|e| e.is_cancelled()));
    }
}
