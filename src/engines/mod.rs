//! Files that other engines open: a model, whole or pruned, becomes a file in the engine's own format and is proven
//! before it gets its name.
//!
//! [`forecast()`] says what a file would be, [`write()`] makes it. Both take what a plan leaves as a
//! [`Remainder`](crate::pruning::Remainder), and leave the same record as an export in Hugging Face layout.
//!
//! | module | job |
//! | --- | --- |
//! | `draft` | one way to write, prove and record for every engine |
//! | [`gguf`] | llama.cpp and what is built on it |
//! | [`onnx`] | ONNX Runtime and what is built on it |

mod draft;
pub mod gguf;
pub mod onnx;
#[cfg(test)]
mod testing;

pub use draft::{EngineDraft, EngineOptions, export, forecast, write};
