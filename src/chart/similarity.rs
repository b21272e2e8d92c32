//! How alike the heads of one layer are: a matrix ordered by group under its tree.

use strum::{IntoStaticStr, VariantArray};

use super::caption::Caption;
use super::palette::ColorMap;
use super::raster::{Grid, Scale, order_by_group};
use super::table::Table;
use super::tree::{Tree, grouped};
use crate::analysis::{Gram, Metric};

/// The heading over heads or pairs that [`Similarity::most_alike`] would put first.
pub const MOST_ALIKE: &str = "Most alike or opposite";

/// What a number between two heads says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "lowercase")]
pub enum Likeness {
    /// Cosine of the angle between their maps: 1 alike, 0 unrelated, -1 opposite.
    Cosine,
    /// Euclidean distance between their maps: 0 equal.
    Distance,
    /// Linear centered kernel alignment (Kornblith et al. 2019): 1 alike up to rotation and scale, 0 unrelated.
    Cka,
}

impl Likeness {
    pub const ALL: &[Self] = <Self as VariantArray>::VARIANTS;

    /// The word used for views and columns.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The words beside the colors.
    pub fn label(self) -> &'static str {
        match self {
            Self::Cosine => "Cosine",
            Self::Distance => "Distance",
            Self::Cka => "Linear CKA",
        }
    }

    /// The colors of a matrix of this kind.
    pub fn scale(self, matrix: &Grid) -> Scale {
        match self {
            Self::Cosine => Scale::new(ColorMap::BlueRed, -1.0, 1.0),
            Self::Cka => Scale::new(ColorMap::Viridis, 0.0, 1.0),
            Self::Distance => {
                let high = matrix.range().map_or(1.0, |(_, high)| high);
                Scale::new(ColorMap::Viridis, 0.0, if high > 0.0 { high } else { 1.0 })
            }
        }
    }

    /// How far apart heads with this number are.
    pub fn distance(self, value: f64) -> f64 {
        match self {
            Self::Cosine | Self::Cka => 1.0 - value,
            Self::Distance => value,
        }
    }
}

/// The heads of one layer against each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Similarity {
    pub caption: Caption,
    /// `encoder.0` and so on, for the table.
    pub site: String,
    /// `H x H` in the order of heads; NaN where a head has no direction.
    pub matrix: Grid,
    /// What the numbers say.
    pub likeness: Likeness,
    /// Group of each head.
    pub groups: Vec<usize>,
    /// Heads that stay; `None` before anything is decided.
    pub kept: Option<Vec<usize>>,
    /// Whether heads stand as they are numbered, without a tree.
    pub by_index: bool,
    /// The tree over the heads; small pictures have none.
    pub tree: Option<Tree>,
}

impl Similarity {
    /// The same under its tree, where heads stand by group.
    #[must_use]
    pub fn with_tree(self) -> Self {
        let tree =
            (!self.by_index).then(|| grouped(&self.groups, |i, j| self.likeness.distance(self.matrix.get(i, j))));
        let caution = tree.as_ref().and_then(Tree::caution);
        let caption = caution.into_iter().fold(self.caption.clone(), Caption::note);
        Self { caption, tree, ..self }
    }

    /// The same with its heads as they are numbered, or by group; the words say which.
    #[must_use]
    pub fn ordered(mut self, by_index: bool) -> Self {
        self.by_index = by_index;
        self.caption.subtitle += if by_index { " · ordered by index" } else { " · ordered by group" };
        self
    }

    /// Heads from left to right.
    pub fn order(&self) -> Vec<usize> {
        match &self.tree {
            _ if self.by_index => (0..self.groups.len()).collect(),
            Some(tree) => tree.order.clone(),
            None => order_by_group(&self.groups),
        }
    }

    /// The colors of the matrix.
    pub fn scale(&self) -> Scale {
        self.likeness.scale(&self.matrix)
    }

