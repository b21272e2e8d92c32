//! Where heads look: attention weights over the tokens or the patches of one input.

mod bar;
mod matrix;
mod panel;
mod panels;
mod patches;
mod strip;
mod words;

use std::collections::BTreeMap;
use std::sync::Arc;

use eframe::egui::{RichText, Ui};
use serde::{Deserialize, Serialize};

use self::panel::PanelTexture;
use super::shown::{Draw, Made, PictureKey};
use crate::chart::{AttentionMaps, AttentionPanel, Caption, ColorRange, Grid, Picture, Tone};
use crate::error::{Error, Result};
use crate::gui::command::Command;
use crate::gui::context::Cx;
use crate::gui::messages::sentence;
use crate::gui::state::State;
use crate::gui::widgets::{empty, note};
use crate::gui::wording::worded;
use crate::network::Site;
use crate::run::AttentionInput;

/// Which heads have a picture of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) enum Show {
    #[default]
    Heads,
    /// None: the mean of those of a layer.
    Mean,
}

/// How an image's patches are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) enum Over {
    /// Over the image, for one query.
    #[default]
    Image,
    Matrix,
}

/// What the attention view remembers.
#[derive(Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Attention {
    text: String,
    range: ColorRange,
    tone: Tone,
    show: Show,
    over: Over,
    /// The query whose weights lie over an image.
    #[serde(skip)]
    query: usize,
    /// The input of the run that was shown last, to go back to from a text.
    #[serde(skip)]
    last: u64,
    /// Places of the first and the last token that are shown; `None` of all.
    #[serde(skip)]
    part: Option<(usize, usize)>,
    /// The query that a person holds in the strip of words.
    #[serde(skip)]
    held: Option<usize>,
    /// The query under the pointer in the last frame.
    #[serde(skip)]
    hovered: Option<usize>,
    #[serde(skip)]
    textures: Vec<PanelTexture>,
}

impl Default for Attention {
    fn default() -> Self {
        Self {
            text: String::new(),
            range: ColorRange::default(),
            // Of long inputs most weights are small: spread evenly, the colors of all but a few would be the same.
            tone: Tone::Root,
            show: Show::default(),
            over: Over::default(),
            query: 0,
            last: 0,
            part: None,
            held: None,
            hovered: None,
            textures: Vec::new(),
        }
    }
}

/// Text, colors, heads or their mean, image or matrix.
pub(super) type AttentionChoice = (String, ColorRange, Tone, Show, Over);

impl Attention {
    /// A text of one model may hold what another cannot read.
    pub(super) fn forget_model(&mut self) {
        self.text.clear();
        self.last = 0;
        self.forget_input();
    }

    /// Places among tokens are those of one input.
    fn forget_input(&mut self) {
        self.query = 0;
        self.part = None;
        self.held = None;
        self.hovered = None;
    }

    /// The text in the field, where there is one: a workspace that comes back with it shows its maps, not those of another input.
    pub(super) fn typed(&self) -> Option<AttentionInput> {
        (!self.text.trim().is_empty()).then(|| AttentionInput::Text(self.text.clone()))
    }

    /// What a person chose.
    pub(super) fn chosen(&self) -> AttentionChoice {
        (self.text.clone(), self.range, self.tone, self.show, self.over)
    }

    /// What its picture is made of.
    pub(super) fn key(&self, state: &State) -> PictureKey {
        let colors = self.range as usize * 3 + self.tone as usize;
        let part = self.part.map_or(0, |(first, last)| 1 + first + (last << 24));
        let options = [(colors * 2 + self.show as usize) * 2 + self.over as usize, self.query, part];
        PictureKey {
            // Kinds of heads are told by the last run.
            results: state.results.as_ref().map(|r| r.revision),
            patterns: state.patterns.as_ref().map(|(key, _)| key.clone()),
            options,
            ..PictureKey::default()
        }
    }

