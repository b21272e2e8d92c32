//! Everything that the window shows.

use std::path::PathBuf;

use super::Selection;
use super::jobs::Jobs;
use super::messages::Messages;
use crate::error::Error;
use crate::plan::Plan;
use crate::workspace::{Draft, HeadRef, History, Opened, Settings, Store};

/// A box over the window that has the keyboard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Overlay {
    /// Commands by name.
    Palette,
    /// A path to type.
    Path,
    /// All keys.
    Shortcuts,
}

/// Everything that the window shows. Panels read it; only `dispatch` changes it.
pub struct State {
    /// Where settings are kept.
    pub store: Store,
    /// Settings of the program.
    pub settings: Settings,
    /// The open model.
    pub model: Option<Opened>,
    /// The path being opened, for the welcome screen.
    pub opening: Option<PathBuf>,
    /// Why the last path could not be opened.
    pub open_failure: Option<(PathBuf, Error)>,
    /// The plans being edited, with their history.
    pub draft: History<Draft>,
    /// What is selected.
    pub selection: Selection,
    /// Workers under way.
    pub jobs: Jobs,
    /// What happened.
    pub messages: Messages,
    /// The box that has the keyboard.
    pub overlay: Option<Overlay>,
    /// Counts changes of the plan, so that what is computed from it knows when it is out of date.
    pub plan_revision: u64,
}

impl State {
    /// An empty window.
    pub fn new(store: Store, settings: Settings, jobs: Jobs) -> Self {
        Self {
            store,
            settings,
            model: None,
            opening: None,
            open_failure: None,
            draft: History::new(Draft::default()),
            selection: Selection::default(),
            jobs,
            messages: Messages::default(),
            overlay: None,
            plan_revision: 0,
        }
    }

    /// Whether `head` stays in the plan being edited.
    pub fn is_kept(&self, head: HeadRef) -> bool {
        self.draft.now().active().is_kept(head)
    }

    /// The plan being edited, every layer named; `None` without a model.
    pub fn plan(&self) -> Option<Plan> {
        Some(self.draft.now().active().plan(&self.model.as_ref()?.facts.shape))
    }

    /// Heads that stay and heads in all.
    pub fn kept_heads(&self) -> (usize, usize) {
        let Some(model) = &self.model else { return (0, 0) };
        let plan = self.draft.now().active();
        let all = model.facts.shape.sites().iter().flat_map(|s| (0..s.heads).map(|h| HeadRef::new(s.site, h)));
        (all.filter(|h| plan.is_kept(*h)).count(), model.facts.heads())
    }
}
