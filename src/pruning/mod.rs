//! From a plan to a smaller checkpoint on disk, proven before it appears.
//!
//! [`forecast()`] says what each [`ExportFormat`] would give. [`write()`] cuts the stored tensors one at a time into a hidden folder, opens what it wrote with the same reader as
//! any other model, and compares it with the masked original on real input. Only then [`ExportDraft::finish`] gives the
//! folder its configuration, its record ([`RECORD`]) and its name; until that moment nothing in it opens.

mod agreement;
mod alignment;
mod average;
mod card;
mod cut;
mod draft;
mod files;
mod forecast;
mod format;
mod gqa;
mod mended;
mod native;
mod remainder;
mod remote;
mod report;
mod sample;
mod shards;
mod slots;
mod surgery;
mod target;

pub use agreement::{AGREEMENT, Agreement, Change, InputKind, Reference};
pub(crate) use agreement::{COPIES as RUN_COPIES, RunOutputs, run};
pub(crate) use card::{CardHead, card};
pub use draft::{ExportDraft, ExportOptions, export, write};
pub use files::{SideFiles, copy_side_files};
pub use forecast::{Forecast, forecast};
pub use format::{Engine, ExportFormat, OutputFormat};
pub use mended::check_repairable;
pub use remainder::{Remainder, RemainingWeights};
pub(crate) use report::{BYTES, opens_alone, opens_in_words};
pub use report::{Counts, RECORD, REPAIR, Report, StageQuality, TrainedRecord};
pub use sample::sample_batches;
pub use shards::{SHARD_BYTES, write_weights};
pub use target::{check_apart, check_free, claim};
