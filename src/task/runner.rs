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
        Task { name, ticket, receive, failed, is_over: false }
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
        Err(match SCARCE.iter().any(|words| text.contains(words)) {
            true => Error::new(format!("the system gave no more threads or memory: {text}"))
                .hint("free some, or compute with fewer threads (RAYON_NUM_THREADS)"),
            false => Error::new(format!("internal fault: {text}")).hint("please report it with what you did"),
        })
    })
}

/// What systems say where they have no more threads or memory to give.
const SCARCE: [&str; 2] = ["Resource temporarily unavailable", "Cannot allocate memory"];

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
    /// Its end was handed out; its thread may not be gone yet.
    is_over: bool,
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
        let end = match self.failed.take() {
            Some(error) => Err(error),
            None if self.is_over => Err(Error::cancelled()),
            None => match self.receive.try_recv() {
                Ok(result) => result,
                Err(TryRecvError::Empty) => return TaskState::Running(self.ticket.progress()),
                Err(TryRecvError::Disconnected) => Err(Error::cancelled()),
            },
        };
        self.is_over = true;
        TaskState::Ended(end)
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
        let scarce = caught(|| -> Result<()> { panic!("no worker: {:?}", "Resource temporarily unavailable") });
        assert!(scarce.is_err_and(|e| e.to_string().starts_with("the system gave no more threads")));
        let task = runner.spawn("long", |ticket| -> Result<()> {
            loop {
                ticket.advance(1)?;
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        task.cancel();
        assert!(wait(task).is_err_and(|e| e.is_cancelled()));
    }
    /// What a task of the test below is to do, and how it may end.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Kind {
        Answers,
        Advances,
        Fails,
        WaitsForCancel,
    }

    fn work(kind: Kind, number: u64, ticket: &Ticket) -> Result<u64> {
        match kind {
            Kind::Answers => {}
            Kind::Advances => {
                ticket.stage("count", Some(20), "units");
                (0..20).try_for_each(|_| ticket.advance(1))?;
            }
            Kind::Fails => return Err(Error::new(format!("fault {number}"))),
            Kind::WaitsForCancel => loop {
                ticket.advance(1)?;
                std::thread::yield_now();
            },
        }
        Ok(number)
    }

    /// An owner that looks at its tasks only when it is woken, as a window does, and waits for each of its wakes.
    struct Owner {
        runner: Runner,
        woken: Receiver<()>,
        random: rand::rngs::StdRng,
        tasks: Vec<(u64, Kind, Task<u64>)>,
        ended: u64,
    }

    impl Owner {
        fn new(seed: u64) -> Self {
            let (wake, woken) = channel();
            let runner = Runner::new(move || {
                // The owner may be gone.
                let _ = wake.send(());
            });
            Self { runner, woken, random: rand::SeedableRng::seed_from_u64(seed), tasks: Vec::new(), ended: 0 }
        }

        fn start(&mut self, number: u64) {
            let kinds = [Kind::Answers, Kind::Advances, Kind::Fails, Kind::WaitsForCancel];
            let kind = kinds[rand::Rng::gen_range(&mut self.random, 0..4)];
            let task = self.runner.spawn(format!("t{number}"), move |ticket| work(kind, number, ticket));
            if kind == Kind::WaitsForCancel || rand::Rng::gen_bool(&mut self.random, 0.2) {
                task.cancel();
            }
            self.tasks.push((number, kind, task));
        }

        /// Waits for a wake and looks at every task once.
        fn look(&mut self) {
            self.woken.recv_timeout(Duration::from_secs(60)).expect("a task ended without a wake, or never");
            self.tasks.retain_mut(|(number, kind, task)| {
                let TaskState::Ended(result) = task.poll() else { return true };
                let cancelled = task.is_cancelling();
                match (*kind, &result) {
                    // A wish to stop may come when the work is done.
                    (Kind::Answers | Kind::Advances, Ok(got)) => assert_eq!(got, number),
                    (Kind::Advances | Kind::WaitsForCancel, Err(error)) => assert!(error.is_cancelled() && cancelled),
                    (Kind::Fails, Err(error)) => assert_eq!(error.to_string(), format!("fault {number}")),
                    other => panic!("{other:?}"),
                }
                // Nothing more comes of what ended.
                assert!(matches!(task.poll(), TaskState::Ended(Err(error)) if error.is_cancelled()));
                self.ended += 1;
                false
            });
        }
    }

    /// The tasks of one owner out of several that run at once.
    fn owned(seed: u64, count: u64) -> u64 {
        let mut owner = Owner::new(seed);
        for number in 0..count {
            owner.start(number);
            // An owner may forget a task, which then ends without it.
            if rand::Rng::gen_bool(&mut owner.random, 0.05) {
                owner.tasks.pop();
                owner.ended += 1;
            }
            while owner.tasks.len() > 8 {
                owner.look();
            }
        }
        while !owner.tasks.is_empty() {
            owner.look();
        }
        owner.ended
    }

    #[test]
    fn thousands_of_tasks_from_several_threads_end_once_each_and_wake_their_owner() {
        let all: Vec<u64> = std::thread::scope(|scope| {
            let owners: Vec<_> = (0..4).map(|seed| scope.spawn(move || owned(seed, 800))).collect();
            owners.into_iter().map(|owner| owner.join().unwrap()).collect()
        });
        assert_eq!(all, [800; 4]);
    }
}
