//! Where heads look: attention weights over the tokens of one input.

use std::sync::Arc;

use super::caption::Caption;
use super::palette::ColorMap;
use super::patches::PatchImage;
use super::raster::{Grid, Scale};
use super::table::Table;
use crate::network::Site;

/// The pattern of one head.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionPanel {
    pub site: Site,
    /// Which head; `None` for the mean of several.
    pub head: Option<usize>,
    /// The `T` query tokens.
    pub queries: Arc<Vec<String>>,
    /// The `S` key tokens.
    pub keys: Arc<Vec<String>>,
    /// Weights `T x S`: rows are queries and sum to one; NaN where a position may not be seen. Of long inputs each cell is
    /// the largest weight of a block.
    pub weights: Grid,
}

/// The patterns of some heads on one input.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionMaps {
    pub caption: Caption,
    pub panels: Vec<AttentionPanel>,
    /// Whether the colors of each head end at its own largest weight.
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

    /// Tokens of one cell of the weights, down and across.
    pub fn block(&self) -> [usize; 2] {
        let per = |tokens: usize, cells: usize| tokens.div_ceil(cells);
        [per(self.queries.len(), self.weights.rows()), per(self.keys.len(), self.weights.cols())]
    }

    /// The first query of a row, and what it is.
    pub fn query(&self, row: usize) -> (usize, Option<&String>) {
        let place = row * self.block()[0];
        (place, self.queries.get(place))
    }

    /// The first key of a column, and what it is.
    pub fn key(&self, column: usize) -> (usize, Option<&String>) {
        let place = column * self.block()[1];
        (place, self.keys.get(place))
    }

    /// The weight that a query gives to a key, by their places among the tokens.
    pub fn weight(&self, query: usize, key: usize) -> f64 {
        let [down, across] = self.block();
        self.weights.get(query / down, key / across)
    }

    fn table(&self) -> Table {
        let panel = self.clone();
        let width = self.weights.cols();
        Table::made(COLUMNS, self.weights.rows() * width, move |place| {
            let (row, column) = (place / width, place % width);
            let ((query, query_token), (key, key_token)) = (panel.query(row), panel.key(column));
            vec![
                panel.site.to_string().into(),
                panel.head.into(),
                query.into(),
                key.into(),
                query_token.cloned().into(),
                key_token.cloned().into(),
                panel.weights.get(row, column).into(),
            ]
        })
    }
}

const COLUMNS: [&str; 7] = ["site", "head", "query", "key", "query_token", "key_token", "weight"];

impl AttentionMaps {
    /// The colors of a panel: from 0 to its largest weight that is shown, or to that of all panels. Over an image only the
    /// weights of one query are shown.
    pub fn scale(&self, panel: &AttentionPanel) -> Scale {
        let high = |panel: &AttentionPanel| {
            let range = match &self.image {
                Some((_, query)) => {
                    let row = query / panel.block()[0];
                    Grid::from_fn(1, panel.weights.cols(), |_, c| panel.weights.get(row, c)).range()
                }
                None => panel.weights.range(),
            };
            range.map_or(0.0, |(_, high)| high)
        };
        let high = if self.each_own_range { high(panel) } else { self.panels.iter().map(high).fold(0.0, f64::max) };
        Scale::new(ColorMap::Viridis, 0.0, if high > 0.0 { high } else { 1.0 })
    }

    /// The colors that the legend explains, and whether they are shares of each head's largest weight.
    pub fn legend_scale(&self) -> (Scale, bool) {
        let own = Scale::new(ColorMap::Viridis, 0.0, 1.0);
        match self.panels.as_slice() {
            [_, _, ..] if self.each_own_range => (own, true),
            panels => (panels.first().map_or(own, |panel| self.scale(panel)), false),
        }
    }

    pub fn table(&self) -> Table {
        let mut table = Table::new(COLUMNS);
        for panel in &self.panels {
            table.append(panel.table());
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_of_a_pooled_pattern_name_the_tokens_of_their_block() {
        let words = |n: usize| Arc::new((0..n).map(|i| format!("t{i}")).collect::<Vec<_>>());
        let weights = Grid::from_fn(2, 3, |r, c| (r * 3 + c) as f64 / 10.0);
        let site = "decoder.0".parse().unwrap();
        let panel = AttentionPanel { site, head: Some(1), queries: words(4), keys: words(6), weights };
        assert_eq!((panel.query(1), panel.key(2)), ((2, Some(&"t2".to_owned())), (4, Some(&"t4".to_owned()))));
        let mut maps = AttentionMaps {
            caption: Caption::default(),
            panels: vec![panel.clone(), AttentionPanel { weights: Grid::from_fn(2, 3, |_, _| 0.1), ..panel }],
            each_own_range: true,
            image: None,
        };
        assert_eq!(
            maps.table().row(5).unwrap()[2..],
            ["2", "4", "t2", "t4", "0.5"].map(|w| match w.parse::<f64>() {
                Ok(n) if w.contains('.') => n.into(),
                Ok(n) => (n as usize).into(),
                Err(_) => w.into(),
            })
        );
        assert_eq!((maps.scale(&maps.panels[0]).high, maps.scale(&maps.panels[1]).high), (0.5, 0.1));
        assert_eq!(maps.legend_scale().0.high, 1.0);
        maps.each_own_range = false;
        assert_eq!((maps.scale(&maps.panels[1]).high, maps.legend_scale().0.high), (0.5, 0.5));
    }
}
