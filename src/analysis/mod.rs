//! Which heads of a layer compute alike, and which of them a vote would keep.
//!
//! Everything rests on Gram matrices of the heads' feature maps: they add over batches, so memory does not grow
//! with the corpus and analyses of its parts merge exactly.

mod accumulate;
mod agreement;
mod document;
mod eigen;
mod evidence;
mod exact;
mod file;
mod gram;
mod grouping;
mod hierarchy;
mod importance;
mod kinds;
mod labels;
mod merging;
mod moment;
mod moments;
mod moments_file;
mod partition;
mod patterns;
mod probe;
mod quality;
mod rank;
mod repeats;
mod run;
mod sample;
mod sensitivity;
mod sentences;
mod settings;
mod start;
mod tally;
#[cfg(test)]
mod testing;
mod votes;
mod weighed;

pub use agreement::{AnalysisAgreement, GroupAgreement, SiteAgreement, adjusted_rand};
pub use document::{Analysis, Baseline, CurvePoint, FeatureAnalysis, ModelInfo, SiteAnalysis};
pub use evidence::{DRAWS, weigh_evidence};
pub use file::Document;
pub use gram::Gram;
pub use grouping::{Grouping, Points};
pub use hierarchy::{Merge, cut, hierarchy, leaf_order};
pub use importance::{Importance, baseline, importance, magnitude, normalized_by_layer};
pub use kinds::{HeadKind, WINDOW};
pub use labels::canonical;
pub use merging::{merge, merge_named};
pub use moments::{FittedLayer, Moments, SecondMoment, Sensitivity, SharedMoments, SiteMoments, Symmetric, doubts};
pub use patterns::{KindProbe, TokenMarks};
pub use probe::{BatchGrams, GramProbe};
pub use quality::{Distances, center_distances, plane};
pub use rank::{Rank, best, best_of_groups, norm_shares, settled};
pub use repeats::{RepeatedTokens, is_punctuation, measure_repeats};
pub use run::{Analyzer, Timings, analyze, analyze_timed, moments, moments_of_piece};
pub use sample::SAMPLE;
pub use sensitivity::{SummedLoss, sensitivity};
pub use settings::{AnalysisSettings, Clustering, Groups, Metric};
pub use start::factor;
pub use votes::{Ballot, vote};
pub(crate) use weighed::enough;
pub use weighed::{EvidenceSummary, MapEvidence, NullComparison, SiteEvidence};
