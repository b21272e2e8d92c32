//! Opening, failing to open, saving, coming back.

use std::path::Path;
use std::sync::Arc;

use eframe::egui::accesskit::Role;
use eframe::egui::{self, DroppedFile, Key, Modifiers};
use egui_kittest::kittest::{NodeT, Queryable};

use crate::desk::{Desk, fixture, tokens};
use crate::hub::{COMMIT, put};

#[test]
fn a_broken_model_says_what_is_wrong_and_what_to_do() {
    let scratch = tempfile::tempdir().unwrap();
    let broken = scratch.path().join("broken");
    std::fs::create_dir(&broken).unwrap();
    std::fs::copy(fixture("bert").join("config.json"), broken.join("config.json")).unwrap();
    let mut desk = Desk::start(Some(broken.clone()));
    assert!(desk.shows("could not be opened") && desk.shows("model.safetensors"), "{}", desk.messages());
    assert!(desk.shows("Open the sample") && desk.messages().starts_with("error: Open broken"));
    // A typed path opens another.
    desk.harness.get_by_role_and_label(Role::TextInput, "Path").focus();
    desk.harness.run();
    desk.type_text(fixture("gpt2").to_str().unwrap());
    desk.harness.key_press(Key::Enter);
    desk.harness.run_ok();
    desk.settle();
    assert_eq!(desk.state().model.as_ref().unwrap().facts.name, "gpt2");
    assert!(!desk.shows("could not be opened"));
    // A failure later keeps the model that is open.
    desk.type_path((Modifiers::COMMAND, Key::L), Path::new("/no/such/place"));
    assert!(desk.messages().contains("nothing is there"));
    assert!(desk.state().model.is_some());
    // The path can be mended where it stands: nothing that is typed on reaches the plan.
    assert!(desk.state().overlay.is_some());
    desk.type_text("kpu");
    assert_eq!(desk.state().draft.now().active().pinned(), 0);
    desk.press(Key::Escape);
    assert!(desk.state().overlay.is_none());
}

#[test]
fn downloaded_models_are_chosen_and_typed_by_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("hub");
    put(&cache, "owner/tiny", &fixture("llama"), &["config.json", "model.safetensors"]);
    put(&cache, "owner/half", &fixture("bert"), &["config.json"]);
    let mut desk = Desk::start_in(folder, Some(fixture("bert")));
    desk.command("Open downloaded");
    desk.settle();
    assert!(desk.shows("owner/half: not whole: its weights are not there"));
    desk.click("owner/tiny");
    desk.settle();
    let facts = |desk: &Desk| desk.state().model.as_ref().unwrap().facts.clone();
    assert_eq!((facts(&desk).name.as_str(), facts(&desk).model_type), ("owner/tiny", "llama"));
    assert!(!desk.messages().contains(COMMIT), "{}", desk.messages());
    desk.type_path((Modifiers::COMMAND, Key::L), Path::new("owner/half"));
    assert!(desk.messages().contains("owner/half is not whole in the hub's cache"), "{}", desk.messages());
    // The box is back with what was typed, and why it was of no use: what is typed on does not reach the heads.
    let field = desk.harness.get_by_role_and_label(Role::TextInput, "Open a path");
    assert_eq!(field.accesskit_node().value().as_deref(), Some("owner/half"));
    assert!(desk.harness.query_all_by_label_contains("owner/half is not whole").count() > 1);
    desk.chord(Modifiers::COMMAND, Key::A);
    assert!(desk.state().selection.heads.is_empty());
    desk.type_text(fixture("gpt2").to_str().unwrap());
    desk.press(Key::Enter);
    desk.settle();
    assert!(desk.state().overlay.is_none() && desk.state().refused.is_none());
    assert_eq!(facts(&desk).name, "gpt2");
    desk.type_path((Modifiers::COMMAND, Key::L), Path::new("owner/tiny@main"));
    assert_eq!(facts(&desk).name, "owner/tiny");
}

#[test]
fn a_typed_path_takes_the_place_of_the_one_before() {
    let mut desk = Desk::start(Some(fixture("bert")));
    let keys = (Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::I);
    for lines in [30, 40] {
        let input = tokens(desk.folder.path(), lines, 10);
        let named = input.with_file_name(format!("{lines}.jsonl"));
        std::fs::rename(&input, &named).unwrap();
        desk.type_path(keys, &named);
        assert_eq!(desk.state().run.input.as_ref().unwrap().path(), named);
    }
    // What stands there is seen, and stays where nothing is typed.
    desk.chord(keys.0, keys.1);
    desk.harness.key_press(Key::Enter);
    desk.harness.run_ok();
    desk.settle();
    assert!(desk.state().run.input.as_ref().unwrap().path().ends_with("40.jsonl"));
}

