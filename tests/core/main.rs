//! The library: every room against references that were computed elsewhere, and whole runs of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

#[path = "../common/mod.rs"]
mod common;

mod analysis;
mod architecture;
mod circles;
mod config_sweep;
mod corpus_audio;
mod corpus_data;
mod corpus_images;
mod corpus_sentences;
mod corpus_text;
mod corpus_tokens;
mod costs;
mod curves;
mod decoder_starts;
mod dependencies;
mod edges;
mod evaluation;
mod experiment;
mod export;
mod export_formats;
mod gguf;
mod heads;
mod hub;
#[cfg(feature = "hub")]
mod hub_download;
#[cfg(feature = "hub")]
#[path = "../common/hub_server.rs"]
mod hub_server;
mod lm_eval;
mod masked_fit;
mod names;
mod opening;
mod parity;
mod patience;
mod pickled;
mod precision;
mod pretrained;
mod progress;
mod published;
mod repair;
mod repair_families;
mod repair_reference;
mod rounds;
mod spelling;
mod streaming;
mod tasks;
mod tied;
mod tokenizers;
mod towers;
mod train_run;
mod training;
mod variants;
