//! Files that other engines open: a model, whole or pruned, becomes a file in the engine's own format and is proven
//! before it gets its name.
//!
//! [`forecast()`] says what a file would be, [`write()`] makes it. Both take what a plan leaves as a
//! [`Remainder`](crate::pruning::Remainder), and leave the same record as an export in Hugging Face layout.
//!
//! What engines compute of the files is in `engines.md` beside this module, and comes from `tests/with_engines.py`.
//!
//! | module | job |
//! | --- | --- |
//! | `draft` | one way to write, prove and record for every engine |
//! | [`ct2`] | CTranslate2 and what is built on it |
//! | [`gguf`] | llama.cpp and what is built on it |
//! | [`onnx`] | ONNX Runtime and what is built on it |
//! | `convention`, `rope`, `quantization` | weights and rotary positions as engines want them, ways to store |
//! | `instead` | what to choose where an engine does not compute a model |
//! | `room` | what writing and proving a file takes of memory |
//! | `special_tokens` | what files call special tokens |
//! | `written` | what a written file holds, as weights of a network |

mod convention;
pub mod ct2;
mod draft;
pub mod gguf;
mod instead;
pub mod onnx;
mod options;
mod quantization;
mod room;
mod rope;
mod special_tokens;
#[cfg(test)]
mod testing;
mod written;

pub use draft::{EngineDraft, export, forecast, write};
pub use options::EngineOptions;
pub use quantization::Quantization;
