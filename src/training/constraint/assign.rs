//! Which group each head is in, by the grouping of the analysis.

use crate::analysis::{Gram, Points};
use crate::error::Result;
use crate::network::Site;

use super::Constraint;

/// The group of every head of a layer on one batch; dead heads are groups of their own.
pub fn assign(constraint: &Constraint, site: Site, gram: &Gram, seed: u64) -> Result<Vec<usize>> {
    let points = Points::new(gram, constraint.metric);
    let grouping = match constraint.groups.at(site, gram.heads())? {
        Some(number) => points.group(number, seed)?,
        None => points.group_auto(seed)?,
    };
    Ok(grouping.labels)
}
