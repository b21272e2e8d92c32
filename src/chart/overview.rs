//! Every head of a model: attention layers by heads.

use super::caption::Caption;
use super::layers::LayerBars;
use super::measure::Measure;
use super::number::Unit;
use super::raster::Scale;
use super::table::{Cell, Table};
use crate::analysis::HeadKind;
use crate::network::Site;

#[derive(Clone, Debug, PartialEq)]
pub struct OverviewRow {
    pub site: Site,
    pub heads: usize,
    /// Key/value heads; brackets show which query heads share one.
    pub kv_heads: usize,
    /// Group of each head within this layer; empty where unknown.
    pub groups: Vec<usize>,
    /// A number for each head, NaN where there is none; empty where groups are shown.
    pub values: Vec<f64>,
    /// Heads that stay; `None` before anything is decided.
    pub kept: Option<Vec<usize>>,
    /// The numbers of each head by every one of [`Overview::measures`]; empty where none is told.
    pub measured: Vec<Vec<f64>>,
    /// What each head does, where it was measured and has a name.
    pub kinds: Vec<Option<HeadKind>>,
    /// Whether anything speaks for redundant heads here, where that was weighed.
    pub redundant: Option<bool>,
    /// Heads from left to right.
    pub order: Vec<usize>,
}

/// What the color of a cell says.
#[derive(Clone, Debug, PartialEq)]
pub enum Paint {
    /// The head's group in its layer.
    Groups,
    /// Whether the head stays, and nothing else.
    Kept,
    /// What the head does.
    Kinds,
    Values {
        label: String,
        /// The name of the column in the table, e.g. `vote_share`.
        column: String,
        /// How it is written.
        unit: Unit,
        scale: Scale,
    },
}

/// In which order the heads of a layer stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// As they are numbered.
    Index,
    /// Heads of a group side by side.
    Group,
    /// Largest number first; heads without one last.
    Value,
}

/// A model at a glance.
#[derive(Clone, Debug, PartialEq)]
pub struct Overview {
    pub caption: Caption,
    /// The layers from top to bottom.
    pub rows: Vec<OverviewRow>,
    pub paint: Paint,
    /// What the colors come to, layer by layer.
    pub layers: Option<LayerBars>,
    /// All that is known of every head, for the table.
    pub measures: Vec<Measure>,
}

impl Overview {
    /// Puts the heads of every layer in order.
    pub fn sort(&mut self, order: Order) {
        for row in &mut self.rows {
            row.order = (0..row.heads).collect();
            match (order, &self.paint) {
                (Order::Index, _) => {}
                (Order::Value, Paint::Values { .. }) => {
                    // Heads without a value come last.
                    let value = |head: usize| row.values.get(head).copied().filter(|v| !v.is_nan());
                    row.order.sort_by(|a, b| value(*b).partial_cmp(&value(*a)).unwrap_or(std::cmp::Ordering::Equal));
                }
                (Order::Value, Paint::Kinds) => {
                    // Heads without a name come last.
                    let kinds = &row.kinds;
                    let place = |h: &usize| kinds.get(*h).copied().flatten().map_or(usize::MAX, HeadKind::index);
                    row.order.sort_by_key(place);
                }
                (Order::Group | Order::Value, _) => row.order.sort_by_key(|h| row.groups.get(*h).copied()),
            }
        }
    }

    /// The kinds that some head is of, in their order, and whether some head is of none.
    pub fn kinds(&self) -> (Vec<HeadKind>, bool) {
        let found: Vec<Option<HeadKind>> =
            self.rows.iter().flat_map(|row| (0..row.heads).map(|head| row.kind(head))).collect();
        let named = HeadKind::ALL.iter().copied().filter(|kind| found.contains(&Some(*kind))).collect();
        (named, found.contains(&None))
    }

    /// Whether the heads of every layer stand as they are numbered.
    pub fn is_straight(&self) -> bool {
        self.rows.iter().all(|row| row.order.is_sorted())
    }

    /// Every number of the picture.
    pub fn table(&self) -> Table {
        let column = match &self.paint {
            Paint::Groups | Paint::Kept | Paint::Kinds => None,
            Paint::Values { column, .. } => Some(column.as_str()),
        };
        let has_kinds = self.rows.iter().any(|row| !row.kinds.is_empty());
        let is_weighed = self.rows.iter().any(|row| row.redundant.is_some());
        let more = has_kinds.then_some("kind").into_iter().chain(is_weighed.then_some("redundancy_in_layer"));
        // The number that is shown comes first, all others of the head follow.
        let others: Vec<(usize, &Measure)> =
            self.measures.iter().enumerate().filter(|(_, m)| column.is_none_or(|c| c != m.name())).collect();
        let of_layers = self.layers.iter().flat_map(|bars| {
            let chance = (!bars.chance.is_empty()).then(|| format!("{}_by_chance", bars.column));
            [bars.column.clone()].into_iter().chain(chance)
        });
        let named = ["site", "head", "kv_head", "group", "kept"].into_iter().chain(more).chain(column);
        let named = named.chain(others.iter().map(|(_, m)| m.name())).map(str::to_owned);
        let mut table = Table::new(named.chain(of_layers));
        for (place, row) in self.rows.iter().enumerate() {
            for head in 0..row.heads {
                let share = row.heads / row.kv_heads;
                let mut cells = vec![
                    row.site.to_string().into(),
                    head.into(),
                    (head / share).into(),
                    row.groups.get(head).copied().into(),
                    row.kept.as_ref().map(|k| k.contains(&head)).into(),
                ];
                cells.extend(has_kinds.then(|| row.kind(head).map(|kind| kind.name().to_owned()).into()));
                cells.extend(is_weighed.then(|| row.redundant.into()));
                cells.extend(column.map(|_| Cell::from(row.value(head))));
                let of = |at: usize| row.measured.get(at)?.get(head).copied();
                cells.extend(others.iter().map(|(at, _)| Cell::from(of(*at))));
                if let Some(bars) = &self.layers {
                    let with_chance = (!bars.chance.is_empty()).then_some(&bars.chance);
                    let of_layer = [&bars.values].into_iter().chain(with_chance);
                    cells.extend(of_layer.map(|values| Cell::from(values.get(place).copied())));
                }
                table.push(cells);
            }
        }
        table
    }
}

impl OverviewRow {
    /// What a head does, where it was measured and has a name.
    pub fn kind(&self, head: usize) -> Option<HeadKind> {
        self.kinds.get(head).copied().flatten()
    }

    /// The number of a head; NaN where it has none.
    pub fn value(&self, head: usize) -> f64 {
        self.values.get(head).copied().unwrap_or(f64::NAN)
    }

    /// Whether a group of this layer is one head.
    pub fn is_alone(&self, group: usize) -> bool {
        self.groups.iter().filter(|g| **g == group).count() == 1
    }

    /// Whether a head stays; each does before anything is decided.
    pub fn keeps(&self, head: usize) -> bool {
        self.kept.as_ref().is_none_or(|kept| kept.contains(&head))
    }
}
