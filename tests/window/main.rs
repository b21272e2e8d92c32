//! The window, driven by labels, roles and keys as a person would drive it.
#![cfg(feature = "gui")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod desk;
mod flows;
mod keyboard;
mod paths;
mod pictures;
mod spoken;
mod workspaces;
