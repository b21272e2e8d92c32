//! One panel of the attention view: its place, its name, what all ways to fill it share.

use eframe::egui::text::LayoutJob;
use eframe::egui::{self, Rect, Sense, Ui, Vec2, vec2};

use crate::chart::{AttentionMaps, AttentionPanel};
use crate::gui::context::Cx;
use crate::gui::theme::STRONG;
use crate::gui::views::shown::Made;
use crate::gui::widgets::MatrixTexture;
use crate::network::Head;

/// Textures change with the picture and with the theme.
pub(super) type PanelTexture = MatrixTexture<(Made, &'static str)>;

/// Height of the name over a panel.
pub(super) const TITLE: f32 = 20.0;

/// Room for words beside and above a matrix.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct LabelRoom {
    pub left: f32,
    pub above: f32,
}

/// One panel on its way to the screen.
pub(super) struct PanelView<'a> {
    pub cx: Cx<'a>,
    pub maps: &'a AttentionMaps,
    pub panel: &'a AttentionPanel,
    pub key: (Made, &'static str),
    /// Of the matrix or the image, without name and words.
    pub size: Vec2,
    /// Room for the words of this panel.
    pub words: LabelRoom,
    /// Whether its name does without the layer.
    pub is_short: bool,
    /// The query that is looked at in all panels.
    pub lit: Option<usize>,
}

impl PanelView<'_> {
    /// Makes room for name, words and matrix; where the matrix lies.
    pub(super) fn place(&self, ui: &mut Ui, sense: Sense) -> (Rect, egui::Response) {
        let before = vec2(self.words.left, TITLE + self.words.above);
        let (outer, response) = ui.allocate_exact_size(self.size + before, sense);
        let inner = Rect::from_min_size(outer.min + before, self.size);
        self.title(ui, egui::pos2(inner.left(), outer.top()));
        (inner, response)
    }

    /// The name over the panel, with what the head does; where it has no room, all of it is under the pointer.
    fn title(&self, ui: &Ui, at: egui::Pos2) {
        let (panel, theme) = (self.panel, self.cx.theme);
        let name = if self.is_short { panel.short_name() } else { panel.name() };
        let mut job = title_of(self.cx, panel, name);
        job.wrap = egui::text::TextWrapping::truncate_at_width(self.size.x);
        let galley = ui.painter().layout_job(job);
        if galley.elided || self.is_short {
            let id = ui.scope_id().with(("title", panel.site, panel.head));
            let place = Rect::from_min_size(at, vec2(self.size.x, TITLE));
            ui.interact(place, id, Sense::hover()).on_hover_text(panel.title());
        }
        ui.painter().galley(at, galley, theme.ink);
    }
}

/// Whether names over panels of this width do without the layer: all are of one, and some name has no room beside it.
pub(super) fn are_short(ui: &Ui, cx: Cx<'_>, maps: &AttentionMaps, width: f32) -> bool {
    let is_cut = |panel: &AttentionPanel| {
        let galley = ui.painter().layout_job(title_of(cx, panel, panel.name()));
        galley.size().x > width
    };
    maps.is_of_one_layer() && maps.panels.iter().any(is_cut)
}

/// A name with what becomes of the head and what it does.
fn title_of(cx: Cx<'_>, panel: &AttentionPanel, name: String) -> LayoutJob {
    let theme = cx.theme;
    let strong = egui::FontId::new(12.0, egui::FontFamily::Name(STRONG.into()));
    let mut job = LayoutJob::simple_singleline(name, strong, theme.ink);
    let mut more = |text: &str| {
        job.append(text, 6.0, egui::TextFormat::simple(egui::FontId::proportional(11.0), theme.muted));
    };
    // What is cut is what stands last: that a head goes matters more than its kind.
    if panel.head.is_some_and(|head| !cx.state.is_kept(Head::new(panel.site, head))) {
        more("pruned");
    }
    if let Some(kind) = panel.kind {
        more(&kind.to_lowercase());
    }
    job
}
