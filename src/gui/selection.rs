//! What is selected; every view shows and changes the same selection.

use std::collections::BTreeSet;

use crate::network::{FeatureMap, Head, Site};
use crate::plan::Shape;

/// The heads, the layer and the group that all views are about.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selection {
    /// The head that keys act on and the inspector describes.
    pub cursor: Option<Head>,
    /// Where a range began.
    pub anchor: Option<Head>,
    /// Every selected head; holds the cursor where there is one.
    pub heads: BTreeSet<Head>,
    /// The layer shown by views of one layer.
    pub site: Option<Site>,
    /// A group of that layer.
    pub group: Option<usize>,
    /// The feature map shown by views of one map.
    pub feature: Option<FeatureMap>,
}

impl Selection {
    /// Selects one head alone and begins a range there.
    pub fn only(&mut self, head: Head) {
        self.heads = BTreeSet::from([head]);
        self.cursor = Some(head);
        self.anchor = Some(head);
        self.show_site(head.site);
    }

    /// Adds a head to the selection, or takes it out.
    pub fn toggle(&mut self, head: Head) {
        if self.heads.remove(&head) {
            if self.cursor == Some(head) {
                self.cursor = self.heads.last().copied();
            }
            return;
        }
        self.heads.insert(head);
        self.cursor = Some(head);
        self.anchor = Some(head);
        self.show_site(head.site);
    }

    /// Selects the rectangle of layers and heads between the anchor and `head`.
    pub fn extend(&mut self, head: Head, shape: &Shape) {
        let anchor = self.anchor.or(self.cursor).unwrap_or(head);
        let place = |h: Head| shape.sites().iter().position(|s| s.site == h.site);
        let (Some(a), Some(b)) = (place(anchor), place(head)) else { return self.only(head) };
        let columns = anchor.head.min(head.head)..=anchor.head.max(head.head);
        let rows = shape.sites().iter().take(a.max(b) + 1).skip(a.min(b));
        self.heads =
            rows.flat_map(|s| columns.clone().filter(|h| *h < s.heads).map(|h| Head::new(s.site, h))).collect();
        self.cursor = Some(head);
        self.anchor = Some(anchor);
        self.show_site(head.site);
    }

    /// Moves the cursor by layers and heads, staying inside the model.
    pub fn step(&mut self, shape: &Shape, rows: isize, columns: isize, extend: bool) {
        let sites = shape.sites();
        let Some(first) = sites.first() else { return };
        let Some(from) = self.cursor else {
            // The first key only shows where the cursor is.
            return self.only(Head::new(self.site.unwrap_or(first.site), 0));
        };
        let row = sites.iter().position(|s| s.site == from.site).unwrap_or(0);
        let Some(site) = sites.get(row.saturating_add_signed(rows).min(sites.len() - 1)) else { return };
        let head = from.head.saturating_add_signed(columns).min(site.heads.saturating_sub(1));
        let to = Head::new(site.site, head);
        if extend { self.extend(to, shape) } else { self.only(to) }
    }

    /// Shows a layer; its groups are others than those of the layer before.
    pub fn show_site(&mut self, site: Site) {
        if self.site != Some(site) {
            self.site = Some(site);
            self.group = None;
        }
    }

    /// Selects nothing; the layer stays shown.
    pub fn clear(&mut self) {
        self.heads.clear();
        self.cursor = None;
        self.anchor = None;
        self.group = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::SiteShape;

    fn shape() -> Shape {
        let site = |layer: usize, heads| SiteShape {
            site: format!("encoder.{layer}").parse().unwrap(),
            heads,
            kv_heads: heads,
            stored: layer,
        };
        Shape::from_iter([site(0, 4), site(1, 2), site(2, 4)])
    }

    fn head(layer: usize, head: usize) -> Head {
        Head::new(format!("encoder.{layer}").parse().unwrap(), head)
    }

    #[test]
    fn a_range_is_a_rectangle_of_heads_that_exist() {
        let mut selection = Selection::default();
        selection.only(head(0, 1));
        selection.extend(head(2, 3), &shape());
        let expected = [(0, 1), (0, 2), (0, 3), (1, 1), (2, 1), (2, 2), (2, 3)].map(|(l, h)| head(l, h));
        assert_eq!(selection.heads, BTreeSet::from(expected));
        // The anchor stays, so the next extension starts there again.
        selection.extend(head(0, 0), &shape());
        assert_eq!(selection.heads, BTreeSet::from([head(0, 0), head(0, 1)]));
    }

    #[test]
    fn the_cursor_stays_inside() {
        let mut selection = Selection::default();
        selection.step(&shape(), 0, 1, false);
        assert_eq!(selection.cursor, Some(head(0, 0)));
        selection.step(&shape(), 0, 9, false);
        assert_eq!(selection.cursor, Some(head(0, 3)));
        selection.step(&shape(), 1, 0, false);
        assert_eq!(selection.cursor, Some(head(1, 1)));
        selection.step(&shape(), 9, -9, false);
        assert_eq!((selection.cursor, selection.site), (Some(head(2, 0)), Some(head(2, 0).site)));
    }

    #[test]
    fn taking_the_cursor_out_moves_it_to_a_selected_head() {
        let mut selection = Selection::default();
        selection.only(head(0, 1));
        selection.toggle(head(1, 1));
        selection.toggle(head(1, 1));
        assert_eq!((selection.cursor, selection.heads.len()), (Some(head(0, 1)), 1));
        selection.toggle(head(0, 1));
        assert_eq!(selection.cursor, None);
    }
}
