//! Colors by name, once for light and once for dark. Nothing else in the window spells a color out.

use std::sync::{Arc, LazyLock};

use eframe::egui::style::{Selection, TextCursorStyle, WidgetVisuals, Widgets};
use eframe::egui::{
    self, Color32, CornerRadius, FontData, FontDefinitions, FontFamily, FontId, Shadow, Stroke, TextStyle, vec2,
};

use crate::chart::{self, GroupStyle, Rgb};
use crate::figure::font;

/// The named colors of the window; those of data come from the figures, so that exports look alike.
pub(super) struct WindowTheme {
    /// Colors of data, shared with exported pictures.
    pub figure: &'static chart::Theme,
    pub canvas: Color32,
    /// Behind the side panels.
    pub panel: Color32,
    /// Behind menu bar and tabs.
    pub bar: Color32,
    /// Menus, tooltips and boxes over the window.
    pub raised: Color32,
    /// Where something is typed, rails of sliders and bars.
    pub field: Color32,
    pub button: Color32,
    /// Buttons under the pointer.
    pub hovered: Color32,
    pub pressed: Color32,
    /// Behind a row of buttons of which one is on.
    pub track: Color32,
    /// The one that is on.
    pub pill: Color32,
    /// Behind cells that belong together.
    pub plate: Color32,
    pub border: Color32,
    /// Lines that must be seen: outlines of fields and empty cells.
    pub outline: Color32,
    pub ink: Color32,
    /// Labels, units and notes.
    pub muted: Color32,
    /// What a person acts on.
    pub accent: Color32,
    /// Behind what is chosen.
    pub chosen: Color32,
    /// Text on the accent.
    pub on_accent: Color32,
    /// To look at before going on.
    pub warning: Color32,
    pub danger: Color32,
    pub good: Color32,
    /// Heads that stay, where color says nothing else.
    pub kept: Color32,
    /// Heads that go, where color says nothing else.
    pub pruned: Color32,
    /// Cells without a value.
    pub missing: Color32,
    /// Grid lines of plots.
    pub grid: Color32,
}

/// A color of a figure as the window draws it.
pub(super) fn color(rgb: Rgb) -> Color32 {
    Color32::from_rgb(rgb.r, rgb.g, rgb.b)
}

static LIGHT: LazyLock<WindowTheme> = LazyLock::new(|| WindowTheme::from_figure(&chart::Theme::LIGHT));
static DARK: LazyLock<WindowTheme> = LazyLock::new(|| WindowTheme::from_figure(&chart::Theme::DARK));

