//! What to write in place of a file that an engine does not compute.

use crate::model::Model;
use crate::network::{AttentionSpec, Site};
use crate::plan::Plan;

/// What computes `model` without the heads that `plan` removes, for a hint.
pub(super) fn instead(model: &Model, plan: &Plan) -> &'static str {
    let is_whole =
        |(site, attention): &(Site, &AttentionSpec)| plan.kept_at(*site, attention.heads).len() == attention.heads;
    match model.spec().sites().iter().all(is_whole) {
        true => "choose onnx",
        false => "choose onnx (smaller) or masked (whatever opens the original)",
    }
}
