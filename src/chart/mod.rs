//! What pictures show, independent of the painter: the files of [`figure`](crate::figure) and the window read the same
//! descriptions, which are built once from results.
//!
//! | module | job |
//! | --- | --- |
//! | [`color`], [`palette`], [`theme`], [`ink`] | colors: contrast, color maps, groups, names for light and dark |
//! | [`number`], [`axis`], [`tree`] | numbers as text, ticks, dendrograms |
//! | [`raster`] | matrices to pixels: ranges, pooling, ordering by group |
//! | [`plot`] | two axes with series, marks, bars, bands and reference lines |
//! | [`table`], [`sift`] | every number of a picture as rows, written as CSV; sorted and filtered |
//! | [`terms`] | what the words over and beside numbers mean |
//! | [`measure`] | one number per head: what colors can show of an analysis |
//! | [`lens`], [`curves`], [`training`], [`saving`] | the pictures of an analysis, of quality curves, of a run, of a plan |
//! | [`picture`], [`view`] | all of them as one type; the pictures of an analysis by name |

mod attention;
pub mod axis;
mod caption;
pub mod color;
mod cost;
pub mod curves;
mod groups;
pub mod ink;
mod layers;
pub mod lens;
pub mod measure;
pub mod number;
mod overview;
pub mod palette;
mod patches;
pub mod picture;
pub mod plot;
mod quality;
pub mod raster;
mod repair;
pub mod saving;
mod scores;
mod settling;
mod side_by_side;
pub mod sift;
pub mod similarity;
pub mod table;
pub mod terms;
pub mod theme;
mod tradeoff;
pub mod training;
pub mod tree;
pub mod view;
mod votes;

pub use attention::{AttentionMaps, AttentionPanel, ColorRange};
pub use caption::Caption;
pub use color::Rgb;
pub use cost::{CostBars, CostRow};
pub use curves::{CurveView, Price};
pub use groups::GroupMap;
pub use ink::Ink;
pub use layers::LayerBars;
pub use lens::Lens;
pub use measure::Measure;
pub use number::Unit;
pub use overview::{Order, Overview, OverviewRow, Paint};
pub use palette::{ColorMap, GroupStyle, Marker};
pub use patches::PatchImage;
pub use picture::{Picture, Request, build};
pub use plot::Plot;
pub use quality::{FrontPoint, MethodCurve, QualityCurves, RandomPoint};
pub use raster::{Grid, Pool, Raster, Scale, Tone, order_by_group};
pub use repair::{RepairBars, RepairRow};
pub use scores::GroupScores;
pub use settling::Settling;
pub use side_by_side::{AgreementRow, SideBySide};
pub use similarity::{Likeness, Similarity};
pub use table::Table;
pub use theme::Theme;
pub use tradeoff::TradeOff;
pub use training::{TrainingCurves, TrainingPlot};
pub use tree::Tree;
pub use view::{ANALYSIS_VIEWS, AnalysisView, HeadColor};
pub use votes::VoteBars;
