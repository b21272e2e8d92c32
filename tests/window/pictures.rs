//! Pictures of the window, byte for byte the same with software Vulkan: `cargo test --test window -- --ignored`.
//! Set `UPDATE_SNAPSHOTS=1` to make them anew, and look at them.

use eframe::egui::{Key, Modifiers};
use egui_kittest::Harness;
use pillars::gui::App;
use pillars::workspace::{Settings, Store, ThemeChoice};

use crate::desk::{Desk, fixture, tokens};

fn desk(theme: ThemeChoice) -> Desk {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::at(folder.path().join("remembered"));
    let settings = Settings { theme, ..Settings::default() };
    let builder = Harness::builder().with_size([1280.0, 720.0]).with_max_steps(16).with_render_cursor(false).wgpu();
    let harness = builder.build_eframe(move |context| {
        let mut app = App::new(&context.egui_ctx, store, settings).without_dialogs();
        app.start(Some(fixture("bert")));
        app
    });
    let mut desk = Desk { harness, folder };
    desk.settle();
    let input = tokens(desk.folder.path(), 12, 10);
    desk.type_path((Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::I), &input);
    desk.press(Key::F5);
    desk.settle();
    desk
}

#[test]
#[ignore = "needs software Vulkan (mesa-vulkan-drivers)"]
fn views_look_as_they_did() {
    for (theme, name) in [(ThemeChoice::Light, "light"), (ThemeChoice::Dark, "dark")] {
        let mut desk = desk(theme);
        for (key, view) in [(Key::Num1, "overview"), (Key::Num4, "votes"), (Key::Num5, "prune")] {
            desk.chord(Modifiers::COMMAND, key);
            desk.harness.snapshot(format!("{view}_{name}"));
        }
    }
}
