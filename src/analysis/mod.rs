//! Which heads of a layer compute alike, and which of them a vote would keep.
//!
//! Everything rests on Gram matrices of the heads' feature maps: they add over batches, so memory does not grow
//! with the corpus and analyses of its parts merge exactly.

mod document;
mod exact;
mod file;
mod gram;
mod grouping;
mod hierarchy;
mod partition;
mod quality;
mod settings;
mod start;
#[cfg(test)]
mod testing;

pub use document::{Analysis, Baseline, CurvePoint, FeatureAnalysis, ModelInfo, SiteAnalysis};
pub use file::Document;
pub use gram::Gram;
pub use grouping::{Grouping, Points, canonical};
pub use hierarchy::{Merge, cut, hierarchy, leaf_order};
pub use quality::{Distances, plane};
pub use settings::{Groups, Metric, Settings};
pub use start::factor;
