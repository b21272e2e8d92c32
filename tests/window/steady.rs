//! What goes on for a while, or is done again, shows one story: curves, bars, controls, pins.

use eframe::egui::accesskit::Role;
use eframe::egui::{Key, Modifiers};
use egui_kittest::kittest::Queryable;

use crate::desk::{Desk, fixture, tokens};

impl Desk {
    pub fn set_number(&mut self, label: &str, value: f64) {
        self.harness.get_by_role_and_label(Role::SpinButton, label).set_value_accesskit(value);
        self.harness.run_ok();
    }

    /// Types into the field of a folder and presses Enter in it.
    pub fn enter_folder(&mut self, folder: &std::path::Path) {
        self.harness.get_by_role_and_label(Role::TextInput, "Folder").focus();
        self.harness.run_ok();
        self.type_text(folder.to_str().unwrap());
        self.harness.key_press(Key::Enter);
        self.harness.step();
    }

    /// Lets a training go on until its buttons mind clicks.
    pub fn let_begin(&mut self) {
        self.wait("the end of the first moment", |state| !state.jobs.shown().any(|job| job.has_just_begun()));
        self.harness.step();
    }
}

#[test]
fn a_resumed_training_shows_its_curve_from_the_beginning() {
    let mut desk = Desk::start(Some(fixture("bert")));
    let input = tokens(desk.folder.path(), 400, 10);
    desk.type_path((Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::I), &input);
    desk.chord(Modifiers::COMMAND, Key::Num7);
    desk.set_number("Steps", 100_000.0);
    let out = desk.folder.path().join("trained");
    // Enter in the field does what the button does.
    desk.enter_folder(&out);
    let steps = |desk: &Desk| -> Vec<u64> {
        let (_, watched) = desk.state().training.run.watched.as_ref().expect("a run is watched");
        watched.progress().records.iter().map(|record| record.total_steps).collect()
    };
    desk.wait("two records", |state| {
        state.training.run.watched.as_ref().is_some_and(|(_, watched)| watched.progress().records.len() >= 2)
    });
    desk.let_begin();
    desk.click("Stop");
    desk.settle();
    let before = steps(&desk);
    assert!(desk.messages().contains("it can be resumed from"), "{}", desk.messages());
    desk.harness.get_by_role_and_label(Role::CheckBox, "Resume the run in the folder").click();
    desk.harness.run_ok();
    desk.click("Train");
    let more = before.len();
    desk.wait("a further record", |state| {
        state.training.run.watched.as_ref().is_some_and(|(_, watched)| watched.progress().records.len() > more)
    });
    let after = steps(&desk);
    assert_eq!(after[..before.len()], before[..], "{after:?}");
    assert!(after.is_sorted(), "{after:?}");
    // The first stage is marked where it began, not where it was resumed.
    let (_, watched) = desk.state().training.run.watched.as_ref().unwrap();
    assert!(watched.progress().stages.iter().all(|(step, _)| *step == 0), "{:?}", watched.progress().stages);
    desk.let_begin();
    desk.click("Stop");
    desk.settle();
}

