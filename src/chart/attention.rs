//! Where heads look: attention weights over the tokens of one input.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::caption::Caption;
use super::palette::ColorMap;
use super::patches::PatchImage;
use super::raster::{Grid, Scale, Tone};
use super::table::Table;
use crate::network::Site;

/// Which weights the colors span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ColorRange {
    /// From 0 to the largest weight of each head.
    #[default]
    Head,
    /// From 0 to the largest weight of all heads shown.
    All,
    /// From 0 to the largest weight of each query.
    Query,
}

/// The pattern of one head.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionPanel {
    pub site: Site,
    /// Which head; `None` for the mean of several.
    pub head: Option<usize>,
    /// What the head does, in a word, where it was measured and has a name.
    pub kind: Option<&'static str>,
    /// Places of the first query and of the first key that are shown, among all of the input.
    pub from: [usize; 2],
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
    /// Which weights the colors span.
    pub range: ColorRange,
    /// How colors are spread over them.
    pub tone: Tone,
    /// The image whose patches are the tokens, and the query whose weights lie over it.
    pub image: Option<(PatchImage, usize)>,
}

impl AttentionPanel {
    /// Layer and head in words.
    pub fn name(&self) -> String {
        self.head
            .map_or_else(|| format!("{} mean of the heads", self.site), |head| format!("{} head {head}", self.site))
    }

    /// The same without its layer, for where that is said elsewhere.
    pub fn short_name(&self) -> String {
        self.head.map_or_else(|| "Mean of the heads".to_owned(), |head| format!("Head {head}"))
    }

    /// Its name with what the head does.
    pub fn title(&self) -> String {
        self.with_kind(self.name())
    }

    /// The same without its layer.
    pub fn short_title(&self) -> String {
        self.with_kind(self.short_name())
    }

    fn with_kind(&self, name: String) -> String {
        match self.kind {
            Some(kind) => format!("{name}, {}", kind.to_lowercase()),
            None => name,
        }
    }

    /// The part of it between two places, the last included: of queries, and of keys where these are the same tokens.
    /// Places are moved to the ends of blocks.
    #[must_use]
    pub fn between(&self, first: usize, last: usize) -> Self {
        let [down, across] = self.block();
        let cells = |per: usize, tokens: usize, cells: usize| {
            let from = (first.min(tokens.saturating_sub(1)) / per).min(cells.saturating_sub(1));
            (from, (last / per + 1).clamp(from + 1, cells.max(from + 1)))
        };
        let (top, bottom) = cells(down, self.queries.len(), self.weights.rows());
        let (left, right) = match self.queries.len() == self.keys.len() {
            true => cells(across, self.keys.len(), self.weights.cols()),
            false => (0, self.weights.cols()),
        };
        let words = |of: &[String], from: usize, to: usize| {
            Arc::new(of.get(from.min(of.len())..to.min(of.len())).unwrap_or_default().to_vec())
        };
        Self {
            from: [self.from[0] + top * down, self.from[1] + left * across],
            queries: words(&self.queries, top * down, bottom * down),
            keys: words(&self.keys, left * across, right * across),
            weights: Grid::from_fn(bottom - top, right - left, |r, c| self.weights.get(top + r, left + c)),
            ..self.clone()
        }
    }

    /// Tokens of one cell of the weights, down and across.
    pub fn block(&self) -> [usize; 2] {
        let per = |tokens: usize, cells: usize| tokens.div_ceil(cells);
        [per(self.queries.len(), self.weights.rows()), per(self.keys.len(), self.weights.cols())]
    }

    /// The first query of a row, and what it is.
    pub fn query(&self, row: usize) -> (usize, Option<&String>) {
        let place = row * self.block()[0];
        (self.from[0] + place, self.queries.get(place))
    }

    /// The first key of a column, and what it is.
    pub fn key(&self, column: usize) -> (usize, Option<&String>) {
        let place = column * self.block()[1];
        (self.from[1] + place, self.keys.get(place))
    }

    /// The weight that a query gives to a key, by their places among the tokens.
    pub fn weight(&self, query: usize, key: usize) -> f64 {
        let [down, across] = self.block();
        let [query, key] = [query.checked_sub(self.from[0]), key.checked_sub(self.from[1])];
        query.zip(key).map_or(f64::NAN, |(query, key)| self.weights.get(query / down, key / across))
    }