impl WindowTheme {
    /// The dark or the light theme.
    pub(super) fn of(dark: bool) -> &'static Self {
        if dark { &DARK } else { &LIGHT }
    }

    fn from_figure(figure: &'static chart::Theme) -> Self {
        let (paper, ink) = (figure.background, figure.ink);
        let toward_ink = |share| color(paper.mix(ink, share));
        let surface = |share| color(figure.surface.mix(ink, share));
        Self {
            figure,
            canvas: color(paper),
            panel: color(figure.surface),
            bar: surface(0.04),
            raised: if figure.is_dark { surface(0.05) } else { color(paper) },
            field: if figure.is_dark { color(paper.mix(Rgb::BLACK, 0.25)) } else { color(paper) },
            button: toward_ink(0.10),
            hovered: toward_ink(0.17),
            pressed: toward_ink(0.24),
            track: toward_ink(0.065),
            pill: if figure.is_dark { toward_ink(0.20) } else { color(paper) },
            plate: toward_ink(0.10),
            border: color(figure.surface.mix(figure.axis, 0.34)),
            outline: color(figure.axis),
            ink: color(ink),
            muted: color(figure.muted),
            accent: color(figure.accent),
            chosen: color(figure.surface.mix(figure.accent, 0.28)),
            on_accent: color(figure.accent.ink()),
            warning: color(figure.warning),
            danger: color(figure.danger),
            good: color(figure.good),
            kept: color(figure.kept),
            pruned: color(figure.pruned),
            missing: color(figure.missing),
            grid: color(figure.grid),
        }
    }

    /// The fill of group `group`.
    pub(super) fn group(&self, group: usize) -> Color32 {
        color(GroupStyle::of(self.figure, group).color)
    }

    /// Black or white, whichever reads better on `fill`.
    pub(super) fn ink_on(fill: Color32) -> Color32 {
        color(Rgb::new(fill.r(), fill.g(), fill.b()).ink())
    }

    fn visuals(&self) -> egui::Visuals {
        let base = if self.figure.is_dark { egui::Visuals::dark() } else { egui::Visuals::light() };
        let radius = CornerRadius::same(4);
        let widget = |fill, stroke, text| WidgetVisuals {
            bg_fill: fill,
            weak_bg_fill: fill,
            bg_stroke: Stroke::new(1.0, stroke),
            corner_radius: radius,
            fg_stroke: Stroke::new(1.0, text),
            expansion: 0.0,
        };
        let shadow = Shadow { offset: [0, 4], blur: 16, spread: 0, color: Color32::from_black_alpha(60) };
        egui::Visuals {
            dark_mode: self.figure.is_dark,
            weak_text_color: Some(self.muted),
            widgets: Widgets {
                noninteractive: widget(self.panel, self.border, self.ink),
                inactive: WidgetVisuals { bg_fill: self.field, ..widget(self.button, self.border, self.ink) },
                hovered: widget(self.hovered, self.outline, self.ink),
                active: widget(self.pressed, self.accent, self.ink),
                open: widget(self.pressed, self.outline, self.ink),
            },
            selection: Selection { bg_fill: self.chosen, stroke: Stroke::new(1.0, self.accent) },
            hyperlink_color: self.accent,
            faint_bg_color: self.bar,
            extreme_bg_color: self.field,
            text_edit_bg_color: Some(self.field),
            code_bg_color: self.bar,
            warn_fg_color: self.warning,
            error_fg_color: self.danger,
            window_corner_radius: CornerRadius::same(6),
            window_shadow: shadow,
            window_fill: self.raised,
            window_stroke: Stroke::new(1.0, self.border),
            menu_corner_radius: CornerRadius::same(6),
            panel_fill: self.panel,
            popup_shadow: shadow,
            text_cursor: TextCursorStyle {
                stroke: Stroke::new(2.0, self.accent),
                blink: false,
                ..base.text_cursor.clone()
            },
            slider_trailing_fill: true,
            image_loading_spinners: false,
            disabled_alpha: 0.55,
            ..base
        }
    }
}

/// Name of the heavier face, for titles and values.
pub(super) const STRONG: &str = "strong";

const REGULAR: &str = "Inter";
const SEMI_BOLD: &str = "Inter SemiBold";
const FALLBACK: &str = "DejaVu Sans";

/// Fonts, sizes and spacing, and both themes.
pub(super) fn install(ctx: &egui::Context) {
    ctx.set_fonts(fonts());
    for (theme, ours) in [(egui::Theme::Light, &*LIGHT), (egui::Theme::Dark, &*DARK)] {
        ctx.style_mut_of(theme, |style| {
            style.visuals = ours.visuals();
            style.text_styles = [
                (TextStyle::Small, FontId::proportional(11.0)),
                (TextStyle::Body, FontId::proportional(13.0)),
                (TextStyle::Button, FontId::proportional(13.0)),
                (TextStyle::Monospace, FontId::monospace(12.0)),
                (TextStyle::Heading, FontId::new(15.0, FontFamily::Name(STRONG.into()))),
            ]
            .into();
            let spacing = &mut style.spacing;
            spacing.item_spacing = vec2(6.0, 5.0);
            spacing.button_padding = vec2(8.0, 3.0);
            spacing.interact_size = vec2(24.0, 22.0);
            spacing.slider_width = 120.0;
            spacing.tooltip_width = 320.0;
            spacing.icon_width = 14.0;
            spacing.icon_width_inner = 8.0;
            style.interaction.tooltip_delay = 0.35;
            style.animation_time = 0.0;
        });
    }
}

