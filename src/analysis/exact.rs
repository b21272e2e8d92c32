//! Proof that a partition is the best, or a better one, by branch and bound.
//!
//! Heads are placed one after another; inertia never falls when a head joins a group, so a placement is given up once
//! its inertia plus the least inertia of the heads still to come reaches the best known (Brusco 2006, repetitive
//! branch and bound). The work is bounded: for few heads, or well separated groups, the proof is complete.

use super::Gram;

/// Tries to improve on a partition.
pub(super) struct Exact<'a> {
    gram: &'a Gram,
    groups: usize,
    slack: f64,
    /// Placement order: each head far from those before it, so that inertia grows early.
    order: Vec<usize>,
    /// Least inertia of the heads `order[k..]`, or a bound below it.
    tail: Vec<f64>,
    labels: Vec<usize>,
    sizes: Vec<usize>,
    /// `sum of G[h][j] over j in group c`, at `c * H + h`.
    sums: Vec<f64>,
    squares: Vec<f64>,
    least: f64,
    best: Option<Vec<usize>>,
    steps: usize,
}

impl<'a> Exact<'a> {
    /// For partitions of all heads into exactly `groups` groups; `steps` bounds the number of placements tried.
    pub(super) fn new(gram: &'a Gram, groups: usize, slack: f64, steps: usize) -> Self {
        let heads = gram.heads();
        Self {
            gram,
            groups,
            slack,
            order: far_apart(gram),
            tail: vec![0.0; heads + 1],
            labels: vec![usize::MAX; heads],
            sizes: vec![0; groups],
            sums: vec![0.0; groups * heads],
            squares: vec![0.0; groups],
            least: f64::INFINITY,
            best: None,
            steps,
        }
    }

    /// Labels of a partition whose inertia is lower than `inertia` by more than the slack, where one is found within
    /// the steps.
    pub(super) fn improve(mut self, inertia: f64) -> Option<Vec<usize>> {
        let heads = self.gram.heads();
        // The least inertia of ever longer tails, each the bound for the next.
        for first in (1..heads.saturating_sub(self.groups)).rev() {
            self.least = f64::INFINITY;
            self.place(first, 0, 0.0, false);
            if self.steps == 0 {
                return None;
            }
            self.tail[first] = (self.least - self.slack).max(0.0);
        }
        self.least = inertia;
        self.best = None;
        self.place(0, 0, 0.0, true);
        self.best
    }

    /// Places `order[k..]` on top of what is placed, with `used` groups open and inertia `so_far`.
    fn place(&mut self, k: usize, used: usize, so_far: f64, keep: bool) {
        let heads = self.gram.heads();
        if k == heads {
            self.least = so_far;
            if keep {
                self.best = Some(self.labels.clone());
            }
            return;
        }
        let h = self.order[k];
        // A new group costs nothing now; the others in the order of their cost.
        let mut costs = [(0.0, usize::MAX); 32];
        let mut open = 0;
        for c in 0..(used + 1).min(self.groups) {
            let n = self.sizes[c] as f64;
            let cost = if self.sizes[c] == 0 {
                0.0
            } else {
                let d = self.gram.norm2(h) - 2.0 * self.sums[c * heads + h] / n + self.squares[c] / (n * n);
                n / (n + 1.0) * d.max(0.0)
            };
            if so_far + cost + self.tail[k + 1] < self.least - self.slack {
                costs[open] = (cost, c);
                open += 1;
            }
        }
        costs[..open].sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        for (cost, c) in costs.into_iter().take(open) {
            if self.steps == 0 || so_far + cost + self.tail[k + 1] >= self.least - self.slack {
                return;
            }
            let used = used.max(c + 1);
            // Enough heads must be left to fill every group.
            if keep && used + (heads - k - 1) < self.groups {
                continue;
            }
            self.steps -= 1;
            self.join(h, c, 1.0);
            self.place(k + 1, used, so_far + cost, keep);
            self.join(h, c, -1.0);
        }
    }

    /// Puts head `h` into group `c`, or takes it out again.
    fn join(&mut self, h: usize, c: usize, sign: f64) {
        let heads = self.gram.heads();
        let norm = self.gram.norm2(h);
        let sums = &mut self.sums[c * heads..(c + 1) * heads];
        if sign > 0.0 {
            self.squares[c] += norm + 2.0 * sums[h];
            self.sizes[c] += 1;
            self.labels[h] = c;
        }
        for (sum, g) in sums.iter_mut().zip(self.gram.row(h)) {
            *sum += sign * g;
        }
        if sign < 0.0 {
            self.squares[c] -= norm + 2.0 * sums[h];
            self.sizes[c] -= 1;
        }
    }
}

/// Heads so that each is as far as can be from all before it, beginning with the largest.
fn far_apart(gram: &Gram) -> Vec<usize> {
    let heads = gram.heads();
    let mut nearest: Vec<f64> = (0..heads).map(|h| gram.norm2(h)).collect();
    let mut order = Vec::with_capacity(heads);
    let mut taken = vec![false; heads];
    for step in 0..heads {
        let mut next = None;
        for h in 0..heads {
            if !taken[h] && next.is_none_or(|n: usize| nearest[h] > nearest[n]) {
                next = Some(h);
            }
        }
        let Some(next) = next else { break };
        taken[next] = true;
        order.push(next);
        for h in 0..heads {
            let distance = gram.distance2(h, next);
            nearest[h] = if step == 0 { distance } else { nearest[h].min(distance) };
        }
    }
    order
}
