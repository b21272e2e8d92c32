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
//! | `past` | what was made of models that are not open |
//! | `jobs` | workers under way |
//! | `theme`, `widgets` | colors by name; parts used in several places |
//! | `panels`, `view`, `views` | what surrounds the tabs; their names; what they show |

mod action;
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

use std::path::PathBuf;

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
    let create: eframe::AppCreator<'_> = Box::new(move |context| {
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
        Error::new(format!("the window cannot be opened: {error}"))
            .hint("use the commands (see pillars --help) where there is no display")
    })
}

use eframe::egui;
