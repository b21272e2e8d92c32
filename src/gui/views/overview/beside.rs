//! The overview beside that of another analysis, or of another model.

use eframe::egui::{Grid, RichText, ScrollArea, Ui};

use crate::chart::{AgreementRow, GroupStyle, Overview, Paint, SideBySide, Unit};
use crate::gui::action::Action;
use crate::gui::context::Cx;
use crate::gui::messages::sentence;
use crate::gui::theme::color;
use crate::gui::widgets::{HeadCell, HeadGrid, Swatch, color_bar, group_legend, note, swatch};
use crate::network::Site;
use crate::plan::{Shape, SiteShape};

/// Both sides, and what their layers agree in.
pub(super) fn ui(ui: &mut Ui, cx: Cx<'_>, found: &SideBySide) {
    let theme = cx.theme;
    ui.horizontal_wrapped(|ui| {
        ui.label(RichText::new(&found.caption.title).strong().color(theme.ink));
        if ui.button("Back to the overview").clicked() {
            cx.send(Action::CloseComparison);
        }
    });
    for text in &found.caption.notes {
        note(ui, theme, sentence(text));
    }
    ui.horizontal_wrapped(|ui| legend(ui, cx, found));
    ScrollArea::both().auto_shrink(false).show(ui, |ui| {
        let width = ((ui.available_width() - 16.0) / 2.0).max(200.0);
        let height = (ui.available_height() * 0.6).max(120.0);
        ui.horizontal_top(|ui| {
            for (side, name) in found.sides.iter().zip(&found.names) {
                ui.allocate_ui(eframe::egui::vec2(width, height), |ui| {
                    ui.vertical(|ui| {
                        ui.set_max_size(eframe::egui::vec2(width, height));
                        ui.label(RichText::new(name).small().color(theme.ink));
                        heads(ui, cx, side, name);
                    });
                });
            }
        });
        ui.add_space(8.0);
        table(ui, cx, found);
    });
}

fn legend(ui: &mut Ui, cx: Cx<'_>, found: &SideBySide) {
    let theme = cx.theme;
    swatch(ui, theme, Swatch::Kept(theme.outline), "kept");
    swatch(ui, theme, Swatch::Pruned(theme.outline), "not there, or pruned");
    let [first, _] = &found.sides;
    match &first.paint {
        Paint::Groups => {
            let groups = found.sides.iter().flat_map(|side| &side.rows).flat_map(|row| &row.groups);
            group_legend(ui, theme, groups.max().map_or(0, |last| last + 1));
        }
        Paint::Values { label, unit, scale, .. } => color_bar(ui, theme, scale, (label, *unit), Some("only in one")),
        Paint::Kept | Paint::Kinds => {}
    }
}

/// The heads of one side.
fn heads(ui: &mut Ui, cx: Cx<'_>, side: &Overview, name: &str) {
    let theme = cx.theme;
    let of = |row: &crate::chart::OverviewRow| SiteShape {
        site: row.site,
        heads: row.heads,
        kv_heads: row.kv_heads,
        stored: row.site.layer,
    };
    let shape: Shape = side.rows.iter().map(of).collect();
    let grid = HeadGrid {
        shape: &shape,
        order: None,
        summaries: &[],
        bars: None,
        cursor: None,
        site: None,
        is_clickable: false,
    };
    let missing = color(theme.figure.missing);
    let row = |site: Site| {
        let row = side.rows.iter().find(|row| row.site == site);
        move |head: usize| {
            let (fill, notches) = match (&side.paint, row) {
                (Paint::Groups, Some(row)) => row.groups.get(head).map_or((missing, 0), |group| {
                    let style = GroupStyle::of(theme.figure, *group);
                    (color(style.color), style.cycle)
                }),
                (Paint::Values { scale, .. }, Some(row)) => {
                    (color(scale.color(row.value(head), theme.figure.missing)), 0)
                }
                _ => (missing, 0),
            };
            let kept = row.is_none_or(|row| row.keeps(head));
            HeadCell { fill, kept, pinned: false, selected: false, notches }
        }
    };
    let words = |head: crate::network::Head| {
        let row = side.rows.iter().find(|row| row.site == head.site);
        match (&side.paint, row) {
            (Paint::Groups, Some(row)) => row.groups.get(head.head).map_or_else(String::new, |g| format!("group {g}")),
            (Paint::Values { unit, .. }, Some(row)) => unit.format(row.value(head.head)),
            _ => String::new(),
        }
    };
    ui.push_id(("beside", name), |ui| grid.show(ui, theme, row, |head, _| head.head.to_string(), words));
}

/// What the layers agree in, a row for each.
fn table(ui: &mut Ui, cx: Cx<'_>, found: &SideBySide) {
    let theme = cx.theme;
    let has_groups = found.rows.iter().any(|row| row.groups.is_some());
    let has_least = found.rows.iter().any(|row| row.least.is_some());
    let list = |heads: &[usize]| heads.iter().map(usize::to_string).collect::<Vec<_>>().join(" ");
    let number = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| Unit::Plain.format(value));
    let mut titles = vec!["layer", "first", "second", "in both"];
    titles.extend(has_groups.then_some("groups agree"));
    titles.push(if has_groups { "cosines differ by" } else { "mean cosine" });
    titles.extend(has_least.then_some("least alike"));
    Grid::new("layers side by side").num_columns(titles.len()).spacing([14.0, 3.0]).striped(true).show(ui, |ui| {
        for title in &titles {
            ui.label(RichText::new(*title).small().color(theme.muted));
        }
        ui.end_row();
        for row in &found.rows {
            let AgreementRow { site, kept, groups, cosine, least } = row;
            ui.label(site.to_string());
            kept.iter().for_each(|heads| drop(ui.label(list(heads))));
            ui.label(row.in_both().to_string());
            if has_groups {
                ui.label(number(*groups));
            }
            ui.label(number(*cosine));
            if has_least {
                ui.label(least.map_or_else(String::new, |(head, cosine)| {
                    format!("head {head} by a cosine of {}", Unit::Plain.format(cosine))
                }));
            }
            ui.end_row();
        }
    });
}
