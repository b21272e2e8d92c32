//! Parts used in several places.

mod background;
mod cell;
mod color_bar;
mod command_button;
mod empty;
mod facts;
mod fault;
mod folder_field;
mod head_grid;
mod held;
mod legend;
mod matrix;
mod number;
mod pickers;
mod plot;
mod read;
mod seed;
mod slide;

pub(super) use background::Background;
pub(super) use cell::wrapped_cell;
pub(super) use color_bar::color_bar;
pub(super) use command_button::{command_button, command_item};
pub(super) use empty::{empty, needs_run};
pub(super) use facts::{
    OF_A_COLUMN, explained, explained_as, fact, facts, five_digits, headers, heading, naming, note, number_cell,
    number_table, show_bars,
};
pub(super) use fault::fault;
pub(super) use folder_field::folder_field;
pub(super) use head_grid::{HeadCell, HeadGrid, Pointed, Summary};
pub(super) use held::held;
pub(super) use legend::{Swatch, group_legend, swatch};
pub(super) use matrix::{MatrixTexture, cell_at, paint_texture};
pub(super) use number::{drag_value, edited};
pub(super) use pickers::{choice, feature_picker, site_picker};
pub(super) use plot::{Painted, PlotView};
pub(super) use read::read_list;
pub(super) use seed::seed_field;
pub(super) use slide::slide;
