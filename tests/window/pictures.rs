//! Pictures of the window, drawn by software Vulkan (Mesa's lavapipe), which draws the same everywhere. Without
//! `WGPU_BACKEND=vulkan` another driver might draw, so nothing is compared. Set `UPDATE_SNAPSHOTS=1` to make them anew, and
//! look at them.

use eframe::egui::{Key, Modifiers};
use egui_kittest::{Harness, SnapshotOptions, SnapshotResults};
use pillars::gui::App;
use pillars::workspace::{ProgramSettings, Store, ThemeChoice};

use crate::desk::{Desk, fixture};

/// Whether pictures can be made here.
pub fn can_draw() -> bool {
    std::env::var("WGPU_BACKEND").as_deref() == Ok("vulkan")
}

/// A window after a run of a tiny model over the inputs that its reference was computed on.
fn desk(theme: ThemeChoice, family: &'static str) -> Desk {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::at(folder.path().join("remembered"));
    // Only the view: what surrounds it has tests of its own.
    let (show_model, show_inspector, show_tasks, show_guide) = (false, false, false, false);
    let settings =
        ProgramSettings { theme, show_model, show_inspector, show_tasks, show_guide, ..ProgramSettings::default() };
    let builder = Harness::builder().with_size([800.0, 540.0]).with_max_steps(16).with_render_cursor(false).wgpu();
    let harness = builder.build_eframe(move |context| {
        let mut app = App::new(&context.egui_ctx, store, settings).without_dialogs();
        app.start(Some(fixture(family)));
        app
    });
    let mut desk = Desk { harness, folder };
    desk.settle();
    desk.type_path((Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::I), &fixture(family).join("reference.safetensors"));
    desk.press(Key::F5);
    desk.settle();
    desk
}

#[test]
fn views_look_as_they_did() {
    if !can_draw() {
        eprintln!("not compared: set WGPU_BACKEND=vulkan where Mesa's software Vulkan is installed");
        return;
    }
    // A last digit may round otherwise on another processor; a view that moved differs in thousands of pixels.
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/snapshots");
    let options = SnapshotOptions::new().output_path(folder).max_failed_pixels(400);
    let pictures = [
        (ThemeChoice::Light, "bart", Key::Num1, "overview_encoder_decoder_light"),
        (ThemeChoice::Dark, "llama", Key::Num2, "redundancy_grouped_queries_dark"),
        (ThemeChoice::Dark, "bart", Key::Num4, "votes_dark"),
        (ThemeChoice::Light, "vit", Key::Num6, "attention_image_light"),
    ];
    let mut results = SnapshotResults::new();
    for (theme, family, key, name) in pictures {
        let mut desk = desk(theme, family);
        desk.chord(Modifiers::COMMAND, key);
        desk.settle();
        desk.harness.snapshot_options(name, &options);
        results.extend_harness(&mut desk.harness);
    }
    results.unwrap();
}
