//! What panels and views ask for. Only `dispatch` carries it out.

use std::cell::RefCell;
use std::path::PathBuf;

use super::Command;
use crate::network::Site;
use crate::workspace::HeadRef;

/// A wish with everything needed to carry it out.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// A listed command.
    Command(Command),
    /// Open a model folder, a workspace or a plan, by what lies at the path.
    Open(PathBuf),
    /// Drop a place from the recent ones.
    Forget(PathBuf),
    /// Select one head alone.
    Select(HeadRef),
    /// Add a head to the selection or take it out.
    SelectAlso(HeadRef),
    /// Select the rectangle from the anchor to this head.
    SelectTo(HeadRef),
    /// Move the cursor by layers and heads; the last part extends the range.
    Step(isize, isize, bool),
    /// Show a layer in the views of one layer.
    ShowSite(Site),
    /// Fix heads to stay or go.
    SetKept(Vec<HeadRef>, bool),
    /// Fix heads to what they are now, or hand them back to the proposal.
    SetPinned(Vec<HeadRef>, bool),
    /// Size of everything.
    SetZoom(f32),
    /// Close the box over the window.
    CloseOverlay,
    /// Put text into the clipboard.
    Copy(String),
}

/// Where a frame collects its wishes.
#[derive(Default)]
pub struct Outbox(RefCell<Vec<Action>>);

impl Outbox {
    /// Asks for `action`.
    pub fn send(&self, action: Action) {
        self.0.borrow_mut().push(action);
    }

    /// Asks for a listed command.
    pub fn command(&self, command: Command) {
        self.send(Action::Command(command));
    }

    /// Everything asked for since the last call.
    pub fn take(&self) -> Vec<Action> {
        std::mem::take(&mut *self.0.borrow_mut())
    }

    /// True where nothing was asked for.
    pub fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }
}
