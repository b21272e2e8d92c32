//! Words in the window: none is cut at its sides, none covers another, in every view and at every size.

use std::path::Path;

use eframe::egui::accesskit::Role;
use eframe::egui::{self, Key, Modifiers, Rect, Shape};
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT, Queryable};
use pillars::workspace::ProgramSettings;

use crate::desk::Desk;
use crate::gallery::VIEWS;

/// What stands somewhere in the window.
struct Word {
    text: String,
    /// Where its letters are.
    rect: Rect,
    /// What of it could be seen.
    clip: Rect,
    /// Whether a line ends within a number.
    is_broken: bool,
}

/// Whether a line of the text ends within a number, which goes on in the next.
fn breaks_a_number(galley: &egui::Galley) -> bool {
    let line = |row: &egui::epaint::text::PlacedRow| row.glyphs.iter().map(|glyph| glyph.chr).collect::<String>();
    let is_of_number = |c: char| c.is_ascii_digit() || ".,+-\u{2212}".contains(c);
    let ends_in_number = |line: &str| {
        let word = line.rsplit(char::is_whitespace).next().unwrap_or_default();
        !word.is_empty() && word.chars().all(is_of_number)
    };
    galley.rows.windows(2).any(|rows| {
        let [above, below] = [&rows[0], &rows[1]].map(line);
        !rows[0].ends_with_newline && ends_in_number(&above) && below.starts_with(is_of_number)
    })
}

/// How far letters may reach beyond their place, in points: half a pixel of smoothing on each side, and a hanging letter.
const SLACK: f32 = 1.5;

fn collect(shape: &Shape, clip: Rect, words: &mut Vec<Word>) {
    match shape {
        Shape::Text(shape) => {
            let rect = shape.visual_bounding_rect();
            let text = shape.galley.text().trim().to_owned();
            if !text.is_empty() && rect.is_positive() {
                words.push(Word { text, rect, clip, is_broken: breaks_a_number(&shape.galley) });
            }
        }
        Shape::Vec(shapes) => shapes.iter().for_each(|shape| collect(shape, clip, words)),
        _ => {}
    }
}

impl Desk {
    fn words(&self) -> Vec<Word> {
        let mut words = Vec::new();
        for shape in &self.harness.output().shapes {
            collect(&shape.shape, shape.clip_rect, &mut words);
        }
        // What is typed may be longer than its field.
        let root = self.harness.root();
        let is_field = |role| matches!(role, Role::TextInput | Role::MultilineTextInput | Role::SpinButton);
        let fields: Vec<Rect> =
            root.children_recursive().filter(|n| is_field(n.accesskit_node().role())).map(|n| n.rect()).collect();
        words.retain(|word| {
            let seen = word.rect.intersect(word.clip);
            seen.is_positive() && !fields.iter().any(|field| field.expand(4.0).contains_rect(seen))
        });
        words
    }

    /// Words that are cut at a side or lie on each other.
    fn illegible(&self) -> Vec<String> {
        let words = self.words();
        assert!(words.len() > 20, "only {} words were found", words.len());
        let mut faults = Vec::new();
        let window = self.harness.ctx.content_rect();
        let is_scrolled = window.width() < 720.0;
        for word in &words {
            if word.is_broken {
                faults.push(format!("'{}' is broken within a number", word.text));
            }
            // What is cut above or below is scrolled there, and so is a window that is too small for all of it.
            let [left, right] = [word.clip.left() - word.rect.left(), word.rect.right() - word.clip.right()];
            let left = if is_scrolled && word.clip.left() < 1.0 { 0.0 } else { left };
            let right = if is_scrolled && word.clip.right() > window.right() - 1.0 { 0.0 } else { right };
            // In a window that is scrolled as a whole, the strip of tabs may be scrolled too.
            let is_tab = is_scrolled && VIEWS.iter().any(|(_, view)| word.text.eq_ignore_ascii_case(view));
            if (left > SLACK || right > SLACK) && !is_tab {
                faults.push(format!("'{}' is cut by {:.0} and {:.0}", word.text, left.max(0.0), right.max(0.0)));
            }
        }
        for (place, a) in words.iter().enumerate() {
            for b in &words[..place] {
                let both = a.rect.intersect(a.clip).intersect(b.rect.intersect(b.clip));
                if both.width() > SLACK && both.height() > SLACK {
                    faults.push(format!("'{}' and '{}' lie on each other at {:?}", a.text, b.text, both));
                }
            }
        }
        faults
    }
}

