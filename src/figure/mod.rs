//! Pictures and tables without a window: the command line and the window draw and export through this room.
//!
//! | module | job |
//! | --- | --- |
//! | [`color`], [`palette`], [`theme`] | colours: contrast, colour maps, groups, names for light and dark |
//! | [`raster`] | matrices to pixels: ranges, pooling, ordering by group |
//! | [`number`], [`axis`], [`tree`] | numbers as text, ticks, dendrograms |
//! | [`font`], [`scene`] | text that is measured, shapes that make a picture |
//! | `page`, [`plot`], [`views`] | the frame of a figure, plots, every picture from plain inputs |
//! | `svg`, [`table`], [`export`] | pictures as SVG and PNG, their numbers as CSV |
//! | [`measure`], [`build`](mod@build) | numbers per head, pictures of an analysis |

pub mod axis;
pub mod build;
pub mod color;
pub mod export;
pub mod font;
pub mod measure;
pub mod number;
mod page;
pub mod palette;
pub mod plot;
pub mod raster;
pub mod scene;
mod svg;
pub mod table;
pub mod theme;
pub mod tree;
pub mod views;

pub use build::{CurveView, Lens, Price, Request, View, build};
pub use color::Rgb;
pub use export::{DEFAULT_SCALE, Figure, Format, claim, write};
pub use measure::Measure;
pub use number::Unit;
pub use page::Caption;
pub use palette::{ColorMap, GroupStyle, Marker};
pub use raster::{Grid, Pool, Raster, Scale, order_by_group};
pub use scene::Scene;
pub use svg::to_svg;
pub use table::Table;
pub use theme::Theme;
