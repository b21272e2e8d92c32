//! 128 layers of 128 heads: no frame is long, the first of a view included.

use std::time::Duration;

use eframe::egui::epaint::Primitive;
use eframe::egui::{Key, Modifiers};
use pillars::workspace::Store;

use crate::desk::fixture;
use crate::large::{LAYERS, VIEWS, Window, key_events, open_large};

/// Tests are built without optimization and share a machine; the benches tell what a frame really costs. What took long
/// before it was left to workers took several times this.
const LONGEST: Duration = Duration::from_millis(150);

fn check(what: &str, (longest, until_done): (Duration, Duration)) {
    eprintln!("{what:<40} longest frame {longest:>9.2?}, done after {until_done:>9.2?}");
    assert!(longest < LONGEST, "{what}: a frame took {longest:?}");
}

fn every_layer(folder: &std::path::Path, as_table: bool) -> Window {
    let tables = if as_table { vec!["redundancy"] } else { Vec::new() };
    let view = serde_json::json!({"views": {"redundancy": {"all_layers": true}, "tables": tables}});
    let mut window = open_large(folder, view);
    window.longest(Vec::new());
    window
}

#[test]
fn no_view_of_a_large_model_has_a_long_frame() {
    let folder = tempfile::tempdir().unwrap();
    let mut window = open_large(folder.path(), serde_json::Value::Null);
    let measured = serde_json::json!({"views": {"overview": {"paint": {"Measure": "Redundancy"}}}});
    check("overview by redundancy", open_large(folder.path(), measured).longest(Vec::new()));
    for (name, key) in VIEWS {
        check(&format!("first frame of {name}"), window.longest(key_events(Modifiers::COMMAND, key)));
        check(&format!("the same again: {name}"), window.longest(Vec::new()));
        let next = key_events(Modifiers::NONE, Key::CloseBracket);
        check(&format!("next layer in {name}"), window.longest(next));
    }
    // While a worker counts what changed plans save, the rows that were counted before stay.
    window.press(Modifiers::COMMAND, Key::D);
    window.settle();
    window.press(Modifiers::COMMAND, Key::A);
    window.press(Modifiers::NONE, Key::F);
    let state = window.app.state();
    assert!(state.outlook.is_none() && state.compared.len() == 2, "{} rows", state.compared.len());
}

#[test]
fn every_layer_of_a_large_model_at_once_stays_fluid() {
    let folder = tempfile::tempdir().unwrap();
    let mut window = every_layer(folder.path(), false);
    let drawn = window.until_picture(key_events(Modifiers::COMMAND, Key::Num2));
    eprintln!("the tiles of every layer are there after {drawn:.2?}");
    assert!(drawn < Duration::from_secs(10), "the tiles took {drawn:?}");
    window.press(Modifiers::COMMAND, Key::Num1);
    check("every layer", window.longest(key_events(Modifiers::COMMAND, Key::Num2)));
    let mut window = every_layer(folder.path(), true);
    // 128 x 128 x 128 rows: none of them is written before it is seen.
    check("every layer as a table", window.longest(key_events(Modifiers::COMMAND, Key::Num2)));
    assert_eq!(window.app.state().model.as_ref().unwrap().facts.shape.sites().len(), LAYERS);
}

#[test]
fn the_palette_looks_the_same_whether_or_not_a_screen_reader_is_told_of_all_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut window = Window::open(Store::at(folder.path().join("remembered")), &fixture("bert"));
    window.press(Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::P);
    for downs in [0, 30] {
        for _ in 0..downs {
            window.press(Modifiers::NONE, Key::ArrowDown);
        }
        // Long enough for what scrolls to come to rest.
        for _ in 0..60 {
            window.draw(Vec::new());
        }
        let mut painted = |is_told: bool| -> usize {
            match is_told {
                true => window.ctx.enable_accesskit(),
                false => window.ctx.disable_accesskit(),
            }
            let of = |primitive: &Primitive| match primitive {
                Primitive::Mesh(mesh) => mesh.vertices.len(),
                Primitive::Callback(_) => 0,
            };
            window.draw(Vec::new()).iter().map(|shape| of(&shape.primitive)).sum()
        };
        // The cursor in the field blinks once at most in so few frames.
        let [before, told, after] = [false, true, false].map(&mut painted);
        assert!(told == before || told == after, "{downs} lines down: {before}, {told}, {after}");
    }
}
