//! How large a loss a sample of answers leaves room for.
//!
//! Drawing from the items again, as every other interval here is found, shows no loss that the sample does not show: of four
//! items of which none got worse, no draw gets worse either. How many of the items got worse and how many better tells more,
//! for how large a share of all items gets worse is bounded by what is seen of few (Clopper and Pearson 1934; where none got
//! worse, the rule of three of Hanley and Lippman-Hand 1983, at the level of this side of a 95 % interval 3.7 / n).

use serde::{Deserialize, Serialize};

use crate::words::counted;

/// Probability of every limit: that of one side of a 95 % interval.
const LEVEL: f64 = 0.975;
/// With fewer items that changed than this, draws of the items have few values, and where they end says little.
const FEW: u64 = 10;
/// No sample that is at hand is larger.
const MOST_ITEMS: f64 = 1e7;

/// How the answers of two candidates to the same items differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairedCounts {
    /// Items that both answered.
    pub n: u64,
    /// Those that the first got right and the second wrong.
    pub worse: u64,
    /// Those that the first got wrong and the second right.
    pub better: u64,
}

impl PairedCounts {
    /// Of items of which none changed.
    pub fn unchanged(n: u64) -> Self {
        Self { n, ..Self::default() }
    }

    /// Counts an item by whether it was right and is right.
    pub fn add(&mut self, was_right: bool, is_right: bool) {
        self.n += 1;
        self.worse += u64::from(was_right && !is_right);
        self.better += u64::from(!was_right && is_right);
    }

    /// The largest fall, as a share of all items, for which the sample leaves room: what is seen, and beside it the distances
    /// to the upper limit of the share that gets worse and to the lower limit of the share that gets better, squared, added
    /// and rooted (Newcombe 1998, method 10; Zou and Donner 2008). Where many items changed, it is where the draws end; where
    /// hardly any did, it is further. Below zero, a rise is sure.
    pub fn room(self) -> f64 {
        let [worse, better] = self.shares();
        worse - better + width(self.n as f64, [worse, better])
    }

    /// Whether so few items changed that draws of them do not say how large a change may be.
    pub fn tells_little(self) -> bool {
        self.worse.saturating_add(self.better) < FEW
    }

    /// About how many items, of which the same shares get worse and better, would tell a fall of `most`; `None` where so many
    /// told it already, or where no sample is so large.
    pub fn enough(self, most: f64) -> Option<u64> {
        let shares = self.shares();
        let tells = |n: f64| width(n, shares) <= most;
        let (mut few, mut many) = (self.n.max(1) as f64, self.n.max(1) as f64);
        if tells(few) {
            return None;
        }
        while !tells(many) {
            if many > MOST_ITEMS {
                return None;
            }
            (few, many) = (many, 2.0 * many);
        }
        while many - few > 1.0 {
            let middle = (few + many) / 2.0;
            if tells(middle) { many = middle } else { few = middle }
        }
        Some(many.ceil() as u64)
    }

    /// What changed, in words: `none of 4 items changed`, `1 of 72 items got worse and 5 better`.
    pub fn words(self) -> String {
        let items = counted(self.n, "items");
        match (self.worse, self.better) {
            (0, 0) => format!("none of {items} changed"),
            (0, better) => format!("none of {items} got worse and {better} better"),
            (worse, better) => format!("{worse} of {items} got worse and {better} better"),
        }
    }

    /// The shares of items that got worse and better; a file may claim more of them than there are.
    fn shares(self) -> [f64; 2] {
        [self.worse, self.better].map(|count| count.min(self.n) as f64 / self.n.max(1) as f64)
    }
}

/// How far beyond the change that is seen of `n` items the fall may be, where these shares of them get worse and better.
fn width(n: f64, [worse, better]: [f64; 2]) -> f64 {
    if n < 1.0 {
        return 1.0;
    }
    let above = upper(worse * n, n) - worse;
    // That a share is at least so large is that the share of the others is at most so large.
    let below = better - (1.0 - upper(n - better * n, n));
    above.hypot(below)
}

/// The upper limit of a share of which `count` of `n` are seen: with it, as few would be as likely as [`LEVEL`] leaves.
fn upper(count: f64, n: f64) -> f64 {
    // What is rounded away of a count is none of the others.
    if n - count < 1e-9 {
        return 1.0;
    }
    let (mut low, mut high) = (count / n, 1.0);
    for _ in 0..45 {
        let middle = (low + high) / 2.0;
        if beta_below(middle, count + 1.0, n - count) < LEVEL { low = middle } else { high = middle }
    }
    high
}

