//! The way in for both front ends: what a person asked for becomes checked settings, and only those can run.
//!
//! A [`Spec`] says what is read, what is computed and where; the command line fills one from its arguments and the window
//! from its widgets, and what neither names stands in [`Spec::default`] alone. [`Spec::check`] holds it against an
//! [`Opened`] model and names every [`Fault`] at once, or gives a [`Checked`] run, which can [`Checked::analyze`],
//! [`Checked::evaluate`], [`Checked::compare`], [`Checked::curve`],
//! [`Checked::repair`], [`Checked::plan_within`] and [`Checked::prune`]. Every result says what it was
//! made from and carries its notes, so that [`Spec::analysis_differences`] and [`Spec::reading_differences`] can tell
//! whether it is still what a person would get now.
//!
//! | module | job |
//! | --- | --- |
//! | `spec`, `differences` | settings as chosen; how they differ from those of a result |
//! | `opened`, `loaded`, `origins` | a model with what its headers tell; its weights, loaded once; its heads in the numbers of the original |
//! | `checked` | settings that fit the model; input and network within the bound on memory |
//! | `control` | the random heads that a plan is held against |
//! | `phases`, `passes` | what the parts of a run, and of a measurement, take beside each other |
//! | `analyze`, `estimate`, `evaluate`, `curve`, `repair`, `mend`, `prune`, `train`, `experiment`, `twins`, `rounds`, `within`, `attention`, `batch_choices` | one kind of work each |

mod analyze;
mod attention;
mod batch_choices;
mod checked;
mod control;
mod curve;
mod differences;
mod estimate;
mod evaluate;
mod experiment;
mod loaded;
mod mend;
mod opened;
mod origins;
mod own_repair;
mod passes;
mod phases;
mod prune;
mod repair;
mod rounds;
mod spec;
#[cfg(test)]
mod testing;
mod train;
mod twins;
mod within;

pub use analyze::Analyzed;
pub use attention::{AttentionInput, Patterns, attention};
pub use batch_choices::BatchChoices;
pub use checked::Checked;
pub use control::MeasuredRepair;
pub use curve::CurveSpec;
pub use estimate::RunEstimate;
pub use evaluate::Scored;
pub use experiment::{ExperimentSpec, experiment};
pub use loaded::{LoadedNetwork, Placed};
pub use opened::{ModelFacts, Opened};
pub use own_repair::{OwnRepair, searched_with};
pub use passes::MeasureWork;
pub use prune::PruneSpec;
pub use repair::RepairSpec;
pub use rounds::Rounds;
pub use spec::{BATCH_SIZE, Fault, Field, Spec, refusal};
pub use train::{TrainSpec, TrainingProgress, Watched, resume_training, train};
pub use twins::{SiteTwins, Twins};
pub use within::BudgetSpec;