#[test]
fn an_unknown_family_is_named() {
    let scratch = tempfile::tempdir().unwrap();
    copy(&fixture("bert"), &scratch.path().join("strange"));
    let strange = scratch.path().join("strange");
    let config = std::fs::read_to_string(strange.join("config.json")).unwrap();
    std::fs::write(strange.join("config.json"), config.replace("\"bert\"", "\"mamba\"")).unwrap();
    let mut desk = Desk::start(Some(strange));
    assert!(desk.shows("could not be opened") && desk.shows("mamba"), "{}", desk.messages());
    desk.click("Copy the message");
    assert!(desk.harness.query_by_role_and_label(Role::Button, "Try again").is_some());
}

#[derive(Debug)]
struct Dropped(std::path::PathBuf);

impl DroppedFile for Dropped {
    fn path(&self) -> &Path {
        &self.0
    }

    fn bytes(&self) -> Result<Vec<u8>, String> {
        std::fs::read(&self.0).map_err(|e| e.to_string())
    }
}

#[test]
fn folders_masks_and_inputs_can_be_dropped_on_the_window() {
    let mut desk = Desk::start(Some(fixture("bert")));
    let drop = |desk: &mut Desk, path: std::path::PathBuf| {
        desk.harness.input_mut().dropped_files.push(Arc::new(Dropped(path)));
        desk.harness.step();
        desk.settle();
    };
    drop(&mut desk, fixture("llama"));
    assert_eq!(desk.state().model.as_ref().unwrap().facts.name, "llama");
    drop(&mut desk, fixture("llama").join("mask.json"));
    assert_eq!(desk.state().draft.now().active().name, "mask");
    assert!(desk.kept() < desk.state().kept_heads().1);
    // A plan of another model is refused in words.
    drop(&mut desk, fixture("bert").join("mask.json"));
    assert!(desk.messages().contains("encoder.0, which the model does not have"), "{}", desk.messages());
    let input = crate::desk::tokens(desk.folder.path(), 3, 5);
    drop(&mut desk, input.clone());
    assert_eq!(desk.state().run.input.as_ref().unwrap().path(), input);
    let text = desk.folder.path().join("a.txt");
    std::fs::write(&text, "a text").unwrap();
    drop(&mut desk, text.clone());
    assert_eq!(desk.state().run.input, Some(pillars::corpus::Input::Text(text)));
    // A workspace brings its model with it.
    let (workspace, notes) = (desk.folder.path().join("w.pillars"), "dropped".to_owned());
    let fingerprint = {
        let opened = Desk::start(Some(fixture("gpt2")));
        opened.state().model.as_ref().unwrap().facts.fingerprint.clone()
    };
    let model = Some(pillars::workspace::ModelRef { folder: fixture("gpt2"), fingerprint });
    let saved = pillars::workspace::Workspace { model, notes, ..Default::default() };
    pillars::analysis::Document::write(&saved, &workspace).unwrap();
    drop(&mut desk, workspace);
    assert_eq!(
        (desk.state().model.as_ref().unwrap().facts.name.as_str(), desk.state().notes.as_str()),
        ("gpt2", "dropped")
    );
    // While files hang over the window, it says what a drop does.
    let hovered = egui::HoveredFile { path: Some(fixture("bert")), ..Default::default() };
    desk.harness.input_mut().hovered_files.push(hovered);
    desk.harness.step();
    let said = desk.harness.output().shapes.iter().any(|shape| {
        matches!(&shape.shape, egui::Shape::Text(text) if text.galley.text().starts_with("Drop a model folder"))
    });
    assert!(said, "nothing is said of the drop");
}

#[test]
fn a_workspace_comes_back_as_it_was() {
    let mut desk = Desk::with_results("bert");
    let head = desk.head("encoder.1", 0);
    desk.click_head(head, Modifiers::NONE);
    desk.command("light theme");
    let (plan, theme) = (desk.state().plan(), desk.state().settings.theme);
    let kept = desk.state().is_kept(head);
    let again = desk.reopen();
    assert_eq!((again.state().plan(), again.state().settings.theme), (plan, theme));
    assert!(again.state().results.is_some() && again.state().checked.as_ref().unwrap().is_ok());
    assert_eq!(again.state().draft.now().active().pin(head), Some(kept));
    assert_eq!(again.state().settings.recent.len(), 1);
}

#[test]
fn a_saved_workspace_finds_its_model_again() {
    let mut desk = Desk::with_results("bert");
    // The model lies in a folder that will move. It is the same model, so the work on it comes along.
    let (there, then) = (desk.folder.path().join("there"), desk.folder.path().join("then"));
    copy(&fixture("bert"), &there);
    desk.type_path((Modifiers::COMMAND, Key::L), &there);
    assert!(desk.messages().contains("Results and plans are back"), "{}", desk.messages());
    desk.command("start afresh");
    desk.settle();
    assert!(desk.messages().contains("The earlier work is kept"), "{}", desk.messages());
    assert!(desk.state().results.is_none() && desk.kept() == 8);
    desk.click_head(desk.head("encoder.0", 3), Modifiers::NONE);
    let file = desk.folder.path().join("work");
    desk.chord(Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::S);
    save_to(&mut desk, &file);
    let saved = file.with_extension("pillars");
    assert!(saved.is_file(), "{}", desk.messages());

    std::fs::rename(&there, &then).unwrap();
    desk.type_path((Modifiers::COMMAND, Key::L), &saved);
    assert!(desk.shows("The model of this workspace is not where it was"), "{}", desk.messages());
    desk.click("Type its path…");
    desk.type_text(then.to_str().unwrap());
    desk.harness.key_press(Key::Enter);
    desk.harness.run_ok();
    desk.settle();
    assert_eq!(desk.kept(), 7, "{}", desk.messages());
    assert_eq!(desk.state().draft.now().active().pin(desk.head("encoder.0", 3)), Some(false));
}

