//! Repair in the window: the switch, what it measures, what it writes, and the choice by reconstruction.

use eframe::egui::accesskit::{Role, Toggled};
use eframe::egui::{Key, Modifiers};
use egui_kittest::kittest::{NodeT, Queryable};
use pillars::analysis::{Document, baseline};
use pillars::chart::Picture;
use pillars::gui::View;
use pillars::plan::{Method, Plan};
use pillars::pruning::{RECORD, Report};
use pillars::repair::{Repair, RepairMode};
use pillars::run::OwnRepair;
use pillars::workspace::Proposal;

use crate::desk::{Desk, fixture, tokens};

impl Desk {
    /// Opens a list and chooses an entry of it.
    pub fn pick(&mut self, list: &str, entry: &str) {
        self.harness.get_by_role_and_label(Role::ComboBox, list).click();
        self.harness.run();
        self.click(entry);
    }

    /// Lets the votes choose in place of reconstruction.
    pub fn votes(&mut self) {
        self.chord(Modifiers::COMMAND, Key::Num5);
        self.harness.get_by_label("Use the votes").click();
        self.harness.run_ok();
        self.settle();
    }
}

/// A repair by refit of the plan that reconstruction proposes, with the prune view in front.
fn repaired() -> Desk {
    let mut desk = Desk::with_results("bert");
    desk.prune_everywhere();
    desk.chord(Modifiers::COMMAND, Key::Num5);
    desk.pick("Way to repair", "refit");
    desk.command("repair the plan");
    desk.settle();
    desk
}

#[test]
fn a_model_that_was_not_trained_here_is_planned_by_reconstruction_with_votes_one_click_away() {
    let mut desk = Desk::with_results("bert");
    let proposal = |desk: &Desk| desk.state().draft.now().active().proposal.clone().unwrap();
    assert_eq!(proposal(&desk), Proposal::untrained());
    assert_eq!(desk.state().repairing.mode, RepairMode::Auto);
    assert_eq!(desk.state().plan().unwrap().method, "reconstruction");
    let whole = desk.state().kept_heads().1;
    // Layers in which nothing speaks for redundancy are left alone until a person says otherwise, as `plan` leaves them.
    let spared = |desk: &Desk| desk.state().legal_plan().unwrap().spared.len();
    let sites = &desk.state().results.as_ref().unwrap().analysis.sites;
    let lacking = sites.iter().filter(|s| s.evidence.as_ref().is_some_and(|e| e.verdict() == Some(false))).count();
    assert!(lacking > 0 && spared(&desk) == lacking, "{lacking}");
    desk.chord(Modifiers::COMMAND, Key::Num5);
    assert!(desk.shows("in which nothing speaks for redundancy"));
    desk.prune_everywhere();
    assert_eq!(spared(&desk), 0);
    assert!(desk.kept() as f64 <= 0.7 * whole as f64 + 0.5 && desk.kept() > 0, "{}", desk.kept());
    // What a plan costs that costs nothing is not told to four digits.
    assert!(desk.shows("xpected to cost"));
    desk.command("keep 100 %");
    desk.settle();
    assert!(desk.kept() == whole && !desk.shows("xpected to cost"));
    // Where every head stays, the text that was read chose nothing.
    desk.press(Key::F6);
    desk.settle();
    let measured = desk.state().measured_now().unwrap_or_else(|| panic!("{}", desk.messages()));
    assert!(!measured.in_sample && measured.notes.iter().all(|note| !note.starts_with("in-sample")));
    desk.chord(Modifiers::COMMAND, Key::Z);
    desk.settle();
    // Nobody had a hand in it yet.
    assert!(!desk.state().has_chosen());
    desk.chord(Modifiers::COMMAND, Key::Num5);
    desk.votes();
    assert_eq!(proposal(&desk).method, Method::Votes);
    desk.chord(Modifiers::COMMAND, Key::Z);
    desk.settle();
    assert_eq!(
        (proposal(&desk).method, desk.state().plan().unwrap().method.as_str()),
        (Method::Reconstruction, "reconstruction")
    );
}