/// Pixels of the window, and how much larger everything in it is.
const SIZES: [([f32; 2], f32); 5] = [
    ([1000.0, 640.0], 1.0),
    ([1440.0, 900.0], 1.0),
    ([1920.0, 1080.0], 1.0),
    ([1920.0, 1080.0], 2.0),
    ([1920.0, 1080.0], 3.0),
];

impl Desk {
    /// Words of every view that cannot be read, in windows of every size.
    fn illegible_views(&mut self, theme: &str) -> Vec<String> {
        self.command(theme);
        let mut faults = Vec::new();
        for (size, zoom) in SIZES {
            self.command("actual size");
            for _ in 0..((zoom - 1.0) * 10.0) as usize {
                self.chord(Modifiers::COMMAND, Key::Plus);
            }
            assert_eq!(self.state().settings.zoom, zoom);
            self.harness.set_size(egui::Vec2::from(size) / zoom);
            self.harness.run_ok();
            for (key, view) in VIEWS {
                self.chord(Modifiers::COMMAND, key);
                self.settle();
                self.rest();
                let place = format!("{view} at {} x {} zoom {zoom}, {theme}", size[0], size[1]);
                faults.extend(self.illegible().into_iter().map(|fault| format!("{place}: {fault}")));
            }
        }
        faults
    }
}

#[test]
fn words_are_whole_and_apart_in_every_view() {
    let builder = Harness::builder().with_size([1440.0, 900.0]).with_max_steps(16);
    let mut desk = Desk::with_results_in(builder, ProgramSettings::default());
    desk.press(Key::F6);
    desk.settle();
    desk.command("measure the quality curve");
    desk.settle();
    desk.command("duplicate plan");
    let head = desk.head("encoder.0", 1);
    desk.chord(Modifiers::COMMAND, Key::Num1);
    desk.click_head(head, Modifiers::NONE);
    let mut faults: Vec<String> =
        ["light theme", "dark theme"].into_iter().flat_map(|theme| desk.illegible_views(theme)).collect();
    faults.sort();
    faults.dedup();
    assert!(faults.is_empty(), "{} faults: {faults:#?}", faults.len());
}

/// Windows in which nothing that is needed may lie beyond an edge.
const ROOMY: [[f32; 2]; 3] = [[1000.0, 640.0], [1280.0, 800.0], [1440.0, 900.0]];

/// The rails and handles of scroll bars that are shown without the pointer over them.
fn bars(shape: &Shape) -> usize {
    match shape {
        Shape::Rect(bar) => {
            let is_bar = (bar.rect.width() - 6.0).abs() < 0.5 && bar.rect.height() > 40.0 && bar.fill.a() > 0;
            usize::from(is_bar)
        }
        Shape::Vec(shapes) => shapes.iter().map(bars).sum(),
        _ => 0,
    }
}

impl Desk {
    fn bars(&self) -> usize {
        self.harness.output().shapes.iter().map(|shape| bars(&shape.shape)).sum()
    }

