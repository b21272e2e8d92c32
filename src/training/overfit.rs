//! Whether a stage learns its training data by heart.

/// Looks in a row at which the held-out loss has to rise.
const RISES: usize = 3;
/// Looks that tell whether that is so, and whether it was so before the last of them.
pub(super) const LOOKS: usize = RISES + 2;

/// The held-out loss before it began to rise and now, where the last of `looks` is the one that makes it so: it rose at
/// [`RISES`] looks in a row while the training loss fell. Looks are training and held-out loss, oldest first.
pub(super) fn overfits(looks: &[(f64, f64)]) -> Option<(f64, f64)> {
    let rose = |looks: &[(f64, f64)]| {
        let tail = looks.get(looks.len().checked_sub(RISES + 1)?..)?;
        let ((learned, held), (learned_now, held_now)) = (*tail.first()?, *tail.last()?);
        let rises = tail.windows(2).all(|pair| matches!(pair, [a, b] if b.1 > a.1));
        (rises && learned_now < learned).then_some((held, held_now))
    };
    let (_, before) = looks.split_last()?;
    // It is said once, when it begins.
    rose(looks).filter(|_| rose(before).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_out_loss_that_keeps_rising_while_the_training_loss_falls_is_told_once() {
        let looks = [(3.0, 3.0), (2.0, 2.5), (1.5, 2.6), (1.2, 2.7), (1.0, 2.8), (0.9, 2.9)];
        let told: Vec<Option<(f64, f64)>> = (1..=looks.len()).map(|n| overfits(&looks[..n])).collect();
        assert_eq!(told, [None, None, None, None, Some((2.5, 2.8)), None]);
        // A constraint that costs both losses is no overfitting, nor is a loss that goes up and down.
        assert_eq!(overfits(&[(1.0, 1.0), (1.1, 1.1), (1.2, 1.2), (1.3, 1.3)]), None);
        assert_eq!(overfits(&[(3.0, 2.5), (2.0, 2.6), (1.0, 2.55), (0.5, 2.7)]), None);
    }
}
