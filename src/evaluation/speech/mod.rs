//! Transcripts of speech, and how far they are from what was said.

mod english;
mod numbers;
mod rates;
mod transcribe;

pub use english::TranscriptNormalizer;
pub(super) use rates::{character_error_rate, word_error_rate};
pub(super) use transcribe::transcribe;
