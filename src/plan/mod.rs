//! Which heads stay: proposals from an analysis, what makes them legal, and what they save.

mod document;
mod layout;
mod method;

pub use document::Plan;
pub use layout::{Layout, SiteLayout};
pub use method::{Amount, Method};
