//! What a person works on, without a window: the plans being edited with their history, application settings,
//! and the jobs that a front end hands to workers.
//!
//! | module | job |
//! | --- | --- |
//! | `draft` | named plans, pinned heads |
//! | `history` | undo and redo with names |
//! | `settings` | theme, zoom, recent models; survives a bad field |
//! | `store` | where settings and the autosaved workspace lie |
//! | `sample` | the bundled model |
//! | `job` | every piece of long work, in one place |

mod draft;
mod history;
pub mod job;
mod sample;
mod settings;
mod store;

pub use draft::{Draft, HeadRef, NamedPlan};
pub use history::History;
pub use job::{ModelFacts, Opened};
pub use sample::{Sample, sample};
pub use settings::{RECENT_LIMIT, Settings, ThemeChoice};
pub use store::Store;
