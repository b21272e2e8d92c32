//! Pillars shows which attention heads carry a transformer and prunes the rest with open eyes.
//!
//! What is computed, exactly, is on the page [`method`].
//!
//! The library knows no window. Rooms, each using only rooms above it:
//!
//! | room | job |
//! | --- | --- |
//! | [`error`], [`words`], [`task`] | one-line failures; counts in words; cancel, progress, workers |
//! | [`tensor`] | differentiable primitives and fast CPU kernels |
//! | [`checkpoint`] | folders in Hugging Face layout: headers, bytes, configuration, atomic writing |
//! | [`network`] | one transformer described by data; probes and gates |
//! | [`model`] | configuration to spec, tensor names to roles: opens a folder as a network |
//! | [`corpus`] | inputs of every kind become padded batches |
//! | [`analysis`] | which heads compute alike; groups, votes, importance |
//! | [`plan`] | which heads stay, and what that saves |
//! | [`evaluation`] | loss, perplexity, accuracy, likeness, translations, speed |
//! | [`pruning`] | a plan becomes a smaller checkpoint, proven against the masked model |
//! | [`engines`] | files that other engines open: ONNX |
//! | [`training`] | group-constrained training, voting, fine-tuning, removal |
//! | [`chart`] | what pictures show: series, bars, bands, axes with units, captions, tables |
//! | [`figure`] | paints charts: SVG, PNG, CSV |
//! | [`experiment`] | the paper's ablation: arms, seeds, means and spreads |
//! | [`run`] | settings as chosen, checked, carried out: the way in for both front ends |
//! | [`workspace`] | what a person works on: the saved document, plans with their history, settings of the program |
//! | [`cli`] | the command line over all of it |
//! | `gui` | the desktop window (feature `gui`) |

pub mod analysis;
pub mod chart;
pub mod checkpoint;
pub mod cli;
pub mod corpus;
pub mod engines;
pub mod error;
pub mod evaluation;
pub mod experiment;
pub mod figure;
#[cfg(feature = "gui")]
pub mod gui;
pub mod model;
pub mod network;
pub mod plan;
pub mod pruning;
pub mod run;
pub mod task;
pub mod tensor;
pub mod training;
pub mod words;
pub mod workspace;

#[doc = include_str!("method.md")]
pub mod method {}

pub use error::{Error, Result};
