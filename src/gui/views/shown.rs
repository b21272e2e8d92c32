//! The picture that a view shows: made once for what it is made of, painted in every frame, and the same that is saved.

use std::sync::Arc;

use eframe::egui::Context;

use crate::chart::Picture;
use crate::error::Result;
use crate::gui::jobs::{AttentionKey, RegroupKey};
use crate::gui::state::State;
use crate::gui::widgets::Background;
use crate::network::{FeatureMap, Site};

/// What makes a picture, away from the window.
pub(crate) type Draw = Box<dyn FnOnce() -> Result<Picture> + Send>;

/// All that the picture of a view is made of. It is compared in every frame, so it holds revisions in place of what they
/// stand for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct PictureKey {
    /// The result of the last run.
    pub results: Option<u64>,
    /// The plan being edited.
    pub plan: Option<u64>,
    /// The layer that is shown.
    pub site: Option<Site>,
    /// The feature map that is shown.
    pub feature: Option<FeatureMap>,
    /// Another grouping of the layer.
    pub grouping: Option<RegroupKey>,
    /// Quality that was measured.
    pub measured: Option<u64>,
    pub patterns: Option<AttentionKey>,
    /// Records and stages of a training run.
    pub records: Option<(usize, usize)>,
    /// What the view was asked to show.
    pub options: Options,
}

/// What a person chose in a view, as numbers.
pub(super) type Options = [usize; 3];

impl PictureKey {
    /// Of the results and the plan.
    pub(crate) fn of_plan(state: &State) -> Self {
        let results = state.results.as_ref().map(|r| r.revision);
        Self { results, plan: Some(state.plan_revision), ..Self::default() }
    }

    /// The same for the layer that is shown.
    pub(crate) fn of_site(state: &State) -> Self {
        Self { site: state.site(), ..Self::of_plan(state) }
    }
}

/// A picture that was made; equal to nothing but itself, so that comparing costs nothing.
#[derive(Clone, Debug)]
pub(super) struct Made(Arc<Picture>);

impl PartialEq for Made {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl std::ops::Deref for Made {
    type Target = Picture;

    fn deref(&self) -> &Picture {
        &self.0
    }
}

/// The last picture that was made, and the worker that makes the next.
#[derive(Default)]
pub(super) struct PictureCache {
    made: Background<PictureKey, Made>,
}

impl PictureCache {
    /// The picture for `key`, made at once where `is_quick` says that it takes less than a frame. While it is being made,
    /// the last one stays.
    pub(super) fn get(
        &mut self,
        ctx: &Context,
        key: PictureKey,
        is_quick: bool,
        draw: impl FnOnce() -> Result<Draw>,
    ) -> Option<(&PictureKey, &Result<Made>)> {
        if self.made.is_asked(&key) {
            self.made.made();
            return self.made.held();
        }
        let make = draw();
        self.made.get_keyed(ctx, key, is_quick, move || Ok(Made(Arc::new(make?()?))))
    }

    /// The picture that was painted last.
    pub(super) fn painted(&self) -> Option<&Picture> {
        self.made.held().and_then(|(_, made)| Some(&**made.as_ref().ok()?))
    }
}
