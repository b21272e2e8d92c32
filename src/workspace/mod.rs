//! What a person works on, without a window: the saved document, the plans being edited with their history, and the
//! settings of the program.
//!
//! | module | job |
//! | --- | --- |
//! | `document` | the saved document |
//! | `draft` | named plans, pinned heads |
//! | `history` | undo and redo with names |
//! | `moved` | an input that was moved with its workspace or its model |
//! | `outlook` | what a plan would do |
//! | `repairs` | repairs beside the saved document |
//! | `settings` | theme, zoom, recent models; survives a bad field |
//! | `store` | where settings and the autosaved workspace lie |
//! | `stamps` | whether a file is still as this window left it |
//! | `tidy` | removes stale autosaves |
//! | `sample` | the bundled models |
//! | `open` | whatever lies at a path: a model, a workspace, a plan, an analysis, an input |

mod beside;
mod document;
mod draft;
mod history;
mod moved;
mod open;
mod outlook;
mod repairs;
mod sample;
mod settings;
mod stamps;
mod store;
mod tidy;

pub use beside::write_moments;
pub use document::{ModelRef, Workspace};
pub use draft::{Draft, LayerPlan, NamedPlan, Proposal};
pub use history::{ClosedHistories, History};
pub use open::{OpenedPath, open_place, open_workspace};
pub use outlook::{ComparedPlan, Outlook};
pub use repairs::KeptRepair;
pub use sample::{Sample, sample, sample_at, samples};
pub use settings::{PictureColors, PictureLook, ProgramSettings, RECENT_LIMIT, ThemeChoice};
pub use stamps::Stamps;
pub use store::{Restored, Store};
