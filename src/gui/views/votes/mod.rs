//! The vote of a layer: bars with a threshold that can be dragged, how clear it was, and how soon it stood.

mod bars;
mod threshold;

use eframe::egui::{RichText, Ui, vec2};

use crate::analysis::SiteAnalysis;
use crate::chart::Picture;
use crate::gui::context::Cx;
use crate::gui::widgets::{PlotView, heading, needs_run, note, site_picker};
use crate::words::counted;

pub(super) fn ui(ui: &mut Ui, cx: Cx<'_>, picture: Option<&Picture>) {
    let (Some(site), Some(Picture::Votes(votes))) = (cx.state.site_results(), picture) else {
        needs_run(ui, cx, "Votes");
        return;
    };
    let theme = cx.theme;
    ui.horizontal_wrapped(|ui| site_picker(ui, cx));
    ui.label(RichText::new(summary(cx, site)).small().color(theme.muted)).on_hover_text(
        "Two heads alone in a group are always equally far from their mean: the one with the larger norm wins",
    );
    ui.add_space(4.0);
    let room = ui.available_size();
    let tall = if room.y < 260.0 { room.y } else { (room.y * 0.56).clamp(150.0, 480.0) };
    bars::shares_ui(ui, cx, site, votes, vec2(room.x, tall));
    if ui.available_height() < 90.0 {
        return;
    }
    let half = (ui.available_width() - 16.0) / 2.0;
    ui.horizontal_top(|ui| {
        ui.spacing_mut().item_spacing.x = 16.0;
        ui.vertical(|ui| {
            ui.set_width(half);
            heading(ui, theme, "Winning margins");
            match votes.margins_plot() {
                Some(plot) => {
                    let size = vec2(half, ui.available_height() - 4.0);
                    bars::margins_ui(ui, cx, site, &plot, size);
                }
                None => note(ui, theme, "No head of this layer won a vote on its own"),
            }
        });
        ui.vertical(|ui| {
            ui.set_width(half);
            heading(ui, theme, "How soon the vote settled");
            match votes.settled_plot() {
                Some(plot) => {
                    PlotView::new(&plot, vec2(half, ui.available_height() - 4.0)).show(ui, theme);
                }
                None => note(ui, theme, "One batch was read: give more to see whether the vote stands"),
            }
        });
    });
}

/// How many votes there were, and how clear they were.
fn summary(cx: Cx<'_>, site: &SiteAnalysis) -> String {
    let batches = cx.state.results.as_ref().map_or(0, |r| r.analysis.batches);
    let tied: u64 = site.features.values().map(|f| f.tied_votes).sum();
    let cast: u64 = site.votes.iter().sum();
    let maps: Vec<&str> = site.features.keys().map(|m| m.name()).collect();
    let groups = site.voting_groups(batches);
    let (cast, batches) = (counted(cast, "votes"), counted(batches, "batches"));
    format!(
        "{cast} from {batches} on {} for {groups}; {tied} of the votes tied and given to the larger norm",
        maps.join(", ")
    )
}
