//! Which heads of a layer compute alike, and which of them a vote would keep.
//!
//! Everything rests on Gram matrices of the heads' feature maps: they add over batches, so memory does not grow
//! with the corpus and analyses of its parts merge exactly.

mod document;
mod file;
mod gram;
mod settings;

pub use document::{Analysis, Baseline, CurvePoint, FeatureAnalysis, ModelInfo, SiteAnalysis};
pub use file::Document;
pub use gram::Gram;
pub use settings::{Groups, Metric, Settings};