    /// Whether a head stays; each does before anything is decided.
    pub fn keeps(&self, head: usize) -> bool {
        self.kept.as_ref().is_none_or(|kept| kept.contains(&head))
    }

    /// The pairs of heads that are most alike, the most alike first: two heads and the number between them. Opposite heads are
    /// alike, as [`super::Measure::Redundancy`] counts: one does what the other does, turned round.
    pub fn most_alike(&self, count: usize) -> Vec<(usize, usize, f64)> {
        let heads = self.groups.len();
        let pairs = (0..heads).flat_map(|i| (i + 1..heads).map(move |j| (i, j)));
        let value = |(i, j): (usize, usize)| Some((i, j, self.matrix.get(i, j))).filter(|p| p.2.is_finite());
        let mut pairs: Vec<(usize, usize, f64)> = pairs.filter_map(value).collect();
        let size = |value: f64| if self.likeness == Likeness::Cosine { value.abs() } else { value };
        let distance = |pair: &(usize, usize, f64)| self.likeness.distance(size(pair.2));
        pairs.sort_by(|a, b| distance(a).total_cmp(&distance(b)));
        pairs.truncate(count);
        pairs
    }

    /// Every number of the matrix.
    pub fn table(&self) -> Table {
        let columns = ["site", "head", "other_head", "group", "other_group", self.likeness.name()];
        let (site, groups, matrix) = (self.site.clone(), self.groups.clone(), self.matrix.clone());
        let heads = groups.len();
        Table::made(columns, heads * heads, move |place| {
            let (i, j) = (place / heads, place % heads);
            let [mine, other] = [groups[i].into(), groups[j].into()];
            vec![site.as_str().into(), i.into(), j.into(), mine, other, matrix.get(i, j).into()]
        })
    }
}

/// How far apart two heads are: their maps, or where directions are compared, their maps at length 1.
pub fn distance(gram: &Gram, metric: Metric, i: usize, j: usize) -> f64 {
    match metric {
        Metric::Euclidean => gram.distance2(i, j).sqrt(),
        // |a - b|^2 = 2 - 2 cos between vectors of length 1.
        Metric::Cosine => gram.cosine(i, j).map_or(f64::NAN, |cosine| (2.0 - 2.0 * cosine).max(0.0).sqrt()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions_are_compared_at_length_one() {
        // (3, 0), (0, 4), (0, 0): 5 apart, at length 1 the root of 2.
        let gram = Gram::from_rows(3, vec![9., 0., 0., 0., 16., 0., 0., 0., 0.]).unwrap();
        assert_eq!(distance(&gram, Metric::Euclidean, 0, 1), 5.0);
        assert!((distance(&gram, Metric::Cosine, 0, 1) - 2f64.sqrt()).abs() < 1e-12);
        assert_eq!(distance(&gram, Metric::Cosine, 1, 1), 0.0);
        assert!(distance(&gram, Metric::Cosine, 0, 2).is_nan());
    }

    #[test]
    fn opposite_heads_are_as_telling_as_alike_ones() {
        let cosines = [[1.0, 0.05, -0.9], [0.05, 1.0, -0.1], [-0.9, -0.1, 1.0]];
        let of = |likeness| Similarity {
            caption: Caption::new("", ""),
            site: String::new(),
            matrix: Grid::from_fn(3, 3, |i, j| cosines[i][j]),
            likeness,
            groups: vec![0; 3],
            kept: None,
            by_index: false,
            tree: None,
        };
        // As the measure of redundancy counts them; the tree keeps them apart.
        assert_eq!(of(Likeness::Cosine).most_alike(2), [(0, 2, -0.9), (1, 2, -0.1)]);
        assert_eq!(of(Likeness::Distance).most_alike(1), [(0, 2, -0.9)]);
        assert!(Likeness::Cosine.distance(-0.9) > Likeness::Cosine.distance(0.05));
    }
}