    /// The words of this role that lie beyond the sides of the views, which end at the inspector.
    fn beyond(&self, role: Role, names: &[&str]) -> Vec<String> {
        // In a small window the inspector stands at the left too.
        let (inspector, window) = (self.harness.get_by_label("Selection").rect(), self.harness.ctx.content_rect());
        let end = if inspector.left() > window.center().x { inspector.left() - 6.0 } else { window.right() };
        let mut beyond = Vec::new();
        for name in names {
            let mut nodes = self.harness.query_all_by_role_and_label(role, name).peekable();
            if nodes.peek().is_none() {
                beyond.push(format!("{name} is not there"));
            }
            beyond.extend(nodes.filter(|n| n.rect().right() > end).map(|n| format!("{name} at {:?}", n.rect())));
        }
        beyond
    }
}

#[test]
fn tabs_tools_and_columns_are_in_sight_in_a_small_window() {
    let builder = Harness::builder().with_size([1440.0, 900.0]).with_max_steps(16);
    let mut desk = Desk::with_results_in(builder, ProgramSettings::default());
    desk.press(Key::F6);
    desk.settle();
    desk.command("duplicate plan");
    let mut faults = Vec::new();
    for size in ROOMY {
        desk.harness.set_size(egui::Vec2::from(size));
        desk.harness.run_ok();
        desk.chord(Modifiers::COMMAND, Key::Num5);
        desk.settle();
        desk.rest();
        let tabs = ["Overview", "Redundancy", "Groups", "Votes", "Prune", "Attention", "Training"];
        let words = desk.words();
        let is_whole = |tab: &str| words.iter().any(|w| w.text == tab && w.clip.expand(SLACK).contains_rect(w.rect));
        faults.extend(tabs.into_iter().filter(|tab| !is_whole(tab)).map(|tab| format!("{size:?}: tab {tab}")));
        // What can be done with a view stands beside its tabs, or in a menu there.
        if desk.harness.query_by_role_and_label(Role::Button, "More").is_some() {
            desk.click("More");
            desk.harness.run_ok();
        }
        for tool in ["Save picture…", "Table"] {
            let place = desk.harness.query_by_role_and_label(Role::Button, tool).map(|node| node.rect());
            if place.is_none_or(|rect| rect.right() > size[0]) {
                faults.push(format!("{size:?}: {tool} at {place:?}"));
            }
        }
        desk.press(Key::Escape);
        // Where the inspector stands below the model, a line leads to it.
        if size[0] < 1150.0 {
            desk.click("Selection and notes");
            let place = desk.harness.get_by_label("Selection").rect();
            if place.top() < 0.0 || place.bottom() > 0.7 * size[1] {
                faults.push(format!("{size:?}: the selection at {place:?}"));
            }
            let part = desk.harness.get_by_role_and_label(Role::Button, "Selection and notes");
            if part.accesskit_node().toggled() != Some(egui::accesskit::Toggled::True) {
                faults.push(format!("{size:?}: the part that is shown is not marked"));
            }
        }
        // Columns of the plans side by side.
        let columns = ["loss", "random\nheads", "heads", "tokens/s", "parameters"];
        faults.extend(desk.beyond(Role::Label, &columns).into_iter().map(|fault| format!("{size:?}: {fault}")));
    }
    // A list that goes on below its box says so by a bar: keys, and the menu of views in a low window.
    let before = desk.bars();
    desk.press(Key::F1);
    assert!(desk.bars() > before, "the list of keys shows no bar");
    desk.press(Key::Escape);
    desk.harness.set_size(egui::vec2(1440.0, 560.0));
    desk.harness.run_ok();
    let before = desk.bars();
    desk.click("View");
    assert!(desk.bars() > before, "the menu shows no bar");
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn quality_by_the_metric_of_a_task_needs_no_scrolling_sideways() {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample_models/books/classifier");
    let mut desk = Desk::start(Some(model));
    let path = desk.folder.path().join("rows.tsv");
    let rows = "He walked.\tEmma\nShe spoke.\tPride and Prejudice\n".repeat(20);
    std::fs::write(&path, format!("sentence\tlabel\n{rows}")).unwrap();
    desk.type_path((Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::I), &path);
    desk.toggle("none");
    desk.press(Key::F5);
    desk.settle();
    assert!(desk.state().results.is_some(), "{}", desk.messages());
    desk.prune_everywhere();
    desk.press(Key::F6);
    desk.settle();
    let measured = desk.state().measured_now().unwrap_or_else(|| panic!("{}", desk.messages()));
    assert!(measured.comparison.before.metrics.contains_key("accuracy"));
    let mut faults = Vec::new();
    for size in ROOMY {
        desk.harness.set_size(egui::Vec2::from(size));
        desk.harness.run_ok();
        desk.chord(Modifiers::COMMAND, Key::Num5);
        desk.settle();
        desk.rest();
        // The last column; where the table is wider than its place, this scrolls the first out of it.
        desk.harness.query_all_by_role_and_label(Role::Label, "items").next().expect("items").scroll_to_me();
        desk.harness.run_ok();
        let words = desk.words();
        let Some(last) = words.iter().find(|word| word.text == "items") else {
            faults.push(format!("{size:?}: the last column is out of sight"));
            continue;
        };
        if last.rect.right() > last.clip.right() + SLACK {
            faults.push(format!("{size:?}: the last column at {:?} of {:?}", last.rect, last.clip));
        }
        let firsts = desk.harness.query_all_by_role_and_label(Role::Label, "higher is better");
        let lefts: Vec<f32> = firsts.map(|node| node.rect().left()).collect();
        assert!(!lefts.is_empty(), "no metric is told");
        faults.extend(
            lefts
                .into_iter()
                .filter(|left| *left < last.clip.left() - SLACK)
                .map(|left| format!("{size:?}: the first column at {left} of {:?}", last.clip)),
        );
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn columns_of_a_table_become_narrower_than_their_words() {
    let builder = Harness::builder().with_size([1440.0, 900.0]).with_max_steps(16);
    let mut desk = Desk::with_results_in(builder, ProgramSettings::default());
    desk.chord(Modifiers::COMMAND, Key::Num1);
    desk.chord(Modifiers::COMMAND, Key::T);
    desk.settle();
    desk.rest();
    let next = |desk: &Desk| desk.harness.get_by_role_and_label(Role::Button, "head").rect();
    let before = next(&desk);
    // Each column is as wide as what stands in it, and numbers stand at its right end.
    let site = desk.harness.get_by_role_and_label(Role::Button, "site").rect();
    assert!(before.width() + 8.0 < site.width(), "{before:?} {site:?}");
    let numbers = desk.words().into_iter().filter(|w| w.text == "3" && before.x_range().contains(w.rect.center().x));
    let ends: Vec<f32> = numbers.map(|word| before.right() - word.rect.right()).collect();
    assert!(ends.len() == 2 && ends.iter().all(|end| *end < 4.0), "{ends:?}");
    // The line between the two, far below their names.
    let from = egui::pos2(before.left() - 3.0, before.bottom() + 60.0);
    // In one move, and to where no name of a layer fits.
    let to = from - egui::vec2(24.0, 0.0);
    desk.harness.hover_at(from);
    desk.harness.run_ok();
    desk.harness.drag_at(from);
    desk.harness.run_ok();
    desk.harness.hover_at(to);
    desk.harness.run_ok();
    desk.harness.drop_at(to);
    desk.harness.run_ok();
    let moved = before.left() - next(&desk).left();
    assert!((moved - 24.0).abs() < 2.0, "the column is {moved} narrower");
    // What does not fit any more is shortened, and reaches into no other column.
    let (end, words) = (next(&desk).left(), desk.words());
    let layers = words.iter().filter(|w| w.text.starts_with("encoder.") && (end - 80.0..end).contains(&w.rect.left()));
    let ends: Vec<f32> = layers.map(|word| word.rect.right()).collect();
    assert!(!ends.is_empty() && ends.iter().all(|right| *right < end), "{ends:?} of {end}");
}
