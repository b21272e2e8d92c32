//! The named colors of a figure, once for light and once for dark backgrounds.

use super::color::Rgb;

/// Named colors; nothing outside this room and the palette spells a color out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Theme {
    /// The name: `light` or `dark`.
    pub name: &'static str,
    /// Which set of group colors applies.
    pub is_dark: bool,
    pub background: Rgb,
    /// Behind legends, notes and plots set into the figure.
    pub surface: Rgb,
    pub ink: Rgb,
    /// Axis labels, units, notes.
    pub muted: Rgb,
    /// Grid lines: decoration, deliberately faint.
    pub grid: Rgb,
    /// Axis lines, brackets and borders that carry meaning.
    pub axis: Rgb,
    /// What the person acts on: thresholds, selection.
    pub accent: Rgb,
    /// Something to look at before going on.
    pub warning: Rgb,
    /// Something that went wrong or is lost.
    pub danger: Rgb,
    /// Something gained or proved.
    pub good: Rgb,
    /// Cells without a value (NaN); no entry of a color map looks like it.
    pub missing: Rgb,
    /// The random control and other references that are not the subject.
    pub reference: Rgb,
    /// Heads that stay, where color says nothing else.
    pub kept: Rgb,
    /// Heads that go, where color says nothing else.
    pub pruned: Rgb,
}

impl Theme {
    /// Dark on white: for paper and bright rooms.
    pub const LIGHT: Self = Self {
        name: "light",
        is_dark: false,
        background: Rgb::hex(0xFFFFFF),
        surface: Rgb::hex(0xF5F6F8),
        ink: Rgb::hex(0x1A1D23),
        muted: Rgb::hex(0x5A616D),
        grid: Rgb::hex(0xE3E6EB),
        axis: Rgb::hex(0x7C8491),
        accent: Rgb::hex(0x1F6FB2),
        warning: Rgb::hex(0x9A5B00),
        danger: Rgb::hex(0xB3261E),
        good: Rgb::hex(0x1E7A46),
        missing: Rgb::hex(0x5C515B),
        reference: Rgb::hex(0x6F7683),
        kept: Rgb::hex(0x2C77B8),
        pruned: Rgb::hex(0x828893),
    };

    /// Light on near black: for screens and slides.
    pub const DARK: Self = Self {
        name: "dark",
        is_dark: true,
        background: Rgb::hex(0x15171C),
        surface: Rgb::hex(0x1E2128),
        ink: Rgb::hex(0xE8EAEE),
        muted: Rgb::hex(0xA4ABB8),
        grid: Rgb::hex(0x2E323B),
        axis: Rgb::hex(0x7C8595),
        accent: Rgb::hex(0x5CB0F2),
        warning: Rgb::hex(0xF0B44C),
        danger: Rgb::hex(0xFF8A80),
        good: Rgb::hex(0x6CD39A),
        missing: Rgb::hex(0x786C63),
        reference: Rgb::hex(0x9BA3B1),
        kept: Rgb::hex(0x4593D6),
        pruned: Rgb::hex(0x6C7380),
    };

    pub const ALL: [&'static Self; 2] = [&Self::LIGHT, &Self::DARK];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_reads_and_marks_show() {
        for theme in Theme::ALL {
            let texts = [theme.ink, theme.muted, theme.accent, theme.warning, theme.danger, theme.good];
            for paper in [theme.background, theme.surface] {
                // WCAG 2.2, 1.4.3 (AA) for text and 1.4.11 for graphics.
                for color in texts {
                    assert!(color.contrast(paper) >= 4.5, "{} text {color} on {paper}", theme.name);
                }
                for color in [theme.axis, theme.missing, theme.reference, theme.kept, theme.pruned] {
                    assert!(color.contrast(paper) >= 3.0, "{} mark {color} on {paper}", theme.name);
                }
            }
            assert!(theme.grid.contrast(theme.background) < 2.0, "grid lines stay behind the data");
        }
    }
}