#[test]
fn every_head_says_how_much_the_others_can_say_for_it() {
    let mut desk = Desk::with_results("bert");
    let head = desk.head("encoder.1", 2);
    desk.click_head(head, Modifiers::NONE);
    let found = &desk.state().results.as_ref().unwrap().analysis;
    let share = found.site(head.site).unwrap().baselines[baseline::REPLACEABILITY].values[2];
    let text = format!("The other heads of this layer can make up for {}", pillars::chart::Unit::Share.format(share));
    assert!(desk.shows(&text), "{text}");
}

#[test]
fn a_repair_shows_what_each_layer_loses_and_saves_the_same() {
    let mut desk = repaired();
    let record = desk.state().repair_now().expect("the plan is repaired").record.clone();
    assert_eq!(record.mode, RepairMode::Refit);
    let saved = desk.same(View::Prune);
    let Picture::Repair(bars) = &saved else { panic!("{saved:?}") };
    assert_eq!(bars.rows.len(), record.sites.len());
    assert!(!bars.rows.is_empty() && bars.rows.iter().all(|row| row.found == record.sites[&row.site]));
    crate::same::holds_its_numbers(&saved);
    // Another plan: what a refit would leave of it is told before it is repaired.
    desk.votes();
    assert!(desk.state().repair_now().is_none());
    desk.click("What each layer loses");
    desk.settle();
    desk.rest();
    let Picture::Repair(bars) = desk.same(View::Prune) else { panic!() };
    assert!(bars.caption.title.contains("would"));
    let plan = desk.state().legal_plan().unwrap();
    assert!(bars.rows.iter().all(|row| plan.kept.get(row.site).map(<[usize]>::len) == Some(row.kept)));
}

#[test]
fn quality_is_told_with_repair_and_without() {
    let mut desk = Desk::with_results("bert");
    desk.prune_everywhere();
    desk.chord(Modifiers::COMMAND, Key::Num5);
    // Before it begins, all that it will do is told, and about how long that takes.
    assert!(desk.shows("Measures the plan masked, repairs it and measures it repaired, beside random heads: about "));
    desk.press(Key::F6);
    desk.settle();
    let plan = desk.state().legal_plan().unwrap().clone();
    let [masked, mended] = [false, true].map(|with| desk.state().measured_as(&plan, with).cloned());
    let (masked, mended) = (masked.expect("masked"), mended.expect("repaired"));
    assert_eq!(
        (masked.repair, masked.comparison.before.loss_per_token),
        (None, mended.comparison.before.loss_per_token)
    );
    assert!(mended.repair.is_some());
    // The random heads that the plan is held against were repaired in the same way.
    assert!(masked.random_repair.is_none() && mended.random_repair.is_some(), "{:?}", mended.random_repair);
    // The fixture has no tokenizer, and its plan was chosen and repaired on the same short text; nothing else is said of either.
    let is_known = |note: &String| {
        [
            "no mask token is known",
            "in-sample: ",
            "the repair was calibrated on the text",
            "no repair did better",
            "too few tokens to fit on",
        ]
        .iter()
        .any(|begin| note.starts_with(begin))
            || note.contains("nothing speaks for redundancy")
    };
    assert!(mended.notes.iter().all(is_known), "{:?}", mended.notes);
    // Auto says what it measured, and takes the best.
    let record = &desk.state().repair_now().unwrap().record;
    assert_eq!(record.measured.len(), 3);
    let least = record.measured.iter().min_by(|a, b| a.loss.unwrap().total_cmp(&b.loss.unwrap())).unwrap();
    assert_eq!(mended.repair, Some(least.mode));
    assert!(desk.shows("With repair and without"));
    // Switched off, the masked model is what counts.
    assert_eq!(desk.state().measured_now().unwrap().repair, mended.repair);
    let switch = desk.harness.get_by_role_and_label(Role::CheckBox, "Repair");
    assert_eq!(switch.accesskit_node().toggled(), Some(Toggled::True));
    switch.click();
    desk.harness.run_ok();
    assert_eq!(desk.state().measured_now().unwrap().repair, None);
    assert!(!desk.shows("With repair and without"));
}

