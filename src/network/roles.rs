//! Roles of tensors: what the network asks for, by name.
//!
//! | role | shape |
//! | --- | --- |
//! | `<stack>.embed.tokens` | `[vocabulary, width]` |
//! | `<stack>.embed.positions`, `.embed.types` | `[rows, width]` |
//! | `<stack>.embed.norm.{weight,bias}` | `[width]` |
//! | `<stack>.embed.project.{weight,bias}` | `[D, width]` |
//! | `<stack>.embed.patch.{weight,bias}`, `.embed.class`, `.embed.distillation` | `[D, channels, h, w]`, `[1, 1, D]` |
//! | `<stack>.embed.conv1.{weight,bias}`, `.embed.conv2.{weight,bias}` | `[D, bands or D, 3]` |
//! | `<stack>.<i>.{attention,cross}.{query,key,value}.{weight,bias}` | `[heads * d, D]` |
//! | `<stack>.<i>.{attention,cross}.output.{weight,bias}` | `[D, heads * d]` |
//! | `<stack>.<i>.attention.{query_norm,key_norm}.{weight,bias}` | `[d]` |
//! | `<stack>.<i>.{attention,cross,mlp}.norm.{weight,bias}` | `[D]`, before the branch, or after the sum |
//! | `<stack>.<i>.{attention,mlp}.post_norm.{weight,bias}` | `[D]`, on the branch's result |
//! | `<stack>.<i>.{attention,mlp}.scale` | `[D]` |
//! | `<stack>.<i>.mlp.{up,gate}.{weight,bias}`, `.mlp.down.{weight,bias}` | `[inner, D]`, `[D, inner]` |
//! | `<stack>.relative` | `[buckets, heads before pruning]` |
//! | `<stack>.norm.{weight,bias}`, `<stack>.project_out` | `[D]`, `[out, D]` |
//! | `output.transform.{weight,bias}`, `output.norm.{weight,bias}` | `[width, D]`, `[width]` |
//! | `output.{weight,bias}` | `[vocabulary, width]`, `[vocabulary]` |
//!
//! `<stack>` is `encoder` or `decoder`; `<i>` is the stored layer.

use candle_core::Tensor;

use crate::error::Result;

/// Hands out tensors by role, in the shape, dtype and device that the network runs in.
pub trait Weights {
    /// The tensor with `role`; an error names what is missing.
    fn get(&self, role: &str) -> Result<Tensor>;
}
