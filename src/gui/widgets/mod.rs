//! Parts used in several places.

mod command_button;
mod facts;
mod format;
mod head_grid;
mod legend;

pub use command_button::{command_button, command_item};
pub use facts::{fact, facts, heading, note};
pub use format::{bytes, count};
pub use head_grid::{Cell, HeadGrid, Pointed};
pub use legend::swatch;
