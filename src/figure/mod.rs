//! Pictures and tables without a window: the command line and the window draw and export through this room.
//!
//! | module | job |
//! | --- | --- |
//! | [`color`] | sRGB colours, Oklab, contrast, colour-blind simulation |
//! | [`palette`] | colour maps and the colours of groups |
//! | [`theme`] | the named colours of a light and a dark figure |
//! | [`raster`] | matrices to pixels: ranges, pooling, ordering by group |

pub mod color;
pub mod palette;
pub mod raster;
pub mod theme;

pub use color::Rgb;
pub use palette::{ColorMap, GroupStyle};
pub use raster::{Grid, Pool, Raster, Scale};
pub use theme::Theme;
