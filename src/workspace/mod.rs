//! What a person works on, without a window: the plans being edited with their history, application settings,
//! and the jobs that a front end hands to workers.
//!
//! | module | job |
//! | --- | --- |
//! | `document` | the saved document |
//! | `draft` | named plans, pinned heads |
//! | `history` | undo and redo with names |
//! | `outlook` | what a plan would do |
//! | `run_settings` | what a run is asked to do, checked |
//! | `settings` | theme, zoom, recent models; survives a bad field |
//! | `store` | where settings and the autosaved workspace lie |
//! | `stamps` | whether a file is still as this window left it |
//! | `tidy` | removes autosaves that nobody will miss |
//! | `sample` | the bundled models |
//! | `job` | every piece of long work, in one place |

mod document;
mod draft;
mod history;
pub mod job;
mod outlook;
mod run_settings;
mod sample;
mod settings;
mod stamps;
mod store;
mod tidy;

pub use document::{ModelRef, Workspace};
pub use draft::{Draft, LayerPlan, NamedPlan, Proposal};
pub use history::History;
pub use job::{LoadedNetwork, ModelFacts, Opened};
pub use outlook::Outlook;
pub use run_settings::{CheckedRun, Fault, Field, RunSettings, guess_input};
pub use sample::{Sample, sample, sample_at, samples};
pub use settings::{RECENT_LIMIT, Settings, ThemeChoice};
pub use stamps::Stamps;
pub use store::{Restored, Store};
