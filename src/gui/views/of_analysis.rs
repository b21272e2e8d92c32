//! Pictures of the results of the last run.

use std::sync::Arc;

use super::shown::Draw;
use crate::chart::{AnalysisView, Order, Request, build};
use crate::error::{Error, Result};
use crate::gui::state::State;

/// A picture of the results, as the plan being edited stands.
#[derive(Default)]
pub(super) struct OfAnalysis {
    /// Of the layer that is shown, or of all.
    pub of_site: bool,
    /// In which order heads stand.
    pub order: Option<Order>,
    /// Other groups for the layer that is shown.
    pub groups: Option<Vec<usize>>,
}

impl OfAnalysis {
    /// Of the layer that is shown.
    pub(super) fn of_site() -> Self {
        Self { of_site: true, ..Self::default() }
    }

    pub(super) fn draw(self, state: &State, view: AnalysisView) -> Result<Draw> {
        let results =
            state.results.as_ref().ok_or_else(|| Error::new("nothing was run yet").hint("press Run first"))?;
        let analysis = Arc::clone(&results.analysis);
        let (site, feature, plan) = (state.site().filter(|_| self.of_site), state.feature(), state.shown_plan());
        Ok(Box::new(move || {
            let groups = self.groups.as_deref();
            build(&analysis, &Request { view, site, feature, plan: plan.as_ref(), order: self.order, groups })
        }))
    }
}
