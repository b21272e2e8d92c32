//! A window on a desk of its own: a scratch folder for what it remembers, fixtures to open, hands to type.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use eframe::egui::accesskit::Role;
use eframe::egui::{self, Key, Modifiers};
use egui_kittest::kittest::{NodeT, Queryable};
use egui_kittest::{Harness, HarnessBuilder};
use pillars::gui::{App, State};
use pillars::hub::HubCache;
use pillars::network::Head;
use pillars::workspace::{ProgramSettings, Store};

pub use crate::varied::tokens;

pub struct Desk {
    pub harness: Harness<'static, App>,
    pub folder: tempfile::TempDir,
}

pub fn fixture(family: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(family)
}

/// Tests stand among temporary files, so that nothing they write by mistake lands among the sources.
fn stand_aside() {
    std::env::set_current_dir(std::env::temp_dir()).unwrap();
}

impl Desk {
    /// A window that was never opened before, started on `path`.
    pub fn start(path: Option<PathBuf>) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), path)
    }

    /// A window that remembers what lies in `folder`.
    pub fn start_in(folder: tempfile::TempDir, path: Option<PathBuf>) -> Self {
        stand_aside();
        let store = Store::at(folder.path().join("remembered"));
        let cache = HubCache::at(folder.path().join("hub"));
        let builder = Harness::builder().with_size([1280.0, 800.0]).with_max_steps(16);
        let mut harness = builder.build_eframe(move |context| {
            let (settings, _) = store.settings();
            let mut app = App::new(&context.egui_ctx, store, settings).without_dialogs().with_cache(cache);
            app.start(path);
            app
        });
        harness.run_ok();
        let mut desk = Self { harness, folder };
        desk.settle();
        desk
    }

    /// Closes the window as a person does and opens it again.
    pub fn reopen(self) -> Self {
        let Self { folder, mut harness } = self;
        eframe::App::on_exit(harness.state_mut(), None);
        drop(harness);
        Self::start_in(folder, None)
    }

    /// Finds a command by its words in the palette and carries it out.
    pub fn command(&mut self, words: &str) {
        self.chord(Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::P);
        self.type_text(words);
        self.press(Key::Enter);
    }

    /// A window with a tiny model and something for it to read.
    pub fn with_input(family: &str) -> Self {
        let mut desk = Self::start(Some(fixture(family)));
        let input = tokens(desk.folder.path(), 12, 10);
        desk.type_path((Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::I), &input);
        assert!(desk.state().checked.as_ref().unwrap().is_ok(), "the input suits the model");
        desk
    }

    /// The same after a run.
    pub fn with_results(family: &str) -> Self {
        let mut desk = Self::with_input(family);
        desk.press(Key::F5);
        desk.settle();
        assert!(desk.state().results.is_some(), "{}", desk.messages());
        desk
    }

    /// The same in a window of its own making with these settings, which it does not look up.
    pub fn with_results_in(builder: HarnessBuilder<App>, settings: ProgramSettings) -> Self {
        stand_aside();
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path().join("remembered"));
        let harness = builder.build_eframe(move |context| {
            let mut app = App::new(&context.egui_ctx, store, settings).without_dialogs();
            app.start(Some(fixture("bert")));
            app
        });
        let mut desk = Self { harness, folder };
        desk.settle();
        let input = tokens(desk.folder.path(), 12, 10);
        desk.type_path((Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::I), &input);
        desk.press(Key::F5);
        desk.settle();
        assert!(desk.state().results.is_some(), "{}", desk.messages());
        desk
    }

    /// Lets the first plan prune layers too in which nothing speaks for redundancy, which it leaves alone.
    pub fn prune_everywhere(&mut self) {
        self.command("prune layers without evidence");
        self.settle();
    }

    pub fn state(&self) -> &State {
        self.harness.state().state()
    }

    pub fn messages(&self) -> String {
        self.state().messages.text()
    }

    /// Lets the window come to rest, workers included. An idle window asks for no more frames, so this ends.
    pub fn settle(&mut self) {
        let began = Instant::now();
        loop {
            self.harness.step();
            if self.state().jobs.running().is_empty() {
                break;
            }
            assert!(began.elapsed() < Duration::from_secs(600), "a worker does not end: {}", self.messages());
            std::thread::sleep(Duration::from_millis(5));
        }
        self.harness.run_ok();
    }

    /// Waits until `done`, letting workers go on.
    pub fn wait(&mut self, what: &str, done: impl Fn(&State) -> bool) {
        let began = Instant::now();
        loop {
            self.harness.step();
            if done(self.state()) {
                return;
            }
            let is_over = self.state().jobs.running().is_empty() || began.elapsed() > Duration::from_secs(120);
            assert!(!is_over, "{what} did not come: {}", self.messages());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub fn press(&mut self, key: Key) {
        self.chord(Modifiers::NONE, key);
    }

    pub fn chord(&mut self, modifiers: Modifiers, key: Key) {
        self.harness.key_press_modifiers(modifiers, key);
        self.harness.run_ok();
    }

    pub fn type_text(&mut self, text: &str) {
        self.harness.event(egui::Event::Text(text.to_owned()));
        self.harness.run_ok();
    }

    /// Opens the box of a path with its keys, types the path, presses Enter.
    pub fn type_path(&mut self, keys: (Modifiers, Key), path: &Path) {
        self.begin_with(keys, path);
        self.settle();
    }

    /// The same, without waiting for the work that it begins.
    pub fn begin_with(&mut self, keys: (Modifiers, Key), path: &Path) {
        self.chord(keys.0, keys.1);
        self.type_text(path.to_str().unwrap());
        self.harness.key_press(Key::Enter);
        self.harness.run_ok();
    }

    pub fn click(&mut self, label: &str) {
        self.harness.get_by_role_and_label(Role::Button, label).click();
        self.harness.run_ok();
    }

    /// The same for what may lie beyond the edge of a view that scrolls.
    pub fn scroll_and_click(&mut self, label: &str) {
        self.harness.get_by_role_and_label(Role::Button, label).scroll_to_me();
        self.harness.run_ok();
        self.click(label);
    }

    /// Text that can be read anywhere in the window.
    pub fn shows(&self, text: &str) -> bool {
        // Where a line may be broken, a percent sign is held to its number.
        let held = text.replace(" %", "\u{a0}%");
        [text, held.as_str()].iter().any(|text| self.harness.query_all_by_label_contains(text).next().is_some())
    }

    pub fn head(&self, site: &str, head: usize) -> Head {
        Head::new(site.parse().unwrap(), head)
    }

    pub fn click_head(&mut self, head: Head, modifiers: Modifiers) {
        self.harness.get_by_role_and_label(Role::Cell, &head.to_string()).click_modifiers(modifiers);
        self.harness.run_ok();
    }

    /// What a screen reader says of a head.
    pub fn spoken(&self, head: Head) -> String {
        let name = head.to_string();
        let node = self.harness.get_by_role_and_label(Role::Cell, &name);
        node.accesskit_node().value().unwrap_or_default()
    }

    pub fn kept(&self) -> usize {
        self.state().kept_heads().0
    }
}
