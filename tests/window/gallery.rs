//! Every view of the bundled sample in both themes and several sizes, to be looked at. Set `PILLARS_GALLERY` to a folder.

use std::path::{Path, PathBuf};

use eframe::egui::accesskit::Role;
use eframe::egui::{Key, Modifiers, vec2};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use pillars::gui::App;
use pillars::workspace::{ProgramSettings, Store, ThemeChoice};

use crate::desk::Desk;

pub(crate) const VIEWS: [(Key, &str); 7] = [
    (Key::Num1, "overview"),
    (Key::Num2, "redundancy"),
    (Key::Num3, "groups"),
    (Key::Num4, "votes"),
    (Key::Num5, "prune"),
    (Key::Num6, "attention"),
    (Key::Num7, "training"),
];

/// Draws what the window shows into a file.
fn write(desk: &mut Desk, path: &Path) {
    desk.harness.render().unwrap().save(path).unwrap();
}

/// The sample after a run, in a window that draws: pixels to a point, zoom, points of width and height.
fn sample(pixels_per_point: f32, zoom: f32, size: [f32; 2]) -> Desk {
    let (folder, path) = Desk::sample_workspace();
    let store = Store::at(folder.path().join("remembered"));
    let settings = ProgramSettings { zoom, ..ProgramSettings::default() };
    let points = size.map(|side| side / pixels_per_point / zoom);
    let builder = Harness::builder().with_size(points).with_pixels_per_point(pixels_per_point).with_max_steps(16);
    let harness = builder.with_render_cursor(false).wgpu().build_eframe(move |context| {
        let mut app = App::new(&context.egui_ctx, store, settings).without_dialogs();
        app.start(Some(path));
        app
    });
    let mut desk = Desk { harness, folder };
    desk.settle();
    desk.press(Key::F5);
    desk.settle();
    assert!(desk.state().results.is_some(), "{}", desk.messages());
    desk
}

fn views(desk: &mut Desk, folder: &Path, name: &str) {
    for (key, view) in VIEWS {
        desk.chord(Modifiers::COMMAND, key);
        desk.settle();
        desk.rest();
        write(desk, &folder.join(format!("{view}-{name}.png")));
    }
}

#[test]
fn every_view_can_be_looked_at() {
    let Some(folder) = std::env::var_os("PILLARS_GALLERY").map(PathBuf::from) else {
        eprintln!("nothing is drawn: set PILLARS_GALLERY to a folder");
        return;
    };
    std::fs::create_dir_all(&folder).unwrap();
    let mut desk = sample(1.0, 1.0, [1280.0, 720.0]);
    desk.command("measure the quality curve");
    desk.settle();
    for (theme, words) in [(ThemeChoice::Light, "light theme"), (ThemeChoice::Dark, "dark theme")] {
        desk.command(words);
        assert_eq!(desk.state().settings.theme, theme);
        for size in [vec2(1000.0, 640.0), vec2(1440.0, 900.0), vec2(1920.0, 1080.0)] {
            desk.harness.set_size(size);
            desk.harness.run_ok();
            views(&mut desk, &folder, &format!("{}-{}", &words[..words.len() - 6], size.y));
        }
    }
    for (zoom, name) in [(2.0, "zoom-2"), (3.0, "zoom-3"), (0.5, "zoom-half")] {
        views(&mut sample(1.0, zoom, [1920.0, 1080.0]), &folder, name);
    }
    views(&mut sample(2.0, 1.0, [1920.0, 1080.0]), &folder, "two-pixels-to-a-point");
}

#[test]
fn verdicts_kinds_and_comparisons_can_be_looked_at() {
    let Some(folder) = std::env::var_os("PILLARS_GALLERY").map(PathBuf::from) else {
        eprintln!("nothing is drawn: set PILLARS_GALLERY to a folder");
        return;
    };
    std::fs::create_dir_all(&folder).unwrap();
    let mut desk = sample(1.0, 1.0, [1440.0, 900.0]);
    desk.chord(Modifiers::COMMAND, Key::Num1);
    desk.pick("Color", "What it does");
    desk.settle();
    desk.rest();
    write(&mut desk, &folder.join("kinds.png"));
    let head = desk.head("encoder.3", 1);
    desk.click_head(head, Modifiers::NONE);
    desk.chord(Modifiers::COMMAND, Key::Z);
    desk.settle();
    write(&mut desk, &folder.join("kinds-inspector.png"));
    desk.chord(Modifiers::COMMAND, Key::Num5);
    desk.settle();
    write(&mut desk, &folder.join("first-plan.png"));
    desk.harness.get_by_role_and_label(Role::CheckBox, "Every method").click();
    desk.harness.run_ok();
    desk.press(Key::F6);
    desk.settle();
    desk.click("Find");
    desk.settle();
    desk.rest();
    write(&mut desk, &folder.join("verdict.png"));
    for (theme, size) in [("light", [1440.0, 900.0]), ("dark", [1440.0, 900.0]), ("light", [1000.0, 640.0])] {
        desk.command(&format!("{theme} theme"));
        desk.harness.set_size(size.into());
        desk.harness.run_ok();
        desk.harness.get_by_label("Plans side by side").scroll_to_me();
        desk.settle();
        desk.rest();
        write(&mut desk, &folder.join(format!("plans-{theme}-{}.png", size[1])));
    }
    desk.harness.set_size(vec2(1440.0, 900.0));
    desk.command("dark theme");
    let analysis = desk.state().results.as_ref().unwrap().analysis.clone();
    let path = desk.folder.path().join("before.json");
    pillars::analysis::Document::write(&*analysis, &path).unwrap();
    desk.compare_with(&path);
    desk.rest();
    write(&mut desk, &folder.join("comparison.png"));
    desk.command("dark theme");
    desk.settle();
    write(&mut desk, &folder.join("comparison-dark.png"));
}
