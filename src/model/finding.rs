//! Which stored tensor of a checkpoint a role is.

use super::{Family, TensorLayout};
use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};
use crate::network::Role;

/// The stored tensor of a role under the first of its names that the checkpoint has and `may_be` lets through.
pub(super) fn find(
    checkpoint: &Checkpoint,
    family: &Family,
    role: Role,
    may_be: impl Fn(&str) -> bool,
) -> Result<(String, TensorLayout)> {
    let mut wanted = None;
    for (name, layout) in family.names_of(checkpoint.config(), role).filter(|(name, _)| may_be(name)) {
        if let Some(stored) = stored_name(checkpoint, family, &name) {
            return Ok((stored, layout));
        }
        wanted.get_or_insert(name);
    }
    let wanted =
        wanted.ok_or_else(|| Error::new(format!("the {} family has no name for '{role}'", family.model_type)))?;
    Err(Error::new(format!("tensor '{wanted}' is missing"))
        .at(checkpoint.place())
        .hint("the checkpoint is incomplete, or its config.json belongs to another"))
}

/// The name under which the checkpoint holds `name`: behind the family's prefix, as the bare model writes it, or with
/// the spelling of norms in the oldest checkpoints.
pub(super) fn stored_name(checkpoint: &Checkpoint, family: &Family, name: &str) -> Option<String> {
    let prefixed = family.prefixes.iter().map(|prefix| format!("{prefix}{name}"));
    for base in prefixed.chain([name.to_owned()]) {
        let old = match base.rsplit_once('.') {
            Some((stem, "weight")) => Some(format!("{stem}.gamma")),
            Some((stem, "bias")) => Some(format!("{stem}.beta")),
            _ => None,
        };
        if let Some(found) = std::iter::once(base).chain(old).find(|n| checkpoint.info(n).is_some()) {
            return Some(found);
        }
    }
    None
}
