//! The group constraint `L_z` (Ni et al. 2023, section 3.2, equation 4), differentiable through every head.
//!
//! All cosines between heads and hidden units follow from the Gram matrix of a layer's feature maps, so the only
//! product of any size is `X X^T`, `H x H`, with its gradient.

mod assign;
mod gram;
mod linear;
mod term;
mod weight;

pub use assign::assign;
pub use gram::{GramGraph, differentiable_gram, gram_numbers, head_rows};
pub use linear::explained_term;
pub use term::{ConstraintTerm, SiteTerms, add_linear, site_terms, term};
pub use weight::{Constraint, Diversity, Homogeneity, Reduction};