#[test]
fn the_bar_of_a_measurement_runs_once() {
    let mut desk = Desk::start(Some(fixture("bert")));
    let input = tokens(desk.folder.path(), 400, 12);
    desk.type_path((Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::I), &input);
    desk.harness.key_press(Key::F6);
    let mut shares = Vec::new();
    loop {
        desk.harness.step();
        let measuring = desk.state().jobs.shown().find(|job| job.title.starts_with("Measure "));
        match measuring {
            Some(job) => shares.extend(job.progress.fraction()),
            None if !shares.is_empty() => break,
            None => {}
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    desk.settle();
    // Within a batch it may tremble.
    let back = shares.windows(2).map(|pair| pair[0] - pair[1]).fold(0.0, f64::max);
    assert!(back < 0.02, "it goes back by {back}: {shares:?}");
    assert!(shares.last().is_some_and(|share| *share > 0.7), "{shares:?}");
}

#[test]
fn what_predicts_nothing_is_held_against_random_heads_by_its_likeness() {
    let mut desk = Desk::with_results("clip_text_model");
    desk.command("keep 50 %");
    desk.settle();
    desk.command("measure quality");
    desk.settle();
    let measured = desk.state().measured.iter().find(|m| m.repair.is_none()).expect("the masked plan was measured");
    let random = measured.random_similarity.as_ref().expect("so were random heads");
    assert!(random.mean_cosine < 1.0 && random.sequences == 12, "{random:?}");
    desk.chord(Modifiers::COMMAND, Key::Num5);
    assert!(desk.shows("cosine of embeddings"));
}

#[test]
fn pinned_heads_stay_in_the_plan_that_is_found() {
    let mut desk = Desk::with_results("llama");
    let heads = [desk.head("decoder.0", 0), desk.head("decoder.1", 3)];
    for head in heads {
        desk.click_head(head, Modifiers::NONE);
        desk.press(Key::K);
    }
    desk.chord(Modifiers::COMMAND, Key::Num5);
    desk.pick("by", "cosine");
    desk.set_number("Prune until quality falls by", 90.0);
    desk.click("Find");
    desk.settle();
    let draft = desk.state().draft.now();
    assert_eq!(draft.plans().len(), 2, "{}", desk.messages());
    for head in heads {
        assert!(desk.state().is_kept(head), "{head} went: {}", desk.messages());
        assert_eq!(draft.active().pin(head), Some(true));
    }
    // The plan is still what the search measured.
    assert!(desk.state().plan().unwrap().budget.is_some());
    assert!(desk.kept() < desk.state().kept_heads().1, "{}", desk.messages());
}

#[test]
fn layers_that_a_person_left_alone_keep_their_heads_in_a_search() {
    let mut desk = Desk::with_results("bert");
    desk.chord(Modifiers::COMMAND, Key::Num5);
    desk.pick("by", "cosine");
    desk.set_number("Prune until quality falls by", 90.0);
    // An amount of one's own is for every layer; leaving some alone is then a choice.
    desk.command("keep 50 %");
    desk.settle();
    assert!(desk.kept() < desk.state().kept_heads().1);
    desk.command("prune layers without evidence");
    desk.settle();
    let proposal = desk.state().draft.now().active().proposal.clone().unwrap();
    assert!(!proposal.prunes_unproven());
    desk.click("Find");
    desk.settle();
    let lacking = desk.state().results.as_ref().unwrap().analysis.sites.iter();
    let lacking = lacking.filter(|site| site.evidence.as_ref().is_some_and(|e| e.verdict() == Some(false)));
    let plan = desk.state().draft.now().active().base.clone();
    let mut count = 0;
    for site in lacking {
        assert_eq!(plan.kept_at(site.site, site.heads).len(), site.heads, "{}: {}", site.site, desk.messages());
        count += 1;
    }
    assert!(count > 0, "the fixture has layers without evidence");
}

#[test]
fn enter_does_what_a_box_is_for() {
    let mut desk = Desk::with_results("bert");
    for words in ["about pillars", "keyboard shortcuts"] {
        desk.command(words);
        assert!(desk.state().overlay.is_some(), "{words}");
        desk.press(Key::Enter);
        assert!(desk.state().overlay.is_none(), "{words}");
    }
    // Comparing asks for a file or a folder, and can browse for either.
    desk.command("compare with");
    for button in ["Browse for an analysis…", "Browse for a model folder…"] {
        assert!(desk.harness.query_by_role_and_label(Role::Button, button).is_some(), "{button}");
    }
    desk.press(Key::Escape);
    // Enter in the field of the folder exports; the same folder again is refused with the switch that would allow it.
    desk.chord(Modifiers::COMMAND, Key::Num5);
    let out = desk.folder.path().join("smaller");
    desk.enter_folder(&out);
    desk.settle();
    assert!(desk.state().export.done.is_some(), "{}", desk.messages());
    desk.scroll_and_click("Export");
    desk.settle();
    assert!(desk.messages().contains("choose another, or switch Replace an earlier export on"), "{}", desk.messages());
    desk.harness.get_by_role_and_label(Role::CheckBox, "Replace an earlier export").click();
    desk.harness.run_ok();
    desk.scroll_and_click("Export");
    desk.settle();
    assert!(desk.state().export.failure.is_none() && desk.state().export.done.is_some(), "{}", desk.messages());
}
