//! What a color stands for. A description names it so; each painter looks the color up in the theme that is on.

use super::color::Rgb;
use super::palette::GroupStyle;
use super::theme::Theme;

/// What a color stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ink {
    /// The n-th of several groups, methods or lines.
    Nth(usize),
    /// What leads to the n-th of them, faintly.
    Tie(usize),
    Kept,
    Pruned,
    /// What a person acts on: thresholds, the plan being edited, events.
    Accent,
    /// What everything else is compared with: the whole model, chance, a mean.
    Muted,
    Reference,
    /// The Pareto front: choices that no other beats.
    Front,
    /// A value before something was done to it.
    Before,
}

impl Ink {
    /// Its color on `theme`.
    pub fn color(self, theme: &Theme) -> Rgb {
        match self {
            Self::Nth(n) => GroupStyle::of(theme, n).color,
            Self::Tie(n) => GroupStyle::of(theme, n).color.mix(theme.surface, 0.45),
            Self::Kept => theme.kept,
            Self::Pruned => theme.pruned,
            Self::Accent => theme.accent,
            Self::Muted => theme.muted,
            Self::Reference => theme.reference,
            Self::Front => theme.ink,
            Self::Before => theme.axis.mix(theme.background, 0.55),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::palette::GROUP_COLORS;
    use super::*;

    #[test]
    fn the_pareto_front_is_taken_for_no_method() {
        for theme in Theme::ALL {
            let front = Ink::Front.color(theme);
            let others = (0..GROUP_COLORS).map(Ink::Nth).chain([Ink::Reference, Ink::Muted, Ink::Accent]);
            for other in others {
                // As far apart as two groups have to be.
                let distance = front.distance(other.color(theme));
                assert!(distance > 0.1, "{} on {}: {distance:.3}", other.color(theme), theme.name);
            }
        }
    }
}