#[test]
fn curves_show_every_method_with_repair_and_without() {
    let mut desk = Desk::with_results("bert");
    desk.command("measure the quality curve");
    desk.settle();
    let curves = desk.state().curves.clone().unwrap();
    let repaired: Vec<_> = curves.series().into_iter().filter(|s| s.repair == RepairMode::Refit).collect();
    let masked: Vec<_> = curves.series().into_iter().filter(|s| s.repair == RepairMode::None).collect();
    assert_eq!(repaired.len(), masked.len());
    assert!(repaired.iter().any(|s| s.ranking.method == Method::Reconstruction));
    assert!(repaired.iter().any(|s| s.ranking.method == Method::Random));
}

#[test]
fn an_export_has_the_repair_and_its_record_says_so() {
    let mut desk = repaired();
    let out = desk.folder.path().join("smaller");
    desk.type_path((Modifiers::COMMAND, Key::E), &out);
    desk.settle();
    let report = Report::read(&out.join(RECORD)).unwrap_or_else(|e| panic!("{e}: {}", desk.messages()));
    let mended = report.repair.expect("the record tells of the repair");
    assert_eq!((mended.mode, &mended.kept), (RepairMode::Refit, &desk.state().legal_plan().unwrap().kept));
    assert_eq!(report.measured.unwrap().repair, Some(RepairMode::Refit));
    let written = Repair::read(&out.join("pillars-repair.safetensors")).unwrap();
    assert_eq!(written.record.sites, desk.state().repair_now().unwrap().record.sites);
    assert!(desk.messages().contains("masked and repaired model"), "{}", desk.messages());
}

#[test]
fn work_comes_back_with_the_way_of_repair() {
    let mut desk = repaired();
    let kept = desk.state().legal_plan().unwrap().kept.clone();
    desk.harness.run();
    let mut desk = desk.reopen();
    assert_eq!(desk.state().repairing.mode, RepairMode::Refit);
    assert_eq!(desk.state().legal_plan().unwrap().kept, kept);
    // Second moments come back too, so that it can be chosen and repaired anew without another run.
    desk.chord(Modifiers::COMMAND, Key::Num5);
    assert!(desk.state().results.as_ref().unwrap().moments.is_some());
    assert_eq!(desk.state().plan().unwrap().method, "reconstruction");
}

/// What lies beside the workspaces that the window keeps by itself.
fn kept_repairs(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let all = std::fs::read_dir(folder.join("remembered/workspaces")).unwrap().map(|entry| entry.unwrap().path());
    all.filter(|path| path.to_str().unwrap().ends_with(".repair.safetensors")).collect()
}

#[test]
fn the_repair_that_a_plan_was_measured_with_comes_back_and_is_exported() {
    let mut desk = repaired();
    desk.press(Key::F6);
    desk.settle();
    let record = desk.state().repair_now().unwrap().record.clone();
    let measured = desk.state().measured_now().unwrap().clone();
    assert_eq!(measured.repair, Some(RepairMode::Refit));
    let mut desk = desk.reopen();
    assert_eq!(desk.state().repair_now().expect("the repair is back").record, record, "{}", desk.messages());
    let out = desk.folder.path().join("smaller");
    desk.type_path((Modifiers::COMMAND, Key::E), &out);
    desk.settle();
    let report = Report::read(&out.join(RECORD)).unwrap_or_else(|e| panic!("{e}: {}", desk.messages()));
    assert_eq!(report.repair.unwrap().sites, record.sites);
    let anew = ["Repaired by", "it is made first"].iter().any(|told| desk.messages().contains(told));
    assert!(!anew, "it is made anew: {}", desk.messages());
    // Seconds and all: random heads are not repaired and measured a second time.
    assert!(measured.random.is_some() && report.measured.unwrap().random == measured.random);
    assert_eq!(desk.state().measured_now(), Some(&measured), "what was measured holds for what was written");
    // The model is closed and opened, within one window.
    desk.command("close model");
    desk.type_path((Modifiers::COMMAND, Key::L), &fixture("bert"));
    assert_eq!(desk.state().repair_now().expect("the repair is back").record, record, "{}", desk.messages());
    // What is not there, or is another's, is told.
    let Desk { folder, harness } = desk;
    drop(harness);
    let [file] = &kept_repairs(folder.path())[..] else { panic!("one repair is kept") };
    std::fs::remove_file(file).unwrap();
    let desk = Desk::start_in(folder, None);
    // What was written of it, and how long its run took, is known still.
    assert_eq!(desk.state().export.done.as_ref().map(|(folder, _)| folder), Some(&out));
    assert!(desk.state().last_run_secs.is_some() && desk.state().last_pass_secs.is_some());
    assert!(desk.state().repair_now().is_none());
    for told in ["A repair that was kept with the work is left out", "was measured with is not there"] {
        assert!(desk.messages().contains(told), "{told}: {}", desk.messages());
    }
}