/// The probability that a beta distribution of `a` and `b` is below `x`, by its continued fraction (Abramowitz and Stegun
/// 26.5.8), evaluated from the front (Lentz 1976).
fn beta_below(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return f64::from(u8::from(x >= 1.0));
    }
    let logarithm = log_gamma(a + b) - log_gamma(a) - log_gamma(b) + a * x.ln() + b * (-x).ln_1p();
    // On this side of the mean the fraction converges fast.
    match x < (a + 1.0) / (a + b + 2.0) {
        true => logarithm.exp() * fraction(x, a, b) / a,
        false => 1.0 - logarithm.exp() * fraction(1.0 - x, b, a) / b,
    }
}

fn fraction(x: f64, a: f64, b: f64) -> f64 {
    let apart = |value: f64| if value.abs() < f64::MIN_POSITIVE { f64::MIN_POSITIVE } else { value };
    let mut above = 1.0;
    let mut below = 1.0 / apart(1.0 - (a + b) * x / (a + 1.0));
    let mut found = below;
    // As many steps as the root of the larger number, more or less.
    for step in 1..20_000 {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut factor = 1.0;
        for term in [even, odd] {
            below = 1.0 / apart(1.0 + term * below);
            above = apart(1.0 + term / above);
            factor = below * above;
            found *= factor;
        }
        if (factor - 1.0).abs() < 1e-12 {
            break;
        }
    }
    found
}

/// The logarithm of the gamma function of a positive number: Stirling's series from 10 on, where it is good to 11 digits, and
/// `gamma(x) = gamma(x + 1) / x` below.
fn log_gamma(mut x: f64) -> f64 {
    let mut less = 0.0;
    while x < 10.0 {
        less += x.ln();
        x += 1.0;
    }
    let square = 1.0 / (x * x);
    let series = (1.0 / 12.0 - square * (1.0 / 360.0 - square / 1260.0)) / x;
    (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + series - less
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(worse: u64, better: u64, n: u64) -> PairedCounts {
        PairedCounts { n, worse, better }
    }

    #[test]
    fn limits_are_those_of_clopper_and_pearson() {
        // Where none is seen, the limit is known in closed form.
        for n in [1.0, 4.0, 72.0, 1432.0, 1e6] {
            let want = 1.0 - 0.025_f64.powf(1.0 / n);
            assert!((upper(0.0, n) / want - 1.0).abs() < 1e-6, "{n}: {} {want}", upper(0.0, n));
        }
        // Of 20, by tables: 5 give 0.087 to 0.491; of 10, 9 give 0.555 to 0.9975.
        for (count, n, want) in [(5.0, 20.0, [0.0866, 0.4910]), (9.0, 10.0, [0.5550, 0.9975])] {
            let found = [1.0 - upper(n - count, n), upper(count, n)];
            assert!(found.iter().zip(want).all(|(x, y)| (x - y).abs() < 1e-4), "{found:?}");
        }
        assert_eq!(upper(3.0, 3.0), 1.0);
    }

    #[test]
    fn few_items_leave_room_for_a_loss_that_none_of_them_shows() {
        let near = |counts: PairedCounts, want: f64| {
            assert!((counts.room() - want).abs() < 1e-4, "{counts:?}: {}", counts.room());
        };
        near(counts(0, 0, 5), 0.5218);
        near(counts(0, 0, 300), 0.0122);
        // Answers that got better do not make it sure that none gets worse.
        near(counts(0, 1, 32), 0.0818);
        near(counts(1, 5, 72), 0.0212);
        // Enough of them do.
        near(counts(0, 10, 300), -0.0122);
        // Of many, draws end where this does: 11 lost of 1432, and 1.96 times the root of 87.
        near(counts(49, 38, 1432), (11.0 + 1.96 * 87f64.sqrt()) / 1432.0 + 4e-4);
        assert!(counts(1, 5, 72).tells_little() && !counts(49, 38, 1432).tells_little());
        // What a file may claim.
        assert_eq!(counts(9, 9, 0).room(), 1.0);
        assert!(counts(u64::MAX, 7, 4).room().is_finite());
    }

    #[test]
    fn so_many_items_would_tell() {
        assert_eq!(counts(0, 0, 5).enough(0.01), Some(368));
        let more = counts(1, 5, 72).enough(0.01).unwrap();
        let scaled = PairedCounts { n: more, worse: more / 72, better: more * 5 / 72 };
        assert!((3000..4500).contains(&more) && scaled.room() + 4.0 / 72.0 < 0.0105, "{more}");
        assert_eq!(counts(0, 0, 1000).enough(0.01), None);
        assert_eq!(counts(0, 0, 5).enough(0.0), None);
    }

    #[test]
    fn changes_are_counted_and_told() {
        let mut found = PairedCounts::default();
        for (was, is) in [(true, true), (true, false), (false, true), (false, false), (false, true)] {
            found.add(was, is);
        }
        assert_eq!(found, counts(1, 2, 5));
        assert_eq!(found.words(), "1 of 5 items got worse and 2 better");
        assert_eq!(counts(0, 2, 5).words(), "none of 5 items got worse and 2 better");
        assert_eq!(PairedCounts::unchanged(4).words(), "none of 4 items changed");
    }
}
