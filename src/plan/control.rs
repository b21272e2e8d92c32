//! The random control.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_xoshiro::Xoshiro256Plus;

use super::{Plan, Shape};
use crate::network::Kept;

/// The control of a plan, in words.
pub const CONTROL: &str = "random heads of every layer";

/// Draws of the control that a plan is held against: few enough to wait for, enough for a spread.
pub const CONTROL_DRAWS: u64 = 5;

/// The control of a plan, [`CONTROL`]: as many heads as it keeps in every layer, drawn at random. Layers that share weights get the
/// same. A method is worth its name where it beats this.
pub fn random_like(shape: &Shape, plan: &Plan, seed: u64) -> Kept {
    let mut rng = Xoshiro256Plus::seed_from_u64(seed);
    let mut kept = Kept::all();
    for class in shape.shared() {
        let Some(first) = class.first() else { continue };
        let count = plan.kept_at(first.site, first.heads).len();
        let mut heads: Vec<usize> = (0..first.heads).collect();
        heads.shuffle(&mut rng);
        heads.truncate(count);
        for site in &class {
            kept.set(site.site, heads.iter().copied());
        }
    }
    kept
}
