//! The window, driven by labels, roles and keys as a person would drive it.
#![cfg(feature = "gui")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod beside;
mod budget;
mod desk;
mod explained;
mod flows;
mod gallery;
#[path = "../common/hub.rs"]
mod hub;
#[cfg(feature = "hub")]
mod hub_download;
#[cfg(feature = "hub")]
#[path = "../common/hub_server.rs"]
mod hub_server;
mod in_use;
mod keyboard;
#[path = "../common/large.rs"]
mod large;
mod large_image;
mod layers;
mod leaks;
mod legible;
mod outcomes;
mod paths;
mod pictures;
mod repair;
mod rest;
mod rows;
mod same;
mod same_job;
mod scale;
mod settings;
mod sizes;
mod soak;
mod spoken;
mod steady;
mod stopping;
mod tabs;
mod training;
mod understood;
mod undone;
#[path = "../common/varied.rs"]
mod varied;
mod workspaces;

#[global_allocator]
static ALLOCATOR: in_use::CountedSystem = in_use::CountedSystem;
