//! Color maps for numbers and colors for groups.

mod tables;

use strum::{IntoStaticStr, VariantArray};

use super::color::Rgb;
use super::theme::Theme;

pub use tables::ENTRIES;

/// A map from 0..=1 to color whose steps look equally large.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "kebab-case")]
pub enum ColorMap {
    /// Dark blue to yellow, lightness rising: amounts.
    Viridis,
    /// Blue through near white to red: values with a meaningful middle, such as a cosine.
    BlueRed,
}

impl ColorMap {
    pub const ALL: &[Self] = <Self as VariantArray>::VARIANTS;

    /// The word shown to people.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// True where the middle of the range has a meaning of its own.
    pub fn is_diverging(self) -> bool {
        self == Self::BlueRed
    }

    /// The 256 colors, lowest value first.
    pub fn table(self) -> &'static [Rgb; ENTRIES] {
        match self {
            Self::Viridis => &tables::VIRIDIS,
            Self::BlueRed => &tables::BLUE_RED,
        }
    }

    /// The color at `t`, clipped to 0..=1; `None` for NaN, which has a color of its own ([`Theme::missing`]).
    pub fn color(self, t: f64) -> Option<Rgb> {
        if t.is_nan() {
            return None;
        }
        let index = (t.clamp(0.0, 1.0) * ENTRIES as f64) as usize;
        self.table().get(index.min(ENTRIES - 1)).copied()
    }
}

/// Distinct colors before they repeat.
pub const GROUP_COLORS: usize = 12;

/// The first seven are the hues of Okabe and Ito (2008) without black, which is the ink; those that fall below
/// 3:1 on white are darkened. All twelve were then spread so that every pair stays apart in Oklab for typical vision,
/// protanopia and deuteranopia.
const ON_LIGHT: [Rgb; GROUP_COLORS] = [
    Rgb::hex(0x036BA9),
    Rgb::hex(0xA56F05),
    Rgb::hex(0x249D6A),
    Rgb::hex(0xAA3D02),
    Rgb::hex(0xC976A4),
    Rgb::hex(0x369AD4),
    Rgb::hex(0x9A9601),
    Rgb::hex(0x7F60E8),
    Rgb::hex(0x611A42),
    Rgb::hex(0x048975),
    Rgb::hex(0x006C41),
    Rgb::hex(0x792513),
];

/// The same hues in the same order for a dark background.
const ON_DARK: [Rgb; GROUP_COLORS] = [
    Rgb::hex(0x0070C1),
    Rgb::hex(0xE9A30D),
    Rgb::hex(0x53CD9F),
    Rgb::hex(0xDE6411),
    Rgb::hex(0xC876A3),
    Rgb::hex(0x39A1E6),
    Rgb::hex(0xF0E140),
    Rgb::hex(0xCAB8FC),
    Rgb::hex(0xC33381),
    Rgb::hex(0x81F5FF),
    Rgb::hex(0xBCE6A5),
    Rgb::hex(0xA0562A),
];

/// How group `g` (or series `g`) is drawn: colors repeat after [`GROUP_COLORS`] groups, and every repetition is told
/// apart by a mark, so that color never carries the meaning alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupStyle {
    /// Fill of cells, points and lines.
    pub color: Rgb,
    /// How often the colors have been used up before: 0 plain, 1 one notch, and so on.
    pub cycle: usize,
    /// Shape of points: alternates along the groups, so that neighbors differ without color too.
    pub marker: Marker,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, VariantArray)]
pub enum Marker {
    Circle,
    Square,
    /// Triangle on its base.
    Triangle,
    /// Square on its corner.
    Diamond,
    /// Triangle on its tip.
    Wedge,
}

impl Marker {
    /// Every shape, in the order in which groups take them.
    pub const ALL: &[Self] = <Self as VariantArray>::VARIANTS;
}

impl Marker {
    /// The shape of group or series `n`. Every fifth color moves on by one more, since blue and sky blue are five apart;
    /// every cycle too, so that 60 groups pass before a pair of color and shape repeats.
    pub fn nth(n: usize) -> Self {
        let (index, cycle) = (n % GROUP_COLORS, n / GROUP_COLORS);
        Self::ALL[(index + index / Self::ALL.len() + cycle) % Self::ALL.len()]
    }
}