    /// The row of the query at a place of the input; `None` where it is not shown.
    pub fn row_of(&self, query: usize) -> Option<usize> {
        let row = query.checked_sub(self.from[0])? / self.block()[0];
        (row < self.weights.rows()).then_some(row)
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
    /// What the colors of a panel show: its weights, or those of each query as shares of the largest of them.
    pub fn shown<'a>(&self, panel: &'a AttentionPanel) -> Cow<'a, Grid> {
        if self.range != ColorRange::Query {
            return Cow::Borrowed(&panel.weights);
        }
        let grid = &panel.weights;
        let largest: Vec<f64> = (0..grid.rows())
            .map(|r| (0..grid.cols()).map(|c| grid.get(r, c)).fold(0.0, f64::max))
            .map(|high| if high > 0.0 { high } else { 1.0 })
            .collect();
        Cow::Owned(Grid::from_fn(grid.rows(), grid.cols(), |r, c| grid.get(r, c) / largest[r]))
    }

    /// The colors of a panel: from 0 to its largest weight that is shown, or to that of all panels, or to one where each
    /// query has its own. Over an image only the weights of one query are shown.
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
        let high = match self.range {
            // Over an image there is one query, whose largest weight is the head's.
            ColorRange::Query if self.image.is_none() => 1.0,
            ColorRange::Head | ColorRange::Query => high(panel),
            ColorRange::All => self.panels.iter().map(high).fold(0.0, f64::max),
        };
        Scale::new(ColorMap::Viridis, 0.0, if high > 0.0 { high } else { 1.0 }).toned(self.tone)
    }

    /// The colors that the legend explains, and what they are shares of where they are no weights.
    pub fn legend_scale(&self) -> (Scale, Option<&'static str>) {
        let own = Scale::new(ColorMap::Viridis, 0.0, 1.0).toned(self.tone);
        match (self.range, self.panels.as_slice()) {
            (ColorRange::Query, _) if self.image.is_none() => (own, Some("of the query's largest")),
            (ColorRange::Head | ColorRange::Query, [_, _, ..]) => (own, Some("of the head's largest")),
            (_, panels) => (panels.first().map_or(own, |panel| self.scale(panel)), None),
        }
    }

    /// Whether all panels are of one layer, so that their names can do without it.
    pub fn is_of_one_layer(&self) -> bool {
        self.panels.windows(2).all(|pair| pair[0].site == pair[1].site)
    }

    /// Whether all panels are of the same tokens, so that one set of words explains them all.
    pub fn has_shared_words(&self) -> bool {
        let alike = |a: &AttentionPanel, b: &AttentionPanel| {
            a.queries == b.queries && a.keys == b.keys && a.weights.rows() == b.weights.rows()
        };
        self.panels.windows(2).all(|pair| matches!(pair, [a, b] if alike(a, b)))
    }

    /// What the query at a place looks at, as the mean of the panels that show it: a weight for each of their keys, NaN
    /// for those that no panel may see. Only of panels with the same keys.
    pub fn mean_of(&self, query: usize) -> Vec<f64> {
        let rows: Vec<(&AttentionPanel, usize)> =
            self.panels.iter().filter_map(|panel| Some((panel, panel.row_of(query)?))).collect();
        let count = rows.first().map_or(0, |(panel, _)| panel.weights.cols());
        let mean = |column: usize| {
            let known = rows.iter().map(|(panel, row)| panel.weights.get(*row, column)).filter(|v| !v.is_nan());
            let (sum, n) = known.fold((0.0, 0.0), |(sum, n), v| (sum + v, n + 1.0));
            if n > 0.0 { sum / n } else { f64::NAN }
        };
        (0..count).map(mean).collect()
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
        let (queries, keys) = (words(4), words(6));
        let panel = AttentionPanel { site, head: Some(1), kind: None, from: [0, 0], queries, keys, weights };
        assert_eq!((panel.query(1), panel.key(2)), ((2, Some(&"t2".to_owned())), (4, Some(&"t4".to_owned()))));
        let mut maps = AttentionMaps {
            caption: Caption::default(),
            panels: vec![panel.clone(), AttentionPanel { weights: Grid::from_fn(2, 3, |_, _| 0.1), ..panel }],
            range: ColorRange::Head,
            tone: Tone::Linear,
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
        maps.range = ColorRange::All;
        assert_eq!((maps.scale(&maps.panels[1]).high, maps.legend_scale().0.high), (0.5, 0.5));
        // Of each query the largest weight has the last color: 0.2 of the first row, 0.5 of the second.
        maps.range = ColorRange::Query;
        let shown = maps.shown(&maps.panels[0]);
        assert_eq!([shown.get(0, 1), shown.get(1, 2), maps.scale(&maps.panels[0]).high], [0.5, 1.0, 1.0]);
    }

    #[test]
    fn a_part_keeps_its_places_and_weights() {
        let words = |n: usize| Arc::new((0..n).map(|i| format!("t{i}")).collect::<Vec<_>>());
        // Ten tokens in cells of two.
        let weights = Grid::from_fn(5, 5, |r, c| if c > r { f64::NAN } else { (10 * r + c) as f64 });
        let site = "decoder.0".parse().unwrap();
        let (queries, keys) = (words(10), words(10));
        let whole = AttentionPanel { site, head: None, kind: Some("Induction"), from: [0, 0], queries, keys, weights };
        assert_eq!(whole.title(), "decoder.0 mean of the heads, induction");
        assert_eq!(whole.short_title(), "Mean of the heads, induction");
        let part = whole.between(3, 6);
        assert_eq!((part.weights.rows(), part.weights.cols(), part.from), (3, 3, [2, 2]));
        assert_eq!((part.query(1), part.key(0)), ((4, Some(&"t4".to_owned())), (2, Some(&"t2".to_owned()))));
        for (query, key) in [(3, 2), (6, 4), (7, 7)] {
            assert_eq!(part.weight(query, key), whole.weight(query, key), "{query} {key}");
        }
        assert!(part.weight(0, 0).is_nan() && part.row_of(8).is_none());
        assert_eq!(part.row_of(5), Some(1));
        // A part of a part counts from the beginning of the input, and no part is empty.
        assert_eq!(part.between(0, 1).from, [2, 2]);
        assert_eq!(whole.between(99, 0).weights.rows(), 1);
        let maps = AttentionMaps {
            caption: Caption::default(),
            panels: vec![part.clone(), part],
            range: ColorRange::All,
            tone: Tone::Root,
            image: None,
        };
        assert!(maps.has_shared_words() && maps.is_of_one_layer());
        let mean = maps.mean_of(4);
        assert_eq!(mean[..2], [21.0, 22.0]);
        assert!(mean[2].is_nan());
    }
}
