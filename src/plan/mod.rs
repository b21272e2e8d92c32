//! Which heads stay: proposals from an analysis, what makes them legal, and what they save.

mod document;
mod method;
mod shape;

pub use document::Plan;
pub use method::{Amount, Method};
pub use shape::{Shape, SiteShape};
