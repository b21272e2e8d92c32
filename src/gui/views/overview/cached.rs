//! What the colours of the overview say, made once for every result and wish.

use std::collections::BTreeMap;

use super::{Paint, Sort};
use crate::analysis::{Analysis, SiteAnalysis};
use crate::chart::{ColorMap, Scale};
use crate::network::{FeatureMap, Head, Site};

/// Result, colour, order, map.
pub(super) type Key = (u64, Paint, Sort, FeatureMap);

/// What changes with neither the pointer nor the plan.
pub(super) struct Cached {
    pub key: Key,
    pub values: Option<BTreeMap<Site, Vec<f64>>>,
    pub scale: Scale,
    pub order: Option<Vec<Vec<usize>>>,
    pub groups: BTreeMap<Site, Vec<usize>>,
}

impl Cached {
    /// Of an analysis.
    pub fn of(analysis: &Analysis, key: Key) -> Self {
        let (_, paint, sort, map) = &key;
        let (sort, map) = (*sort, *map);
        let (values, scale) = match paint {
            Paint::Measure(measure) => {
                let values: BTreeMap<_, _> = measure.of_model(analysis, map).into_iter().collect();
                let scale = measure.scale(values.values().flatten().copied());
                (Some(values), scale)
            }
            Paint::Group | Paint::State => (None, Scale::new(ColorMap::Viridis, 0.0, 1.0)),
        };
        let groups = analysis.sites.iter();
        let groups = groups.filter_map(|s| Some((s.site, s.features.get(&map)?.groups.clone()))).collect();
        let mut own = Self { key, values, scale, order: None, groups };
        if sort != Sort::Index {
            own.order = Some(analysis.sites.iter().map(|site| own.sorted(site, sort, map)).collect());
        }
        own
    }

    fn sorted(&self, site: &SiteAnalysis, sort: Sort, map: FeatureMap) -> Vec<usize> {
        let mut heads: Vec<usize> = (0..site.heads).collect();
        if sort == Sort::Value && self.values.is_some() {
            // Heads without a value come last.
            let value = |head: usize| Some(self.value(Head::new(site.site, head))).filter(|v| !v.is_nan());
            heads.sort_by(|a, b| value(*b).partial_cmp(&value(*a)).unwrap_or(std::cmp::Ordering::Equal));
        } else {
            let groups = site.features.get(&map).map(|f| f.groups.as_slice()).unwrap_or(&[]);
            heads.sort_by_key(|h| groups.get(*h).copied());
        }
        heads
    }

    /// The number of a head; NaN where there is none.
    pub fn value(&self, head: Head) -> f64 {
        let of_site = self.values.as_ref().and_then(|v| v.get(&head.site));
        of_site.and_then(|v| v.get(head.head)).copied().unwrap_or(f64::NAN)
    }

    /// The group of a head on the map that is shown.
    pub fn group(&self, head: Head) -> Option<usize> {
        self.groups.get(&head.site)?.get(head.head).copied()
    }
}