/// Types the path that is asked for.
fn save_to(desk: &mut Desk, file: &Path) {
    assert!(desk.state().overlay.is_some(), "no dialog and no box: {}", desk.messages());
    desk.type_text(file.to_str().unwrap());
    desk.harness.key_press(Key::Enter);
    desk.harness.run_ok();
    desk.settle();
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

#[test]
fn pictures_plans_and_analyses_are_written() {
    let mut desk = Desk::with_results("bert");
    let out = desk.folder.path().to_path_buf();
    for (view, name, begins) in [
        (Key::Num1, "overview.svg", "<svg"),
        (Key::Num2, "redundancy.csv", "site"),
        (Key::Num3, "groups.svg", "<svg"),
        (Key::Num4, "votes.csv", "site"),
        (Key::Num5, "cost.csv", "measure"),
    ] {
        desk.chord(Modifiers::COMMAND, view);
        desk.chord(Modifiers::COMMAND, Key::P);
        desk.settle();
        save_to(&mut desk, &out.join(name));
        let text = std::fs::read_to_string(out.join(name)).unwrap_or_else(|_| panic!("{name}: {}", desk.messages()));
        assert!(text.starts_with(begins), "{name} begins {:?}", &text[..40.min(text.len())]);
    }
    for (words, name) in [("save plan", "p.json"), ("save analysis", "a.json")] {
        desk.command(words);
        desk.settle();
        save_to(&mut desk, &out.join(name));
        assert!(out.join(name).is_file(), "{}", desk.messages());
    }
    // What this program did not write is not replaced, whatever is saved; the file of the work stays the one it was.
    for (words, name) in [
        ("save plan", "theirs-1.json"),
        ("save analysis", "theirs-2.json"),
        ("save workspace as", "theirs-3.json"),
        ("save picture", "theirs-4.svg"),
        ("save picture", "theirs-5.csv"),
    ] {
        let (path, text) = (out.join(name), format!("{{\"mine\": \"{words}\"}}"));
        std::fs::write(&path, &text).unwrap();
        desk.command(words);
        desk.settle();
        save_to(&mut desk, &path);
        let refused = format!("did not write, so it is not replaced: {}", path.display());
        assert!(desk.messages().contains(&refused), "{words}: {}", desk.messages());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        // What was typed can be mended where it stands, and is told once.
        assert!(desk.state().overlay.is_some(), "{words}");
        let last = desk.state().messages.last().unwrap().text.clone();
        assert_eq!(last.matches(path.to_str().unwrap()).count(), 1, "{last}");
        desk.press(Key::Escape);
    }
    assert_eq!(desk.state().file, None);
    // Both open again.
    desk.type_path((Modifiers::COMMAND, Key::L), &out.join("p.json"));
    assert_eq!(desk.state().draft.now().plans().len(), 2);
    desk.type_path((Modifiers::COMMAND, Key::L), &out.join("a.json"));
    assert!(desk.messages().contains("Analysis opened"));
}

#[test]
fn what_is_missing_is_told_in_a_clear_line() {
    let mut desk = Desk::with_results("bert");
    let input = desk.state().run.input.clone().unwrap().path().to_path_buf();
    std::fs::remove_file(&input).unwrap();
    // Read by a run, a measurement, a repair; and typed where a path is asked for.
    desk.press(Key::F5);
    desk.settle();
    desk.press(Key::F6);
    desk.settle();
    let shifted = Modifiers::COMMAND.plus(Modifiers::SHIFT);
    for (keys, name) in [
        ((shifted, Key::I), "gone.txt"),
        ((shifted, Key::I), "gone.jsonl"),
        ((shifted, Key::I), "gone.wav"),
        ((shifted, Key::I), "gone.safetensors"),
        ((shifted, Key::O), "gone.json"),
        ((Modifiers::COMMAND, Key::L), "gone.pillars"),
    ] {
        let path = desk.folder.path().join(name);
        desk.type_path(keys, &path);
        desk.press(Key::Escape);
    }
    let compared = desk.folder.path().join("gone");
    desk.compare_with(&compared);
    let told = desk.messages();
    assert!(told.contains("there is no such file or folder"), "{told}");
    for line in told.lines() {
        assert!(!line.contains("os error") && !line.contains("No such file"), "{line}");
    }
}
