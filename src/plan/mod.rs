//! Which heads stay: proposals from an analysis, what makes them legal, and what they save.

mod budget;
mod control;
mod cost;
mod document;
mod layer;
mod method;
mod paired;
mod pin;
mod propose;
mod quality_budget;
mod request;
mod shape;
mod snap;
mod why;

pub(crate) use budget::nearest;
pub use control::{CONTROL, CONTROL_DRAWS, random_like};
pub use cost::{Cost, Saving, apply, smallest};
pub use document::{Explained, Plan};
pub use method::{Amount, Method, Ranking};
pub use paired::PairedCounts;
pub use pin::{heads_of_kinds, pin, pin_beside, record_kinds};
pub use propose::propose;
pub use quality_budget::{BudgetRecord, BudgetStep, QualityBudget, TOKEN_LOSS, scored_words};
pub use request::PlanRequest;
pub(crate) use request::{check_amount, evidence_notes, is_unknown};
pub use shape::{Shape, SiteShape};
pub use snap::snap;
pub use why::{why, why_at};
