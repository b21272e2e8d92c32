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
        // The graph has fewer heads and weights of 32 bits: beside a checkpoint of 16 it may be the larger file.
        false => "choose onnx (without these heads, in f32) or masked (whatever opens the original)",
    }
}
