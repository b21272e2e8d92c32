//! Files that other engines open: a model, whole or pruned, becomes a file in the engine's own format and is proven
//! before it gets its name.
//!
//! | module | job |
//! | --- | --- |
//! | [`onnx`] | ONNX Runtime and what is built on it |

pub mod onnx;
