//! The desktop window.
//!
//! One frame is two steps: [`App::logic`](eframe::App::logic) drains workers and applies what the panels asked for, then
//! [`App::ui`](eframe::App::ui) draws and asks for more. Panels and views borrow the [`State`] and send [`Action`]s; only
//! `dispatch` changes the state.
//!
//! | module | job |
//! | --- | --- |
//! | `app` | the frame loop |
//! | `state`, `context` | everything that is shown; what of it panels and views are given |
//! | `command`, `action`, `purpose` | what a person can do: listed with a name and a key, or with something to do it to |
//! | `dispatch` | the one place that changes the state |
//! | `repairing` | how plans are repaired, and the repairs that were made |
//! | `ahead` | what a measurement will do, and about how long it takes |
//! | `past` | what was made of models that are not open |
//! | `jobs` | workers under way |
//! | `accessibility` | what screen readers are told beyond what egui tells them |
//! | `theme`, `widgets` | colors by name; parts used in several places |
//! | `panels`, `view`, `views` | what surrounds the tabs; their names; what they show |

mod accessibility;
mod action;
mod ahead;
mod app;
mod autosave;
mod command;
mod context;
mod dispatch;
mod findings;
mod jobs;
mod layout;
mod messages;
mod panels;
mod past;
mod purpose;
mod repairing;
mod selection;
mod state;
mod theme;
mod view;
mod views;
mod widgets;
mod wording;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub use action::Action;
pub use app::App;
pub use selection::Selection;
pub use state::State;
pub use view::View;

use crate::error::{Error, Result};
use crate::task::CancelToken;
use crate::workspace::Store;

/// Opens the window on `start`: a model folder or a workspace file. Without one it opens the last workspace, on first
/// start the bundled sample. Returns when the window is closed.
pub fn run(start: Option<PathBuf>) -> Result<()> {
    let store = Store::of_user();
    let (settings, warnings) = store.settings();
    let options = eframe::NativeOptions {
        viewport: egui::ViewportBuilder::default()
            .with_title("Pillars")
            .with_app_id("pillars")
            .with_inner_size(settings.window)
            .with_min_inner_size([720.0, 480.0])
            .with_drag_and_drop(true),
        ..Default::default()
    };
    let opened = Arc::new(AtomicBool::new(false));
    let was_opened = Arc::clone(&opened);
    let create: eframe::AppCreator<'_> = Box::new(move |context| {
        opened.store(true, Ordering::Relaxed);
        let (quit, ctx) = (CancelToken::default(), context.egui_ctx.clone());
        let wish = quit.clone();
        // Without it an interrupt only costs the last moment's work, which is no reason not to open.
        let _ = ctrlc::set_handler(move || {
            wish.cancel();
            ctx.request_repaint();
        });
        let mut app = App::new(&context.egui_ctx, store, settings).closed_by(quit);
        for warning in warnings {
            app.warn(warning);
        }
        app.start(start);
        Ok(Box::new(app))
    });
    eframe::run_native("Pillars", options, create).map_err(|error| {
        let why = without_source(&error.to_string());
        if was_opened.load(Ordering::Relaxed) {
            return Error::new(format!("the display went away while the window was open: {why}"));
        }
        let what = match lacks_display(&DISPLAYS.map(std::env::var_os)) {
            true => "no display: DISPLAY and WAYLAND_DISPLAY are not set".to_owned(),
            false => format!("the window cannot be opened: {why}"),
        };
        Error::new(what).hint("use the commands (see pillars --help) where there is no display")
    })
}

/// The variables of which one says where the display is.
const DISPLAYS: [&str; 3] = ["DISPLAY", "WAYLAND_DISPLAY", "WAYLAND_SOCKET"];

/// Whether none of the [`DISPLAYS`] says anything, on systems where they do.
fn lacks_display(values: &[Option<OsString>]) -> bool {
    cfg!(all(unix, not(target_os = "macos"))) && values.iter().flatten().all(|value| value.is_empty())
}

/// A fault of the system without the place in a library's source where it was seen.
fn without_source(text: &str) -> String {
    let behind = text.split_once("os error at ").and_then(|(_, placed)| placed.split_once(": "));
    behind.map_or(text, |(_, why)| why).to_owned()
}

use eframe::egui;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_of_the_display_names_no_source_file() {
        let text = "winit EventLoopError: os error at /home/a/winit-0.30.13/src/platform_impl/linux/mod.rs:765: neither \
                    WAYLAND_DISPLAY nor WAYLAND_SOCKET nor DISPLAY is set.";
        assert_eq!(without_source(text), "neither WAYLAND_DISPLAY nor WAYLAND_SOCKET nor DISPLAY is set.");
        assert_eq!(without_source("Found no glutin configs"), "Found no glutin configs");
    }

    #[test]
    #[cfg(all(unix, not(target_os = "macos")))]
    fn a_display_is_missing_where_every_variable_is_empty() {
        assert!(lacks_display(&[None, None]) && lacks_display(&[None, Some(OsString::new())]));
        assert!(!lacks_display(&[Some(OsString::from(":0")), None]));
    }
}