/// After a run over one batch: there is nothing left to judge a way of repair by.
fn with_one_batch() -> Desk {
    let mut desk = Desk::start(Some(fixture("bert")));
    let input = tokens(desk.folder.path(), 6, 10);
    desk.type_path((Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::I), &input);
    desk.press(Key::F5);
    desk.settle();
    desk.prune_everywhere();
    desk.chord(Modifiers::COMMAND, Key::Num5);
    assert_eq!(desk.state().repairing.mode, RepairMode::Auto);
    desk
}

#[test]
fn a_plan_that_was_not_repaired_is_judged_as_it_was_measured() {
    let mut desk = with_one_batch();
    assert!(desk.shows("Not measured"));
    desk.press(Key::F6);
    desk.settle();
    let measured = desk.state().measured_now().unwrap_or_else(|| panic!("{}", desk.messages())).clone();
    assert!(measured.repair.is_none() && measured.unrepaired.as_ref().unwrap().contains("two batches"));
    let judged = |desk: &Desk, why: &str| {
        let words = format!("Measured with the pruned heads masked, not repaired: {why}");
        assert!(desk.shows(&words) && !desk.shows("Not measured:"), "{words}");
    };
    judged(&desk, "");
    assert!(desk.shows("auto needs two batches or more"));
    let mut desk = desk.reopen();
    desk.chord(Modifiers::COMMAND, Key::Num5);
    assert_eq!(desk.state().measured_now(), Some(&measured));
    judged(&desk, "");
    // Nobody asked for a repair.
    desk.toggle("Repair");
    desk.chord(Modifiers::COMMAND, Key::D);
    let head = desk.head("encoder.1", 0);
    desk.chord(Modifiers::COMMAND, Key::Num1);
    desk.click_head(head, Modifiers::NONE);
    desk.chord(Modifiers::COMMAND, Key::Num5);
    desk.press(Key::F6);
    desk.settle();
    judged(&desk, "Repair is switched off");
    desk.toggle("Repair");
    judged(&desk, "it was measured before Repair was switched on");
    // There is nothing to repair.
    desk.chord(Modifiers::COMMAND, Key::N);
    desk.press(Key::F6);
    desk.settle();
    assert!(desk.shows("Every head stays: there is nothing to mask or to repair"), "{}", desk.messages());
    assert!(!desk.shows("Not measured:"));
}

#[test]
fn a_folder_that_is_not_free_is_refused_before_a_repair_is_made() {
    let mut desk = with_one_batch();
    let out = desk.folder.path().join("taken");
    std::fs::create_dir(&out).unwrap();
    std::fs::write(out.join("thesis.txt"), "mine").unwrap();
    desk.type_path((Modifiers::COMMAND, Key::E), &out);
    let failure = desk.state().export.failure.as_ref().expect("it is refused").to_string();
    assert!(failure.contains("the folder exists and is not empty"), "{failure}");
    // The path stands there still, and is told once.
    assert!(desk.state().overlay.is_some());
    let last = desk.state().messages.last().unwrap().text.clone();
    assert_eq!(last.matches(out.to_str().unwrap()).count(), 1, "{last}");
    desk.press(Key::Escape);
    desk.type_path((Modifiers::COMMAND, Key::E), &desk.folder.path().join("no/such/place").clone());
    let failure = desk.state().export.failure.as_ref().expect("it is refused").to_string();
    assert!(failure.contains("no/such"), "{failure}");
}

