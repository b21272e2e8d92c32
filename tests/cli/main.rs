//! The command line as a script sees it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod books;
mod cluster;
#[path = "../common/mod.rs"]
mod common;
mod contract;
mod conventions;
mod export_kill;
mod formats;
mod guide;
mod hub;
#[cfg(feature = "hub")]
#[path = "../common/hub_server.rs"]
mod hub_server;
mod plan;
mod readme;
mod reference;
mod repair;
mod safety;
mod threads;
mod told;