impl GroupStyle {
    /// The style of group `group` on `theme`.
    pub fn of(theme: &Theme, group: usize) -> Self {
        let colors = if theme.is_dark { &ON_DARK } else { &ON_LIGHT };
        let (index, cycle) = (group % GROUP_COLORS, group / GROUP_COLORS);
        Self { color: colors[index], cycle, marker: Marker::nth(group) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::color::Vision;
    use super::*;

    #[test]
    fn viridis_has_the_published_anchors() {
        // matplotlib 3.11: viridis(0), viridis(128), viridis(255).
        let table = ColorMap::Viridis.table();
        assert_eq!(table[0], Rgb::hex(0x440154));
        assert_eq!(table[128], Rgb::hex(0x21918C));
        assert_eq!(table[255], Rgb::hex(0xFDE725));
    }

    #[test]
    fn steps_look_equally_large() {
        // Bytes round single steps, so compare distances over 16 entries.
        let stride = 16;
        let spread = |colors: &[Rgb]| {
            let steps: Vec<f64> = (0..colors.len() - stride).map(|i| colors[i].distance(colors[i + stride])).collect();
            let low = steps.iter().copied().fold(f64::INFINITY, f64::min);
            steps.iter().copied().fold(0.0, f64::max) / low
        };
        let diverging = ColorMap::BlueRed.table();
        assert!(spread(&diverging[..128]) < 1.12, "{}", spread(&diverging[..128]));
        assert!(spread(&diverging[128..]) < 1.12, "{}", spread(&diverging[128..]));
        // Viridis is uniform in CAM02-UCS, a little less so in Oklab.
        assert!(spread(ColorMap::Viridis.table()) < 1.7, "{}", spread(ColorMap::Viridis.table()));
    }

    #[test]
    fn lightness_rises_or_mirrors() {
        let light = |map: ColorMap| map.table().map(|c| c.oklab()[0]);
        let viridis = light(ColorMap::Viridis);
        assert!(viridis.windows(2).all(|w| w[1] > w[0] - 1e-3));
        let diverging = light(ColorMap::BlueRed);
        assert!((0..128).all(|i| (diverging[i] - diverging[255 - i]).abs() < 0.005));
        assert!(diverging[..128].windows(2).all(|w| w[1] > w[0] - 1e-3));
    }

    #[test]
    fn arms_of_the_diverging_map_differ_for_everyone() {
        let table = ColorMap::BlueRed.table();
        for &vision in Vision::ALL {
            let apart = |i: usize| table[i].seen_by(vision).distance(table[255 - i].seen_by(vision));
            assert!((0..100).all(|i| apart(i) > 0.05), "{vision:?}");
        }
    }

    #[test]
    fn ends_and_nan() {
        let map = ColorMap::Viridis;
        assert_eq!(map.color(-3.0), Some(map.table()[0]));
        assert_eq!(map.color(0.5), Some(map.table()[128]));
        assert_eq!(map.color(f64::INFINITY), Some(map.table()[255]));
        assert_eq!(map.color(f64::NAN), None);
    }

    #[test]
    fn groups_stay_apart_for_the_color_blind() {
        for theme in Theme::ALL {
            let colors: Vec<Rgb> = (0..GROUP_COLORS).map(|g| GroupStyle::of(theme, g).color).collect();
            for vision in [Vision::Typical, Vision::Protanopia, Vision::Deuteranopia] {
                for i in 0..colors.len() {
                    for j in 0..i {
                        let apart = colors[i].seen_by(vision).distance(colors[j].seen_by(vision));
                        // Three times the just noticeable difference.
                        assert!(apart > 0.06, "{} groups {i}, {j}, {vision:?}: {apart}", theme.name);
                    }
                }
            }
        }
    }

    #[test]
    fn groups_are_marks_on_their_background() {
        for theme in Theme::ALL {
            for group in 0..GROUP_COLORS {
                let ratio = GroupStyle::of(theme, group).color.contrast(theme.background);
                assert!(ratio >= 3.0, "{} group {group}: {ratio}", theme.name);
            }
        }
    }

    #[test]
    fn no_two_of_sixty_groups_look_alike() {
        let styles: Vec<_> = (0..60).map(|g| GroupStyle::of(&Theme::LIGHT, g)).collect();
        for i in 0..60 {
            assert!((0..i).all(|j| (styles[i].color, styles[i].marker) != (styles[j].color, styles[j].marker)));
        }
        assert_eq!(styles[25].cycle, 2);
    }

    #[test]
    fn missing_is_no_color_of_a_map() {
        for theme in Theme::ALL {
            for &map in ColorMap::ALL {
                for vision in [Vision::Typical, Vision::Protanopia, Vision::Deuteranopia] {
                    for color in map.table() {
                        let apart = color.seen_by(vision).distance(theme.missing.seen_by(vision));
                        assert!(apart > 0.05, "{} {} {vision:?} {color}: {apart}", theme.name, map.name());
                    }
                }
            }
        }
    }
}
