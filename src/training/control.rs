//! Talking to a run while it is under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::error::Result;
use crate::task::Ticket;

/// A cloneable handle on a run: pause it, end it early, or go on to the vote.
#[derive(Clone, Debug, Default)]
pub struct Control(Arc<Wishes>);

#[derive(Debug, Default)]
struct Wishes {
    pause: AtomicBool,
    stop: AtomicBool,
    vote: AtomicBool,
}

impl Control {
    /// Halts the run after the step under way, or lets it go on.
    pub fn set_paused(&self, paused: bool) {
        self.0.pause.store(paused, Ordering::Relaxed);
    }

    /// Whether a pause is asked for.
    pub fn is_paused(&self) -> bool {
        self.0.pause.load(Ordering::Relaxed)
    }

    /// Ends the run after the step under way; its state is saved, so that it can be resumed.
    pub fn stop(&self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }

    /// Whether an end is asked for.
    pub fn is_stopping(&self) -> bool {
        self.0.stop.load(Ordering::Relaxed)
    }

    /// Ends constrained training after the step under way and votes.
    pub fn vote_now(&self) {
        self.0.vote.store(true, Ordering::Relaxed);
    }

    /// Takes the wish to vote, if there is one.
    pub fn take_vote(&self) -> bool {
        self.0.vote.swap(false, Ordering::Relaxed)
    }

    /// Waits while paused; an error once the work is cancelled.
    pub fn wait(&self, ticket: &Ticket) -> Result<()> {
        while self.is_paused() && !self.is_stopping() {
            ticket.check()?;
            std::thread::sleep(Duration::from_millis(30));
        }
        ticket.check()
    }
}
