//! A ring around the control that has the keyboard.

use eframe::egui::{Context, Event, Key, Stroke, StrokeKind};

use super::super::theme::Theme;

/// Whether a person walks through the window with keys; those who use the pointer need no ring.
#[derive(Default)]
pub struct FocusRing {
    by_keys: bool,
}

impl FocusRing {
    /// Draws the ring, after everything else.
    pub fn show(&mut self, ctx: &Context, theme: &Theme) {
        ctx.input(|input| {
            for event in &input.events {
                match event {
                    Event::Key { key: Key::Tab, pressed: true, .. } => self.by_keys = true,
                    Event::PointerButton { pressed: true, .. } => self.by_keys = false,
                    _ => {}
                }
            }
        });
        if !self.by_keys {
            return;
        }
        let Some(control) = ctx.memory(|m| m.focused()).and_then(|id| ctx.read_response(id)) else { return };
        let painter = ctx.layer_painter(control.layer_id).with_clip_rect(control.interact_rect.expand(4.0));
        painter.rect_stroke(control.rect.expand(1.5), 5.0, Stroke::new(2.0, theme.accent), StrokeKind::Outside);
    }
}