/// Those of figures, and none beside them: what the window shows, an exported picture can show.
fn fonts() -> FontDefinitions {
    let mut fonts = FontDefinitions::empty();
    for (name, bytes) in [(REGULAR, font::REGULAR), (SEMI_BOLD, font::SEMI_BOLD), (FALLBACK, font::FALLBACK)] {
        fonts.font_data.insert(name.to_owned(), Arc::new(FontData::from_static(bytes)));
    }
    for (family, first) in [
        (FontFamily::Proportional, REGULAR),
        (FontFamily::Monospace, REGULAR),
        (FontFamily::Name(STRONG.into()), SEMI_BOLD),
    ] {
        fonts.families.insert(family, [first, FALLBACK].map(str::to_owned).into());
    }
    fonts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::ColorMap;
    use crate::chart::palette::GROUP_COLORS;

    fn rgb(color: Color32) -> Rgb {
        Rgb::new(color.r(), color.g(), color.b())
    }

    #[test]
    fn text_reads_on_every_surface() {
        for theme in [WindowTheme::of(false), WindowTheme::of(true)] {
            let name = theme.figure.name;
            for paper in [theme.canvas, theme.panel, theme.bar, theme.raised, theme.field] {
                for text in [theme.ink, theme.muted, theme.warning, theme.danger, theme.good] {
                    // WCAG 2.2, 1.4.3 (AA).
                    let contrast = rgb(text).contrast(rgb(paper));
                    assert!(contrast >= 4.5, "{name}: {text:?} on {paper:?} is {contrast:.2}");
                }
            }
            for paper in
                [theme.button, theme.hovered, theme.pressed, theme.chosen, theme.track, theme.pill, theme.plate]
            {
                assert!(rgb(theme.ink).contrast(rgb(paper)) >= 4.5, "{name}: ink on {paper:?}");
            }
            assert!(rgb(theme.muted).contrast(rgb(theme.track)) >= 4.5, "{name}: choices that are off");
            assert!(rgb(theme.on_accent).contrast(rgb(theme.accent)) >= 4.5, "{name}");
        }
    }

    #[test]
    fn marks_show_on_their_surface() {
        for theme in [WindowTheme::of(false), WindowTheme::of(true)] {
            let name = theme.figure.name;
            // WCAG 2.2, 1.4.11 (AA): what carries meaning, 3:1.
            let marks = [
                ("outline", theme.outline),
                ("accent", theme.accent),
                ("kept", theme.kept),
                ("pruned", theme.pruned),
                ("missing", theme.missing),
                ("warning", theme.warning),
            ];
            let groups = (0..GROUP_COLORS).map(|g| ("group", theme.group(g)));
            for (mark, fill) in marks.into_iter().chain(groups) {
                let contrast = rgb(fill).contrast(rgb(theme.canvas));
                assert!(contrast >= 3.0, "{name}: {mark} {fill:?} on the canvas is {contrast:.2}");
                // What is written on a mark.
                let written = rgb(WindowTheme::ink_on(fill)).contrast(rgb(fill));
                assert!(written >= 4.5, "{name}: text on {mark} {fill:?} is {written:.2}");
            }
            for paper in [theme.panel, theme.bar, theme.raised] {
                assert!(rgb(theme.outline).contrast(rgb(paper)) >= 3.0, "{name}: outline on {paper:?}");
                assert!(rgb(theme.accent).contrast(rgb(paper)) >= 3.0, "{name}: accent on {paper:?}");
            }
        }
    }

    #[test]
    fn values_are_written_legibly_on_every_color_of_the_maps() {
        for map in ColorMap::ALL {
            for fill in map.table() {
                assert!(fill.ink().contrast(*fill) >= 4.5, "{} {fill}", map.name());
            }
        }
    }
}
