//! How good and how fast a network is: loss, perplexity, accuracy, likeness of embeddings, translations, tokens per
//! second.
//!
//! Everything compares like with like: two candidates see the same batches in one pass, and speed is measured apart
//! from quality, on a stated batch, after warming up.

mod answers;
mod asked;
mod benchmark;
mod compare;
pub mod curve;
mod edits;
mod embeddings;
mod entities;
mod extraction;
pub mod generation;
mod interval;
mod measured;
mod mend;
mod metrics;
mod quality;
mod similarity;
mod speech;
mod speed;
mod spent;
mod steady;
mod verdict;
mod within;

pub use answers::Answer;
pub use asked::CHOICE_METRICS;
pub use benchmark::{Benchmark, BenchmarkResult};
pub use compare::{COMPARED_COPIES, Comparison, compare, score_each};
pub use interval::{Estimate, EstimateCount, Interval};
pub(crate) use measured::spread;
pub use measured::{IN_SAMPLE, Measured, SEARCHED_IN_SAMPLE};
pub use mend::{Calibration, Mender, RepairRequest, STREAM_PASSES};
pub use metrics::{TaskMetric, task_metrics};
pub use quality::{Candidate, Quality, SCORED_COPIES, evaluate, is_finite};
pub use similarity::{HiddenSimilarity, pooled};
pub use speech::TranscriptNormalizer;
pub use speed::{Speed, Speeds, Timing, speed, speeds};
pub use spent::{COSINE, LOSS};
pub use verdict::{BudgetGrade, Standing, Verdict};
pub use within::{BudgetRequest, plan_within};
