//! A ring around the control that has the keyboard.

use eframe::egui::accesskit::{Action, ActionRequest, TreeId};
use eframe::egui::{Context, Event, Id, Key, Rect, Stroke, StrokeKind, Ui};

use crate::gui::theme::WindowTheme;
use crate::gui::view::View;

/// How long a control is followed after the keyboard came to it.
const FOLLOWED_SECS: f64 = 3.0;
/// Points of a control, in height and in width, that have to be in sight for its ring to be seen.
const SEEN: f32 = 20.0;

/// Whether a person walks through the window with keys; those who use the pointer need no ring.
#[derive(Default)]
pub(super) struct FocusRing {
    by_keys: bool,
    /// The control that was brought into sight last.
    brought: Option<Id>,
    /// The control that had the keyboard in the last frame, where it was, and since when it has it.
    last: Option<(Id, Rect)>,
    since_secs: f64,
}

impl FocusRing {
    /// Asks for the control that the keyboard came to by keys, before anything is drawn, where so little of it is in sight that
    /// its ring would not be seen: areas that are scrolled do not follow the keyboard, but what a screen reader asks for.
    pub(super) fn bring(&mut self, ctx: &Context) {
        let now = ctx.memory(|m| m.focused());
        if std::mem::replace(&mut self.brought, now) == now || !self.by_keys {
            return;
        }
        let Some(control) = now.and_then(|id| ctx.read_response(id)) else { return };
        let [all, seen] = [control.rect, control.interact_rect].map(|rect| rect.size());
        if seen.x < all.x.min(SEEN) || seen.y < all.y.min(SEEN) {
            let (action, target_node) = (Action::ScrollIntoView, control.id.accesskit_id());
            let request = ActionRequest { action, target_tree: TreeId::ROOT, target_node, data: None };
            ctx.input_mut(|i| i.events.push(Event::AccessKitActionRequest(request)));
        }
    }

    /// Brings the control that the keyboard came to into view where the whole window is scrolled, `canvas` being all of
    /// it: areas inside care only for their own part, and take a moment to bring it to where it stays.
    pub(super) fn follow(&mut self, ui: &Ui, canvas: Rect) {
        let time = ui.input(|i| i.time);
        let control = ui.ctx().memory(|m| m.focused()).and_then(|id| ui.ctx().read_response(id));
        let now = control.as_ref().map(|c| (c.id, c.rect.translate(-canvas.min.to_vec2())));
        if now.map(|(id, _)| id) != self.last.map(|(id, _)| id) {
            self.since_secs = time;
        }
        let has_moved = std::mem::replace(&mut self.last, now) != now;
        if let Some(control) = control.filter(|_| has_moved && time - self.since_secs < FOLLOWED_SECS) {
            ui.scroll_to_rect(control.rect, None);
            ui.ctx().request_repaint();
        }
    }

    /// Draws the ring, after everything else.
    pub(super) fn show(&mut self, ctx: &Context, theme: &WindowTheme) {
        ctx.input(|input| {
            for event in &input.events {
                match event {
                    Event::Key { key: Key::Tab, pressed: true, .. } => self.by_keys = true,
                    // The key of a view, or of the next pane, gives it the keyboard.
                    Event::Key { key, pressed: true, modifiers, .. }
                        if modifiers.command
                            && (*key == Key::F6 || View::ALL.iter().any(|view| view.key() == *key)) =>
                    {
                        self.by_keys = true;
                    }
                    Event::PointerButton { pressed: true, .. } => self.by_keys = false,
                    _ => {}
                }
            }
        });
        if !self.by_keys {
            return;
        }
        let Some(control) = ctx.memory(|m| m.focused()).and_then(|id| ctx.read_response(id)) else { return };
        // Around the part in sight: the edges of what is larger than its place would lie beyond it.
        let seen = control.interact_rect;
        let painter = ctx.layer_painter(control.layer_id).with_clip_rect(seen.expand(4.0));
        painter.rect_stroke(seen.expand(1.5), 5.0, Stroke::new(2.0, theme.accent), StrokeKind::Outside);
    }
}
