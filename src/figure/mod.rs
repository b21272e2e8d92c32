//! Pictures and tables as files: paints what [`chart`](crate::chart) describes, for the command line and for the exports of
//! the window.
//!
//! | module | job |
//! | --- | --- |
//! | [`font`], [`scene`] | text that is measured, shapes that make a picture |
//! | `page`, `plot`, `views` | the frame of a figure, plots, every picture |
//! | `svg`, [`export`] | pictures as SVG and PNG, their numbers as CSV |

pub mod export;
pub mod font;
mod page;
#[cfg(test)]
mod picture_tests;
mod plot;
pub mod scene;
mod svg;
mod views;

pub use export::{DEFAULT_SCALE, Figure, FigureFormat, PictureSize, Sheet, claim, claim_of, write};
pub use scene::Scene;
pub use svg::to_svg;
