//! The attention layers that a plan is about.

use crate::analysis::Analysis;
use crate::network::{NetworkSpec, Site, SiteKind};

/// Shape of one attention layer, as far as a plan must know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SiteShape {
    /// The attention layer that this describes.
    pub site: Site,
    /// The number `H` of query heads.
    pub heads: usize,
    /// Key/value heads; query head `h` reads `h / (heads / kv_heads)`.
    pub kv_heads: usize,
    /// The stored layer that holds its weights.
    pub stored: usize,
}

impl SiteShape {
    /// Query heads per key/value head; 1 where the layer has lost all heads.
    pub fn queries_per_kv(&self) -> usize {
        self.heads.checked_div(self.kv_heads).unwrap_or(1)
    }
}

/// All attention layers of a model; made from a [`NetworkSpec`] or, where there is no model at hand, an [`Analysis`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    sites: Vec<SiteShape>,
}

impl Shape {
    /// Every layer, in the order of the source.
    pub fn sites(&self) -> &[SiteShape] {
        &self.sites
    }

    /// The entry of the layer `site`.
    pub fn get(&self, site: Site) -> Option<&SiteShape> {
        self.sites.iter().find(|s| s.site == site)
    }

    /// Layers by the weights they read: those in one list must keep the same heads.
    pub fn shared(&self) -> Vec<Vec<SiteShape>> {
        let mut classes: Vec<((SiteKind, usize), Vec<SiteShape>)> = Vec::new();
        for site in &self.sites {
            let key = (site.site.kind, site.stored);
            match classes.iter_mut().find(|(k, _)| *k == key) {
                Some((_, class)) => class.push(*site),
                None => classes.push((key, vec![*site])),
            }
        }
        classes.into_iter().map(|(_, class)| class).collect()
    }
}

impl From<&NetworkSpec> for Shape {
    fn from(spec: &NetworkSpec) -> Self {
        let sites = spec.sites().into_iter().map(|(site, attention)| SiteShape {
            site,
            heads: attention.heads,
            kv_heads: attention.kv_heads,
            stored: spec.stored_layer(site).unwrap_or(site.layer),
        });
        Self { sites: sites.collect() }
    }
}

impl From<&Analysis> for Shape {
    fn from(analysis: &Analysis) -> Self {
        let sites = analysis.sites.iter().map(|s| SiteShape {
            site: s.site,
            heads: s.heads,
            kv_heads: s.kv_heads,
            stored: s.stored_layer,
        });
        Self { sites: sites.collect() }
    }
}

impl From<&Self> for Shape {
    fn from(shape: &Self) -> Self {
        shape.clone()
    }
}

impl FromIterator<SiteShape> for Shape {
    fn from_iter<I: IntoIterator<Item = SiteShape>>(sites: I) -> Self {
        Self { sites: sites.into_iter().collect() }
    }
}
