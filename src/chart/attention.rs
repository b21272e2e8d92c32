//! Where heads look: attention weights over the tokens of one input.

use std::sync::Arc;

use super::caption::Caption;
use super::patches::PatchImage;
use super::raster::Grid;
use super::table::Table;

/// The pattern of one head.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionPanel {
    /// `decoder.3` and so on.
    pub site: String,
    /// Which head; `None` for the mean of several.
    pub head: Option<usize>,
    /// Weights `T x S`: rows are queries and sum to one; NaN where a position may not be seen.
    pub weights: Grid,
}

/// The patterns of some heads on one input.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionMaps {
    /// Words around it.
    pub caption: Caption,
    /// The `T` query tokens.
    pub queries: Vec<String>,
    /// The `S` key tokens.
    pub keys: Vec<String>,
    /// The heads.
    pub panels: Vec<AttentionPanel>,
    /// Whether the colours of each head end at its own largest weight.
    pub each_own_range: bool,
    /// The image whose patches are the tokens, and the query whose weights lie over it.
    pub image: Option<(PatchImage, usize)>,
}

impl AttentionPanel {
    /// Layer and head in words.
    pub fn name(&self) -> String {
        self.head
            .map_or_else(|| format!("{} mean of the heads", self.site), |head| format!("{} head {head}", self.site))
    }

    /// The largest weight; 1 where there is none.
    pub fn high(&self) -> f64 {
        self.weights.range().map_or(1.0, |(_, high)| if high > 0.0 { high } else { 1.0 })
    }
}

impl AttentionMaps {
    /// Every weight.
    pub fn table(&self) -> Table {
        let columns = ["site", "head", "query", "key", "query_token", "key_token", "weight"];
        let mut table = Table::new(columns);
        let (queries, keys) = (Arc::new(self.queries.clone()), Arc::new(self.keys.clone()));
        for panel in &self.panels {
            let (panel, queries, keys) = (panel.clone(), Arc::clone(&queries), Arc::clone(&keys));
            let width = panel.weights.cols();
            table.append(Table::made(columns, panel.weights.rows() * width, move |place| {
                let (q, k) = (place / width, place % width);
                vec![
                    panel.site.as_str().into(),
                    panel.head.into(),
                    q.into(),
                    k.into(),
                    queries.get(q).cloned().into(),
                    keys.get(k).cloned().into(),
                    panel.weights.get(q, k).into(),
                ]
            }));
        }
        table
    }
}
