//! One panel of the attention view: its place, its name, what all ways to fill it share.

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

    /// The name over the panel, with what the head does; cut where it has no room.
    fn title(&self, ui: &Ui, at: egui::Pos2) {
        let (panel, theme) = (self.panel, self.cx.theme);
        let is_pruned = panel.head.is_some_and(|h| !self.cx.state.is_kept(Head::new(panel.site, h)));
        let strong = egui::FontId::new(12.0, egui::FontFamily::Name(STRONG.into()));
        let mut job = egui::text::LayoutJob::simple_singleline(panel.name(), strong, theme.ink);
        let mut more = |text: String| {
            job.append(&text, 6.0, egui::TextFormat::simple(egui::FontId::proportional(11.0), theme.muted));
        };
        // What is cut is what stands last: that a head goes matters more than its kind.
        if is_pruned {
            more("pruned".to_owned());
        }
        if let Some(kind) = panel.kind {
            more(kind.to_lowercase());
        }
        job.wrap = egui::text::TextWrapping::truncate_at_width(self.size.x);
        let galley = ui.painter().layout_job(job);
        ui.painter().galley(at, galley, theme.ink);
    }
}
