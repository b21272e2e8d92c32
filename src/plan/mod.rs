//! Which heads stay: proposals from an analysis, what makes them legal, and what they save.

mod budget;
mod control;
mod cost;
mod document;
mod layer;
mod method;
mod propose;
mod shape;
mod snap;

pub(crate) use budget::nearest;
pub use control::{CONTROL, random_like};
pub use cost::{Cost, Saving, apply, smallest};
pub use document::Plan;
pub use method::{Amount, Method, Ranking};
pub(crate) use propose::check_amount;
pub use propose::{PlanRequest, propose};
pub use shape::{Shape, SiteShape};
pub use snap::snap;