#[test]
fn a_repair_stays_when_other_text_is_read_and_says_where_it_saw_the_text() {
    let mut desk = repaired();
    let record = desk.state().repair_now().unwrap().record.clone();
    desk.press(Key::F6);
    desk.settle();
    let measured = desk.state().measured_now().unwrap();
    assert_eq!((measured.repair, measured.repair_in_sample), (Some(RepairMode::Refit), true));
    // Once, in the verdict.
    let told = "the plan was chosen and its repair calibrated on this text";
    assert_eq!(desk.harness.query_all_by_label_contains(told).count(), 1);
    assert!(desk.shows(&format!("in-sample: {told}")));
    // Text that neither saw: measured as it is, not calibrated anew.
    let folder = desk.folder.path().join("other");
    std::fs::create_dir(&folder).unwrap();
    let other = tokens(&folder, 9, 13);
    desk.type_path((Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::I), &other);
    assert_eq!(desk.state().repair_now().unwrap().record, record);
    desk.press(Key::F6);
    desk.settle();
    let measured = desk.state().measured_now().unwrap();
    assert_eq!(
        (measured.repair, measured.in_sample, measured.repair_in_sample),
        (Some(RepairMode::Refit), false, false)
    );
    assert_eq!(desk.state().repair_now().unwrap().record, record);
    // Who asks for it has it made of what is read now.
    desk.click("Repair again");
    desk.settle();
    assert_eq!(desk.state().repair_now().unwrap().record.mode, RepairMode::Refit);
    desk.press(Key::F5);
    desk.settle();
    assert!(desk.state().repair_now().is_none(), "another run, another calibration");
}

#[test]
fn a_plan_found_with_repair_keeps_it_through_files() {
    let mut desk = Desk::with_results("llama");
    desk.chord(Modifiers::COMMAND, Key::Num5);
    assert_eq!(desk.state().repairing.mode, RepairMode::Auto);
    desk.click("Find");
    desk.settle();
    let found = desk.state().draft.now().active().base.budget.clone().unwrap();
    assert_eq!(found.repair, "refit");
    let made = desk.state().made_repair().expect("what the search measured with").clone();
    assert!(made.is_own && made.repair.record.mode == RepairMode::Refit);
    let measured = desk.state().measured_now().unwrap().clone();
    assert_eq!(measured.repair, Some(RepairMode::Refit));
    assert!((measured.comparison.after.loss_per_token.unwrap() - found.pruned).abs() < 1e-9);
    // Nothing is foretold of what was measured, and the warning stands once for the plan masked and repaired.
    assert!(!desk.messages().contains("xpected to cost"), "{}", desk.messages());
    assert!(desk.messages().matches("n-sample: the plan was chosen").count() <= 1, "{}", desk.messages());
    // Saved as the command line saves it, and opened with it.
    let path = desk.folder.path().join("found.json");
    desk.command("save plan");
    desk.type_text(path.to_str().unwrap());
    desk.press(Key::Enter);
    desk.settle();
    let written = Repair::read(&Repair::path_beside(&path)).unwrap_or_else(|e| panic!("{e}: {}", desk.messages()));
    assert_eq!(written.record.sites, made.repair.record.sites);
    let mut desk = Desk::with_input("llama");
    let keys = (Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::O);
    desk.type_path(keys, &path);
    assert!(desk.messages().contains("with the repair by refit that it was measured with"), "{}", desk.messages());
    let own = desk.state().made_repair().unwrap();
    assert_eq!((own.is_own, &own.repair.record.sites), (true, &made.repair.record.sites));
}