    /// What makes its picture.
    pub(super) fn picture(&self, state: &State) -> Result<Draw> {
        let nothing = || Error::new("no attention is shown").hint("open the attention view and choose an input");
        // What is told of them is what they are of: another input may have been asked for since.
        let ((of, _), patterns) = state.patterns.as_ref().ok_or_else(nothing)?;
        let (patterns, shown) = (Arc::clone(patterns), input_words(of));
        let analysis = state.results.as_ref().map(|results| Arc::clone(&results.analysis));
        let (show, over, query, part) = (self.show, self.over, self.query, self.part);
        let (range, tone) = (self.range, self.tone);
        Ok(Box::new(move || {
            let words = |of: &BTreeMap<Site, Vec<String>>| -> BTreeMap<Site, Arc<Vec<String>>> {
                of.iter().map(|(site, words)| (*site, Arc::new(words.clone()))).collect()
            };
            let (queries, keys) = (words(&patterns.queries), words(&patterns.keys));
            let image = patterns.image.clone().filter(|_| over == Over::Image).map(|image| (image, query));
            let kind =
                |site: Site, head: usize| analysis.as_ref()?.site(site)?.kind(head).map(|(kind, _)| kind.label());
            let panel = |site: Site, head: Option<usize>, weights: Grid| {
                let whole = AttentionPanel {
                    site,
                    head,
                    kind: head.and_then(|head| kind(site, head)),
                    from: [0, 0],
                    queries: queries.get(&site).cloned().unwrap_or_default(),
                    keys: keys.get(&site).cloned().unwrap_or_default(),
                    weights,
                };
                match part.filter(|_| image.is_none()) {
                    Some((first, last)) => whole.between(first, last),
                    None => whole,
                }
            };
            let panels: Vec<AttentionPanel> = match show {
                Show::Heads => patterns.weights.iter().map(|(h, g)| panel(h.site, Some(h.head), g.clone())).collect(),
                Show::Mean => patterns.means().into_iter().map(|(site, grid)| panel(site, None, grid)).collect(),
            };
            let mut sites: Vec<String> = panels.iter().map(|p| p.site.to_string()).collect();
            sites.dedup();
            let caption = Caption::new(format!("Attention of {}", sites.join(", ")), shown);
            Ok(Picture::Attention(AttentionMaps { caption, panels, range, tone, image }))
        }))
    }

    pub(super) fn ui(&mut self, ui: &mut Ui, cx: Cx<'_>, made: Option<&Made>) {
        let state = cx.state;
        ui.horizontal_wrapped(|ui| self.toolbar(ui, cx));
        if !matches!(state.checked, Some(Ok(_))) {
            // An input that is named and cannot be read is there.
            if let Some(faults) = state.faults().filter(|_| state.run.input.is_some()) {
                return empty(ui, cx, "The settings on the left need attention", &sentence(&faults), None);
            }
            let text = "Attention is computed on what the model reads: choose an input on the left";
            empty(ui, cx, "There is no input", text, Some((Command::ChooseInput, "Choose input…")));
            return;
        }
        if let Some(error) = &state.pattern_fault {
            ui.label(RichText::new(worded(error)).color(cx.theme.danger));
        }
        match made.map(|made| (made, &**made)) {
            Some((made, Picture::Attention(maps))) if state.patterns.is_some() => {
                ui.horizontal_wrapped(|ui| self.legend(ui, cx, maps));
                if maps.image.is_none() && maps.has_shared_words() {
                    self.strip(ui, cx, maps);
                }
                ui.add_space(4.0);
                self.panels_ui(ui, cx, made, maps);
            }
            _ if state.pattern_fault.is_none() => note(ui, cx.theme, "Computing …"),
            _ => {}
        }
    }
}

fn input_words(shown: &AttentionInput) -> String {
    match shown {
        AttentionInput::Nth(index) => format!("input {}", index + 1),
        AttentionInput::Text(text) => text.clone(),
    }
}
