//! Parts used in several places.

mod background;
mod color_bar;
mod command_button;
mod empty;
mod facts;
mod head_grid;
mod legend;
mod matrix;
mod pickers;
mod plot;
mod slide;

pub use background::Background;
pub use color_bar::color_bar;
pub use command_button::{command_button, command_item};
pub use empty::{empty, needs_run};
pub use facts::{fact, facts, heading, note};
pub use head_grid::{HeadCell, HeadGrid, Pointed, Summary};
pub use legend::{Swatch, group_legend, swatch};
pub use matrix::{MatrixTexture, cell_at, paint_texture};
pub use pickers::{choice, feature_picker, site_picker};
pub use plot::{Painted, PlotView};
pub use slide::slide;
