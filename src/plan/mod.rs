//! Which heads stay: proposals from an analysis, what makes them legal, and what they save.

mod budget;
mod control;
mod cost;
mod document;
mod layer;
mod method;
mod propose;
mod request;
mod shape;
mod snap;

pub(crate) use budget::nearest;
pub use control::{CONTROL, random_like};
pub use cost::{Cost, Saving, apply, smallest};
pub use document::{Explained, Plan};
pub use method::{Amount, Method, Ranking};
pub use propose::propose;
pub use request::PlanRequest;
pub(crate) use request::check_amount;
pub use shape::{Shape, SiteShape};
pub use snap::snap;