#[test]
fn a_repaired_plan_is_saved_with_its_repair() {
    let mut desk = repaired();
    let record = desk.state().repair_now().unwrap().record.clone();
    let path = desk.folder.path().join("plan.json");
    desk.command("save plan");
    desk.type_text(path.to_str().unwrap());
    desk.press(Key::Enter);
    desk.settle();
    let plan = Plan::read_any(&path).unwrap();
    let own = OwnRepair::of(&path, &plan).unwrap().expect("the repair lies beside the plan");
    assert_eq!(own.mode, RepairMode::Refit);
    assert_eq!(Repair::read(own.found().unwrap()).unwrap().record.sites, record.sites);
}

#[test]
fn a_repair_under_way_tells_how_long_it_takes_and_leaves_everything_as_it_was_when_canceled() {
    let mut desk = Desk::start(Some(fixture("bert")));
    let input = tokens(desk.folder.path(), 6000, 12);
    desk.type_path((Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::I), &input);
    desk.press(Key::F5);
    desk.settle();
    desk.prune_everywhere();
    desk.chord(Modifiers::COMMAND, Key::Num5);
    desk.toggle("Repair");
    desk.press(Key::F6);
    desk.settle();
    desk.toggle("Repair");
    let plan = desk.state().legal_plan().cloned().unwrap();
    let measured = desk.state().measured_now().cloned().unwrap_or_else(|| panic!("{}", desk.messages()));
    let draft = desk.state().draft.now().clone();
    desk.click("Repair now");
    let job = |state: &pillars::gui::State| {
        state.jobs.shown().find(|job| job.title.starts_with("Repair")).map(|job| job.words())
    };
    desk.wait("the time that is left", |state| job(state).is_some_and(|words| words.ends_with(" left")));
    let said = job(desk.state()).unwrap();
    let share = desk.state().jobs.shown().next().and_then(|job| job.progress.fraction()).unwrap_or(0.0);
    assert!(share > 0.0 && share < 1.0, "{said}: {share}");
    desk.harness.step();
    assert!(desk.shows(" left") && desk.harness.query_all_by_role(Role::ProgressIndicator).next().is_some(), "{said}");
    // The button beside the bar, in the view.
    let left = desk.harness.get_by_label("2. Repair").rect();
    let buttons = desk.harness.query_all_by_role_and_label(Role::Button, "Cancel");
    let beside =
        buttons.filter(|b| b.rect().top() > left.top()).min_by(|a, b| a.rect().top().total_cmp(&b.rect().top()));
    beside.expect("it can be canceled where it was begun").click();
    desk.harness.step();
    desk.settle();
    assert!(desk.state().repair_now().is_none(), "{}", desk.messages());
    assert_eq!(desk.state().legal_plan(), Some(&plan));
    assert_eq!(desk.state().draft.now(), &draft);
    assert_eq!(desk.state().measured_now(), Some(&measured));
    assert!(desk.harness.query_by_role_and_label(Role::Button, "Repair now").is_some());
}

#[test]
fn every_batch_can_be_asked_what_it_would_keep() {
    let mut desk = Desk::with_results("bert");
    desk.prune_everywhere();
    desk.chord(Modifiers::COMMAND, Key::Num5);
    let kept = desk.state().legal_plan().unwrap().kept.clone();
    for _ in 0..2 {
        desk.click("Ask every batch");
        desk.settle();
    }
    let analysis = desk.state().results.as_ref().unwrap().analysis.clone();
    let base = &desk.state().draft.now().active().base;
    assert_eq!(base.kept_by_batches.len(), analysis.sites.len(), "{}", desk.messages());
    for (site, votes) in &base.kept_by_batches {
        let kept = base.kept_at(*site, votes.len()).len() as u64;
        assert_eq!(votes.iter().sum::<u64>(), analysis.batches * kept, "{site}");
    }
    // It is said once, and changes no head.
    let said: Vec<_> = base.notes.iter().filter(|note| note.contains("when every batch chooses by itself")).collect();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(desk.shows("when every batch chooses by itself"));
    assert_eq!(desk.state().legal_plan().unwrap().kept, kept);
    // Votes are cast batch by batch anyway.
    desk.votes();
    assert!(desk.harness.query_by_role_and_label(Role::Button, "Ask every batch").is_none());
}
