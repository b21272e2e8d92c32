//! What a run found out with what was made of it: what undo brings back.

use std::sync::Arc;

use super::repairing::{FoundMoments, MadeRepair};
use crate::analysis::Analysis;
use crate::evaluation::Measured;
use crate::evaluation::curve::Curves;

/// What a run found out.
#[derive(Clone)]
pub struct Results {
    pub analysis: Arc<Analysis>,
    /// Second moments, where the run gathered them.
    pub moments: Option<FoundMoments>,
    /// Counts results, so that what is computed from them knows when it is out of date.
    pub revision: u64,
}

/// Results with the repairs, measurements and curve that stood beside them.
#[derive(Clone, Default)]
pub struct Findings {
    pub(super) results: Option<Results>,
    pub(super) repairs: Vec<MadeRepair>,
    pub(super) measured: Vec<Measured>,
    pub(super) curves: Option<Arc<Curves>>,
}

/// Whether two measurements are of the same heads on the same input.
pub(super) fn is_of_same(a: &Measured, b: &Measured) -> bool {
    (a.repair.is_some(), &a.dtype) == (b.repair.is_some(), &b.dtype) && a.kept == b.kept && a.reading == b.reading
}
