//! The families of checkpoints.

mod bert;
mod gpt2;
mod llama;

use super::Family;

/// Every supported family.
pub fn all() -> impl Iterator<Item = &'static Family> {
    [bert::FAMILIES, gpt2::FAMILIES, llama::FAMILIES].into_iter().flatten()
}
