//! Asking before work on a model is stopped for another.

use crate::gui::app::{App, Waiting};
use crate::gui::jobs::NextStep;
use crate::gui::state::Overlay;
use crate::workspace::OpenedPath;

impl Waiting {
    fn step(&self) -> NextStep {
        match self {
            Self::Open(..) => NextStep::Open,
            Self::Close => NextStep::Close,
            Self::StartAfresh => NextStep::StartAfresh,
        }
    }

    /// Whether it puts another model, or none, in the place of the one that is open.
    fn replaces_model(&self) -> bool {
        match self {
            Self::Open(place, _) => matches!(**place, OpenedPath::Model(_) | OpenedPath::Workspace(..)),
            Self::Close | Self::StartAfresh => true,
        }
    }
}

impl App {
    /// Goes on with `waiting` at once where no work would be missed; else a person is asked.
    pub(super) fn ask_before(&mut self, waiting: Waiting) {
        let step = waiting.step();
        let is_missed = waiting.replaces_model() && self.state.jobs.missed_by(step).next().is_some();
        self.waiting = Some(waiting);
        if is_missed {
            self.state.overlay = Some(Overlay::Stop(step));
        } else {
            self.go_on();
        }
    }

    /// Does what was waiting.
    pub(super) fn go_on(&mut self) {
        if matches!(self.state.overlay, Some(Overlay::Stop(_))) {
            self.state.overlay = None;
        }
        match self.waiting.take() {
            None => {}
            Some(Waiting::Open(place, warnings)) => self.adopt(*place, warnings),
            Some(Waiting::Close) => self.close(),
            Some(Waiting::StartAfresh) => {
                // The model comes back by being opened, which would ask again.
                self.drop_work();
                self.start_afresh();
            }
        }
    }

    /// Lets go of what waits once its question is closed, and goes on once there is nothing left to stop.
    pub(in super::super) fn mind_waiting(&mut self) {
        match self.state.overlay {
            Some(Overlay::Stop(step)) if self.state.jobs.missed_by(step).next().is_none() => self.go_on(),
            Some(Overlay::Stop(_)) => {}
            _ => self.waiting = None,
        }
    }
}
