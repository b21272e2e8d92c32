//! How alike the heads of one layer are: a matrix ordered by group under its tree.

use super::caption::Caption;
use super::palette::ColorMap;
use super::raster::{Grid, Scale};
use super::table::Table;
use super::tree::{Tree, grouped};

/// What a number between two heads says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Likeness {
    /// Cosine of the angle between their maps: 1 alike, 0 unrelated, -1 opposite.
    Cosine,
    /// Euclidean distance between their maps: 0 equal.
    Distance,
    /// Linear centred kernel alignment (Kornblith et al. 2019): 1 alike up to rotation and scale, 0 unrelated.
    Cka,
}

impl Likeness {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Cosine, Self::Distance, Self::Cka];

    /// The word used for views and columns.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cosine => "cosine",
            Self::Distance => "distance",
            Self::Cka => "cka",
        }
    }

    /// The words beside the colours.
    pub fn label(self) -> &'static str {
        match self {
            Self::Cosine => "Cosine",
            Self::Distance => "Distance",
            Self::Cka => "Linear CKA",
        }
    }

    /// The colours of a matrix of this kind.
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
    /// Words around it.
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
}

impl Similarity {
    /// Heads in the order in which they are drawn, and their tree.
    pub fn tree(&self) -> Tree {
        grouped(&self.groups, |i, j| self.likeness.distance(self.matrix.get(i, j)))
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
        if self.by_index { (0..self.groups.len()).collect() } else { self.tree().order }
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
