//! The vote of a layer: bars with a threshold that can be dragged, how clear it was, and how soon it stood.

mod bars;
mod settled;
mod threshold;

use eframe::egui::{RichText, Ui, vec2};

use super::super::app::Cx;
use super::super::widgets::{Mark, heading, needs_run, site_picker, swatch};
use crate::analysis::SiteAnalysis;
use crate::figure::Lens;
use crate::figure::views::VoteBars;
use crate::network::Site;
use crate::words::counted;

/// What the votes view remembers.
#[derive(Default)]
pub struct Votes {
    cache: Option<((u64, Site), VoteBars)>,
}

impl Votes {
    /// Draws the view.
    pub fn ui(&mut self, ui: &mut Ui, cx: Cx<'_>) {
        let Some(site) = cx.state.site_results() else {
            needs_run(ui, cx, "Votes");
            return;
        };
        self.refresh(cx, site);
        let Some((_, votes)) = &self.cache else { return };
        let theme = cx.theme;
        ui.horizontal_wrapped(|ui| {
            site_picker(ui, cx);
            ui.add_space(8.0);
            swatch(ui, theme, theme.kept, "kept");
            swatch(ui, theme, theme.pruned, "pruned");
            swatch(ui, theme, Mark::Line(theme.accent), "threshold");
            swatch(ui, theme, Mark::Dashed(theme.muted), "chance");
        });
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
                heading(ui, theme, "Winning margins");
                bars::margins_ui(ui, cx, site, votes, vec2(half, ui.available_height() - 4.0));
            });
            ui.vertical(|ui| {
                heading(ui, theme, "How soon the vote settled");
                settled::ui(ui, cx, votes, vec2(half, ui.available_height() - 4.0));
            });
        });
    }

    fn refresh(&mut self, cx: Cx<'_>, site: &SiteAnalysis) {
        let Some(results) = &cx.state.results else { return };
        let key = (results.revision, site.site);
        if self.cache.as_ref().is_some_and(|(held, _)| *held == key) {
            return;
        }
        // The same numbers as in exported pictures.
        self.cache = Lens::new(&results.analysis, None, None).ok().map(|lens| (key, lens.votes(site)));
    }
}

/// How many votes there were, and how clear they were.
fn summary(cx: Cx<'_>, site: &SiteAnalysis) -> String {
    let batches = cx.state.results.as_ref().map_or(0, |r| r.analysis.batches);
    let tied: u64 = site.features.values().map(|f| f.tied_votes).sum();
    let cast: u64 = site.votes.iter().sum();
    let maps: Vec<&str> = site.features.keys().map(|m| m.name()).collect();
    let (cast, batches) = (counted(cast, "votes"), counted(batches, "batches"));
    format!("{cast} from {batches} on {}, {tied} of them tied", maps.join(", "))
}
