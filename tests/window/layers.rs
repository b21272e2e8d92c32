//! Every layer at once, as tiles and as a table.

use std::time::{Duration, Instant};

use eframe::egui::accesskit::Role;
use eframe::egui::{Event, Key, Modifiers, Rect};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use pillars::workspace::ProgramSettings;

use crate::desk::Desk;
use crate::large::{HEADS, LAYERS, write_large};
use crate::pictures::can_draw;

impl Desk {
    pub fn choose(&mut self, name: &str) {
        self.harness.get_by_role_and_label(Role::RadioButton, name).click();
        self.harness.run_ok();
    }

    /// Frames until something is shown that a worker of a view brings.
    fn wait_for(&mut self, what: &str, is_there: impl Fn(&mut Self) -> bool) {
        let began = Instant::now();
        while !is_there(self) {
            assert!(began.elapsed() < Duration::from_secs(60), "{what} does not come");
            std::thread::sleep(Duration::from_millis(5));
            self.harness.step();
        }
    }

    fn tiles(&self, numbers: &str) -> Option<Rect> {
        let name = format!("{numbers} in every layer");
        self.harness.query_by_role_and_label(Role::Image, &name).map(|node| node.rect())
    }
}

#[test]
fn tiles_grow_by_slider_and_wheel() {
    let mut desk = Desk::with_results("bert");
    desk.chord(Modifiers::COMMAND, Key::Num2);
    desk.choose("All layers");
    desk.wait_for("the tiles", |desk| desk.tiles("Cosine").is_some());
    let small = desk.tiles("Cosine").unwrap();
    desk.harness.get_by_role_and_label(Role::Slider, "Size of the tiles").set_value_accesskit(3.0);
    desk.harness.run_ok();
    desk.wait_for("larger tiles", |desk| desk.tiles("Cosine").is_some_and(|r| r.height() > 2.0 * small.height()));
    let large = desk.tiles("Cosine").unwrap();
    // As the wheel with Ctrl does it, over the tiles.
    desk.harness.hover_at(large.left_top() + eframe::egui::vec2(30.0, 60.0));
    desk.harness.event(Event::Zoom(0.5));
    desk.harness.run_ok();
    desk.wait_for("smaller tiles", |desk| desk.tiles("Cosine").is_some_and(|r| r.height() < 0.8 * large.height()));
    // A click shows one layer.
    let at = desk.tiles("Cosine").unwrap().left_top() + eframe::egui::vec2(30.0, 60.0);
    desk.harness.hover_at(at);
    desk.harness.drag_at(at);
    desk.harness.drop_at(at);
    desk.harness.run_ok();
    assert!(desk.shows("Cosine between the heads of encoder.0"));
}

#[test]
fn tiles_show_the_numbers_that_are_asked_for_last() {
    if !can_draw() {
        eprintln!("not drawn: set WGPU_BACKEND=vulkan where Mesa's software Vulkan is installed");
        return;
    }
    let builder = Harness::builder().with_size([1280.0, 800.0]).with_max_steps(16).with_render_cursor(false).wgpu();
    let mut desk = Desk::with_results_in(builder, ProgramSettings::default());
    desk.chord(Modifiers::COMMAND, Key::Num2);
    desk.choose("All layers");
    desk.wait_for("the tiles", |desk| desk.tiles("Cosine").is_some());
    // The first tile, a little inside.
    let pixels = |desk: &mut Desk, numbers: &str| {
        let tiles = desk.tiles(numbers).unwrap();
        let image = desk.harness.render().unwrap();
        let at = |x: u32, y: u32| *image.get_pixel(tiles.left() as u32 + x, tiles.top() as u32 + 18 + y);
        (0..40).flat_map(|y| (0..40).map(move |x| (x, y))).map(|(x, y)| at(8 + x, 8 + y)).collect::<Vec<_>>()
    };
    let cosine = pixels(&mut desk, "Cosine");
    desk.choose("Distance");
    desk.wait_for("distances", |desk| pixels(desk, "Distance") != cosine);
    desk.choose("Cosine");
    desk.wait_for("cosines", |desk| pixels(desk, "Cosine") == cosine);
}

#[test]
fn the_table_of_every_pair_is_read_page_by_page() {
    let folder = tempfile::tempdir().unwrap();
    let view = serde_json::json!({"views": {"redundancy": {"all_layers": true}, "tables": ["redundancy"]}});
    let path = write_large(folder.path(), view);
    let mut desk = Desk::start_in(folder, Some(path));
    desk.chord(Modifiers::COMMAND, Key::Num2);
    let rows = LAYERS * HEADS * HEADS;
    let first = format!("rows 1 to 100000 of {rows}");
    desk.wait_for("the table", |desk| desk.shows(&first));
    desk.click("Next rows");
    assert!(desk.shows(&format!("rows 100001 to 200000 of {rows}")));
    desk.click("Previous rows");
    assert!(desk.shows(&first));
}
