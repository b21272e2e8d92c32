//! The kept heads speak for the removed ones.
//!
//! Redundancy means that what a removed head adds can be said by others. Let `o` be the outputs of all heads of a layer
//! at a token, `D = H d` numbers, and `W` the output projection, `[D, D_model]`: attention adds `o W + b` to the residual
//! stream. With the second moments `C` of `o` over calibration text ([`Moments`](crate::analysis::Moments)), `K` the rows
//! of kept heads:
//!
//! - **Refit** ([`refit()`]): `W' = (C_KK + lambda I)^-1 (C_K,all W + lambda W_K)` is the least-squares projection of the
//!   kept heads onto what the whole layer adds (OSSCAR, Meng et al. 2024; ZipLM, Kurtic et al. 2023). The bias follows
//!   where there is one, and none is added.
//! - **Stream** ([`stream()`]): the same layer after layer, on what the pruned model hands each, towards the whole model's
//!   residual stream, so that later layers mend what earlier ones lost; heads may be chosen there too.
//! - **Reconstruction** ([`propose`]): heads go one by one, whichever is missed least after a refit, by the exact rise of
//!   the error; then exchanges of one head as long as they help. That ends where no single
//!   exchange helps, which need not be the best choice: against every legal set of heads of small layers, tests ask for the
//!   least error in 19 of 20 cases, and for no more than 1.1 times the least in the others. One budget over the whole model is spent in units of loss, errors
//!   weighed by the second moment of the loss's gradient (van der Ouderaa et al. 2024), exactly, by dynamic programming.
//! - **Replaceability** ([`replaceability`]): the share of what a head adds that the others of its layer can say.
//!
//! A repaired model has the shapes of the pruned one. Reported errors are those on batches which the fit did not
//! read. Nothing is done to queries, keys and values.
//!
//! | module | job |
//! | --- | --- |
//! | `dense`, `regression` | matrices in f64; least squares from sums |
//! | `sweep`, `order`, `choice` | what each head adds alone; the order in which heads go; plans |
//! | `refit` | new projections from moments |
//! | `explained` | what a refit would leave, without the weights |
//! | `scale` | a factor for each kept head, from Gram matrices: of an analysis, or formed from moments |
//! | `stream` | new projections layer after layer, on what the pruned model hands each |
//! | `document`, `source` | the file `R.safetensors`; a file, or a repair made in place |
#![doc = include_str!("study.md")]

mod choice;
mod dense;
mod document;
mod explained;
mod order;
mod projection;
mod refit;
mod regression;
mod scale;
mod source;
mod stream;
mod sweep;
#[cfg(test)]
mod testing;

pub use choice::{FORECAST, Reconstruction, propose, replaceability};
pub use document::{Repair, RepairMode, RepairRecord, SiteRepair, Tried};
pub use explained::{explain, explained};
pub use projection::{Basis, Ridge};
pub use refit::{RefitRequest, Refitter, refit};
pub(crate) use regression::least_squares;
pub use scale::scale;
pub use source::RepairSource;
pub use stream::{StreamRequest, held_bytes, plan_of, stream};
