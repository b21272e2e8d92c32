//! What panels and views are given to read, and where they ask for changes.

use super::action::{Action, Outbox};
use super::state::State;
use super::theme::WindowTheme;

/// What panels and views are given: everything to read, and where to ask for changes.
#[derive(Clone, Copy)]
pub(super) struct Cx<'a> {
    /// Everything that is shown.
    pub state: &'a State,
    pub theme: &'a WindowTheme,
    pub out: &'a Outbox,
}

impl Cx<'_> {
    /// Asks the window for `action`.
    pub(super) fn send(&self, action: Action) {
        self.out.send(action);
    }
}
