//! Pillars shows which attention heads carry a transformer and prunes the rest with open eyes.
//!
//! Whole jobs, as they are typed, are on the page [`guide`]; every command with its options is on the page [`mod@reference`];
//! what is computed, exactly, is on the page [`method`]; what is promised about files from elsewhere and machines that fail is
//! on the page [`threats`].
//!
//! The whole job, from a checkpoint and a text to a smaller checkpoint that is proven:
//!
//! ```
//! use pillars::{Amount, Input, Method, Opened, PruneSpec, PlanRequest, Spec, Ticket, TrainSpec};
//!
//! # fn main() -> pillars::Result<()> {
//! # let samples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("sample_models");
//! # let scratch = tempfile::tempdir()?;
//! // Reports progress, and cancels on request.
//! let ticket = Ticket::default();
//! let model = Opened::open(&samples.join("austen-plain"), &ticket)?;
//! let spec = Spec {
//!     input: Some(Input::Text(samples.join("austen.txt"))),
//!     batches: Some(2),
//!     seq_len: Some(32),
//!     // One batch in three takes no part in the choice, and quality is measured on such batches alone.
//!     held_out_every: Some(3),
//!     ..Spec::default()
//! };
//! let run = spec.check(&model).map_err(pillars::refusal)?;
//!
//! let analysis = run.analyze(&ticket)?.analysis;
//! let half = PlanRequest::new(Method::Votes, Amount::LayerRatio(0.5));
//! let plan = pillars::propose(&analysis, &half)?;
//! let measured = run.compare("half of the heads", &plan, None, &ticket)?;
//! assert!(measured.comparison.after.loss_per_token > measured.comparison.before.loss_per_token);
//!
//! let wanted = PruneSpec { out: scratch.path().join("smaller"), ..PruneSpec::default() };
//! let report = run.prune(&plan, None, &wanted, &ticket)?;
//! assert_eq!((report.heads.before, report.heads.after), (32, 16));
//! let smaller = Opened::open(&wanted.out, &ticket)?;
//!
//! let mut training = TrainSpec::new(spec, &smaller, scratch.path().join("trained"));
//! training.settings.steps = 1;
//! training.settings.held_out_batches = 1;
//! training.settings.voting = None;
//! let summary = pillars::train(&training, &Default::default(), &mut |_| {}, &ticket)?;
//! assert!(summary.full_loss.is_some_and(f64::is_finite));
//! # Ok(())
//! # }
//! ```
//!
//! The library knows no window. Rooms, each using only rooms above it:
//!
//! | room | job |
//! | --- | --- |
//! | [`error`], [`words`], [`task`] | one-line failures; counts in words; cancel, progress, workers |
//! | [`tensor`] | differentiable primitives and fast CPU kernels |
//! | [`checkpoint`] | folders in Hugging Face layout: headers, bytes, configuration, atomic writing |
//! | [`hub`] | models by the name that they have on the Hugging Face hub: its cache |
//! | [`network`] | one transformer described by data; probes and gates |
//! | [`model`] | configuration to spec, tensor names to roles: opens a folder as a network |
//! | [`corpus`] | inputs of every kind become padded batches |
//! | [`analysis`] | which heads compute alike; groups, votes, importance |
//! | [`plan`] | which heads stay, and what that saves |
//! | [`repair`] | the kept heads speak for the removed ones; plans by reconstruction |
//! | [`evaluation`] | loss, perplexity, accuracy, likeness, translations, speed |
//! | [`pruning`] | a plan becomes a smaller checkpoint, proven against the masked model |
//! | [`engines`] | files that other engines open: ONNX, GGUF |
//! | [`training`] | group-constrained training, voting, fine-tuning, removal |
//! | [`chart`] | what pictures show: series, bars, bands, axes with units, captions, tables |
//! | [`figure`] | paints charts: SVG, PNG, CSV |
//! | [`experiment`] | the paper's ablation: arms, seeds, means and spreads |
//! | [`run`] | settings as chosen, checked, carried out: the way in for both front ends |
//! | [`workspace`] | what a person works on: the saved document, plans with their history, settings of the program |
//! | [`cli`] | the command line over all of it |
//! | `gui` | the desktop window (feature `gui`) |

#![warn(unreachable_pub)]

#[warn(missing_docs)]
pub mod analysis;
pub mod chart;
pub mod checkpoint;
pub mod cli;
#[warn(missing_docs)]
pub mod corpus;
pub mod engines;
#[warn(missing_docs)]
pub mod error;
pub mod evaluation;
pub mod experiment;
pub mod figure;
#[cfg(feature = "gui")]
pub mod gui;
#[warn(missing_docs)]
pub mod hub;
pub mod model;
pub mod network;
#[warn(missing_docs)]
pub mod plan;
pub mod pruning;
pub mod repair;
#[warn(missing_docs)]
pub mod run;

#[warn(missing_docs)]
pub mod task;
pub mod tensor;
pub mod training;
pub mod words;
pub mod workspace;

#[doc = include_str!("method.md")]
pub mod method {}

#[doc = include_str!("guide.md")]
pub mod guide {}

#[doc = include_str!("reference.md")]
pub mod reference {}

#[doc = include_str!("threats.md")]
pub mod threats {}

pub use analysis::Analysis;
pub use corpus::Input;
pub use error::{Error, Result};
pub use plan::{Amount, Method, Plan, PlanRequest, propose};
pub use run::{Checked, CurveSpec, Opened, PruneSpec, Spec, TrainSpec, refusal, train};
pub use task::Ticket;
