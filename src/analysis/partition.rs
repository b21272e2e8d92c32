//! A partition that improves itself by single moves and swaps, on the Gram matrix.

use super::Gram;

/// A partition of all heads of a Gram matrix into groups that are never empty.
#[derive(Clone, Debug)]
pub(super) struct Partition<'a> {
    gram: &'a Gram,
    labels: Vec<usize>,
    sizes: Vec<usize>,
    /// `sum of G[h][j] over j in group c`, at `c * H + h`.
    sums: Vec<f64>,
    /// `sum of G[i][j] over i, j in group c`.
    squares: Vec<f64>,
}

impl<'a> Partition<'a> {
    /// From a label per head; labels are `0..groups` and each occurs.
    pub(super) fn new(gram: &'a Gram, labels: Vec<usize>) -> Self {
        let heads = gram.heads();
        let groups = labels.iter().max().map_or(0, |last| last + 1);
        let mut sums = vec![0.0; groups * heads];
        let mut sizes = vec![0; groups];
        for (j, c) in labels.iter().enumerate() {
            sizes[*c] += 1;
            for (sum, g) in sums[c * heads..(c + 1) * heads].iter_mut().zip(gram.row(j)) {
                *sum += g;
            }
        }
        let mut squares = vec![0.0; groups];
        for (i, c) in labels.iter().enumerate() {
            squares[*c] += sums[c * heads + i];
        }
        Self { gram, labels, sizes, sums, squares }
    }

    pub(super) fn into_labels(self) -> Vec<usize> {
        self.labels
    }

    /// Within-group sum of squares, never negative.
    pub(super) fn inertia(&self) -> f64 {
        let total: f64 = (0..self.gram.heads()).map(|h| self.gram.norm2(h)).sum();
        let centers: f64 = self.squares.iter().zip(&self.sizes).map(|(q, n)| q / *n as f64).sum();
        (total - centers).max(0.0)
    }

    /// Squared distance of head `h` to the center of group `c`, never negative.
    pub(super) fn distance2(&self, h: usize, c: usize) -> f64 {
        let n = self.sizes[c] as f64;
        (self.gram.norm2(h) - 2.0 * self.sum(c, h) / n + self.squares[c] / (n * n)).max(0.0)
    }

    /// Cosine of head `h` to the center of group `c`; `None` where one of them is zero.
    pub(super) fn cosine(&self, h: usize, c: usize) -> Option<f64> {
        let norm = (self.gram.norm2(h) * self.squares[c].max(0.0)).sqrt();
        (norm > 0.0).then(|| (self.sum(c, h) / norm).clamp(-1.0, 1.0))
    }

    /// Moves and swaps heads while the inertia falls by more than `slack`.
    pub(super) fn descend(&mut self, slack: f64) {
        // Each round lowers the inertia, so this ends; the bound only guards against rounding.
        for _ in 0..10_000 {
            if !(self.move_one(slack) || self.swap_two(slack)) {
                break;
            }
        }
    }

    fn sum(&self, c: usize, h: usize) -> f64 {
        self.sums[c * self.gram.heads() + h]
    }

    /// Moves every head whose move pays (Hartigan 1975); true if one did.
    fn move_one(&mut self, slack: f64) -> bool {
        let mut any = false;
        for h in 0..self.gram.heads() {
            let from = self.labels[h];
            if self.sizes[from] == 1 {
                continue;
            }
            let n = self.sizes[from] as f64;
            let gain = n / (n - 1.0) * self.distance2(h, from);
            let mut best = (gain - slack, from);
            for to in 0..self.sizes.len() {
                let n = self.sizes[to] as f64;
                let cost = n / (n + 1.0) * self.distance2(h, to);
                if to != from && cost < best.0 {
                    best = (cost, to);
                }
            }
            if best.1 != from {
                self.shift(h, best.1);
                any = true;
            }
        }
        any
    }

    /// Exchanges the first two heads of different groups whose exchange pays; true if there were such.
    fn swap_two(&mut self, slack: f64) -> bool {
        for i in 0..self.gram.heads() {
            for j in 0..i {
                let (a, b) = (self.labels[i], self.labels[j]);
                if a == b {
                    continue;
                }
                let both = self.gram.norm2(i) + self.gram.norm2(j) - 2.0 * self.gram.get(i, j);
                let a_gain = both + 2.0 * (self.sum(a, j) - self.sum(a, i));
                let b_gain = both + 2.0 * (self.sum(b, i) - self.sum(b, j));
                if a_gain / self.sizes[a] as f64 + b_gain / self.sizes[b] as f64 > slack {
                    self.shift(i, b);
                    self.shift(j, a);
                    return true;
                }
            }
        }
        false
    }

    /// Puts head `h` into group `to`.
    fn shift(&mut self, h: usize, to: usize) {
        let heads = self.gram.heads();
        let from = self.labels[h];
        let norm = self.gram.norm2(h);
        self.squares[from] += norm - 2.0 * self.sum(from, h);
        self.squares[to] += norm + 2.0 * self.sum(to, h);
        for (k, g) in self.gram.row(h).iter().enumerate() {
            self.sums[from * heads + k] -= g;
            self.sums[to * heads + k] += g;
        }
        self.sizes[from] -= 1;
        self.sizes[to] += 1;
        self.labels[h] = to;
    }
}
