//! Checkpoints from which heads were removed.

use std::collections::BTreeMap;

use crate::checkpoint::Config;
use crate::error::{Error, Result};
use crate::network::{AttentionSpec, Kept, NetworkSpec, Site, SiteKind};

/// The key of `config.json` under which a compact checkpoint says which heads it kept:
/// `{"pillars": {"kept": {"encoder.0": [0, 3]}}}`, by the indices of the original model.
pub const KEPT_KEY: &str = "pillars";

/// Narrows `spec` to the heads in `kept` (original indices); sites not named keep all.
pub fn apply_kept(spec: &mut NetworkSpec, kept: &Kept) -> Result<()> {
    kept.check(|site| spec.heads_at(site))?;
    for (site, heads) in kept.iter() {
        let Some(attention) = spec.attention_mut(site) else { continue };
        if attention.couples_heads() && heads.len() < attention.heads {
            return Err(Error::new(format!(
                "no head can be removed from {site}: queries and keys are normalized over all heads together"
            ))
            .hint("mask the heads instead"));
        }
        let per_kv = attention.queries_per_kv();
        let mut served: BTreeMap<usize, usize> = BTreeMap::new();
        for head in heads {
            *served.entry(head / per_kv).or_default() += 1;
        }
        let mut counts = served.values();
        let first = counts.next().copied().unwrap_or(0);
        if counts.any(|c| *c != first) {
            return Err(Error::new(format!(
                "{site} keeps {heads:?}, which leaves key/value heads with unequal numbers of query heads"
            )));
        }
        attention.origin = heads.iter().filter_map(|h| attention.origin.get(*h).copied()).collect();
        attention.heads = heads.len();
        attention.kv_heads = served.len();
    }
    // Passes that read one layer (ALBERT) read the same heads of it.
    let sites: Vec<_> = spec.sites().into_iter().map(|(site, a)| (site.kind, spec.stored_layer(site), a)).collect();
    for (i, (kind, stored, attention)) in sites.iter().enumerate() {
        let same_layer = |(k, s, _): &&(SiteKind, Option<usize>, &AttentionSpec)| (k, s) == (kind, stored);
        if let Some((.., first)) = sites[..i].iter().find(same_layer)
            && first.origin != attention.origin
        {
            let what = format!("{}s that share layer {} keep different heads", kind.name(), stored.unwrap_or(0));
            return Err(Error::new(what).hint("keep the same heads in all of them"));
        }
    }
    Ok(())
}

/// What of `kept` can be removed: sites whose heads depend on each other keep all of them, for there heads can be masked
/// only.
pub fn removable(spec: &NetworkSpec, kept: &Kept) -> Kept {
    let is_free = |site| spec.attention(site).is_none_or(|a| !a.couples_heads());
    kept.iter().filter(|(site, _)| is_free(*site)).map(|(site, heads)| (site, heads.iter().copied())).collect()
}

/// Which heads the checkpoint of `config` kept, where it says so.
pub(super) fn read_kept(config: &Config, spec: &NetworkSpec) -> Result<Kept> {
    let section = config.section(KEPT_KEY);
    if let Some(kept) = section.as_ref().and_then(|s| s.get("kept").cloned()) {
        // What is written beside it says no more: the version of the section, the same heads for transformers 4.x, and the name
        // of the code for MLX.
        config.settle(&["pruned_heads", "model_file"]);
        section.iter().for_each(|section| section.settle(&["version"]));
        return serde_json::from_value(kept).map_err(|e| config.unsupported(format!("'pillars.kept' is broken: {e}")));
    }
    // transformers 4.x writes {"0": [removed heads]} for single-stack models.
    let Some(pruned) = config.get("pruned_heads").and_then(|v| v.as_object()) else { return Ok(Kept::all()) };
    let kind = if spec.encoder.is_some() { SiteKind::Encoder } else { SiteKind::Decoder };
    let mut kept = Kept::all();
    for (layer, removed) in pruned {
        let wrong = || config.wrong("pruned_heads", "{layer: [heads]}");
        let site = Site::new(kind, layer.parse().map_err(|_| wrong())?);
        let removed: Vec<usize> = serde_json::from_value(removed.clone()).map_err(|_| wrong())?;
        let heads = spec.attention(site).ok_or_else(wrong)?.heads;
        kept.set(site, (0..heads).filter(|h| !removed.contains(h)));
    }
    Ok(kept)
}
