//! Sizes by which the tensors of a GGUF file are laid out.

use super::keys::GgufKeys;
use crate::error::{Error, Result};
use crate::network::{Kept, Site, SiteKind};

/// Sizes by which the tensors of a file are laid out.
pub(super) struct GgufShape {
    pub(super) layers: usize,
    pub(super) head_dim: usize,
    pub(super) heads: Vec<usize>,
    pub(super) kv_heads: Vec<usize>,
}

impl GgufShape {
    pub(super) fn read(keys: &GgufKeys<'_>) -> Result<Self> {
        let layers = keys.size("block_count")?;
        if layers > keys.file.names().len() {
            return Err(
                keys.wrong("block_count", &format!("for the {} tensors that there are", keys.file.names().len()))
            );
        }
        let width = keys.size("embedding_length")?;
        let heads = keys.sizes("attention.head_count", layers)?;
        let heads = heads.ok_or_else(|| keys.wrong("attention.head_count", "a number"))?;
        let kv_heads = keys.sizes("attention.head_count_kv", layers)?.unwrap_or_else(|| heads.clone());
        let first = heads.first().copied().unwrap_or(0);
        if let Some(layer) = heads.iter().zip(&kv_heads).position(|(q, kv)| *q == 0 || *kv == 0) {
            let what = format!("layer {layer} has no attention, which is not supported");
            return Err(Error::new(what).at(keys.file.path()));
        }
        let head_dim = match keys.size_opt("attention.key_length")? {
            Some(dim) => dim,
            None => width.checked_div(first).unwrap_or(0),
        };
        if head_dim == 0 || keys.size_opt("attention.value_length")?.is_some_and(|value| value != head_dim) {
            return Err(keys.wrong("attention.value_length", "the width of keys"));
        }
        Ok(Self { layers, head_dim, heads, kv_heads })
    }

    /// Heads and key/value heads of the widest layer, and what the others keep of them; none where all are alike.
    pub(super) fn kept(&self, keys: &GgufKeys<'_>) -> Result<([usize; 2], Option<Kept>)> {
        let pairs = || self.heads.iter().copied().zip(self.kv_heads.iter().copied());
        let most_kv = self.kv_heads.iter().copied().max().unwrap_or(1);
        if pairs().any(|(heads, kv)| heads % kv != 0) {
            return Err(keys.wrong("attention.head_count", "a multiple of the key/value heads"));
        }
        let served = pairs().map(|(heads, kv)| heads / kv).max().unwrap_or(1);
        let widest = [served.saturating_mul(most_kv), most_kv];
        if pairs().all(|(heads, kv)| [heads, kv] == widest) {
            return Ok((widest, None));
        }
        const MOST: usize = 1 << 16;
        if widest[0] > MOST {
            return Err(keys.wrong("attention.head_count", "a number of heads that a layer has"));
        }
        let mut kept = Kept::all();
        for (layer, (heads, kv)) in pairs().enumerate() {
            let group = heads / kv;
            let own = (0..kv).flat_map(|kv| kv * served..kv * served + group);
            kept.set(Site::new(SiteKind::Decoder, layer), own);
        }
        Ok((widest, Some(kept)))
    }
}
