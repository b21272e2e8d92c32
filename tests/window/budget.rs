//! Plans by what they cost: the search within a budget, the verdict above the export, reasons in the inspector.

use eframe::egui::accesskit::{Role, Toggled};
use eframe::egui::{Key, Modifiers};
use egui_kittest::kittest::{NodeT, Queryable};
use pillars::chart::{Paint, Picture};
use pillars::gui::View;

use crate::desk::Desk;

#[test]
fn the_smallest_plan_within_a_budget_is_found_measured_and_judged() {
    let mut desk = Desk::with_results("llama");
    desk.chord(Modifiers::COMMAND, Key::Num5);
    assert!(desk.shows("Not measured: what this plan costs in quality is unknown"), "{}", desk.messages());
    let before = desk.kept();
    desk.click("Find");
    desk.settle();
    let draft = desk.state().draft.now();
    let found = draft.active().base.budget.clone().expect("the plan says what it cost");
    assert_eq!((draft.plans().len(), draft.active().name.as_str()), (2, "Within 1 %"));
    assert!(found.spent <= 0.01 && found.evaluations <= 12, "{found:?}");
    // It is measured at once, beside the random control, and judged.
    let measured = desk.state().measured_now().expect("the plan was measured");
    assert!(measured.random.is_some());
    assert!(desk.shows("budget of 1.00 %: loss "), "{}", desk.messages());
    assert!(desk.messages().contains("where the budget is 1.00 %"), "{}", desk.messages());
    // It is a step of the history like any other.
    desk.chord(Modifiers::COMMAND, Key::Z);
    assert_eq!(desk.kept(), before);
}

#[test]
fn a_first_start_ends_in_a_verdict_on_what_the_model_is_for() {
    let sample = pillars::workspace::sample().expect("the bundled sample");
    let mut desk = Desk::start(Some(sample.model));
    assert_eq!(desk.state().run.input, sample.input);
    desk.toggle("all");
    desk.set("Batches", 40.0);
    desk.press(Key::F5);
    desk.settle();
    assert!(desk.shows("of 3 layers show redundancy"), "{}", desk.messages());
    desk.chord(Modifiers::COMMAND, Key::Num5);
    desk.click("Find");
    desk.settle();
    // Half of the batches were left out of the run, and quality is told of those alone, in the metric of the task.
    assert_eq!(desk.state().run.held_out_every, Some(2));
    let found = desk.state().draft.now().active().base.budget.clone().expect("the plan says what it cost");
    assert_eq!(found.measure, "accuracy");
    assert!(desk.kept() <= 12, "{}", desk.kept());
    assert!(desk.shows("budget of 1.00 %: accuracy "), "{}", desk.messages());
}

#[test]
fn every_method_is_searched_and_the_best_plan_is_taken() {
    let mut desk = Desk::with_results("llama");
    desk.chord(Modifiers::COMMAND, Key::Num5);
    desk.click("Find");
    desk.settle();
    let one = desk.state().draft.now().active().base.budget.clone().unwrap();
    assert_eq!(one.by_method().len(), 1);
    assert!(!desk.shows("Each method by its smallest plan"));
    // The box says what was done, and a search from here goes by the same method again.
    let node = desk.harness.get_by_role_and_label(Role::CheckBox, "Every method");
    let node = node.accesskit_node();
    assert!(node.toggled() == Some(Toggled::False) && !node.is_disabled());
    assert_eq!(desk.state().searched_by().map(|ranking| ranking.to_string()), Some(one.by_method()[0].method.clone()));
    desk.chord(Modifiers::COMMAND, Key::Z);
    desk.harness.get_by_role_and_label(Role::CheckBox, "Every method").click();
    // Nothing may be lost, so that the first method does not come down to the least there can be.
    desk.harness.get_by_role_and_label(Role::SpinButton, "Prune until quality falls by").set_value_accesskit(0.0);
    desk.harness.run_ok();
    desk.click("Find");
    desk.settle();
    let all = desk.state().draft.now().active().base.budget.clone().unwrap();
    let told = all.by_method();
    assert!(told.len() > 1, "{:?}", all.path);
    assert!(desk.shows("Each method by its smallest plan"));
    for step in &told {
        assert!(desk.shows(&step.method), "{}", step.method);
    }
    // The best is taken: no method came to fewer heads.
    let kept = desk.kept();
    assert!(told.iter().filter(|step| step.within).all(|step| step.heads >= kept), "{told:?} but {kept}");
    // Of a plan that no method chose every one is tried whatever was wished, and the box says what a search does.
    desk.harness.get_by_role_and_label(Role::CheckBox, "Every method").click();
    desk.harness.run_ok();
    assert!(!desk.state().tries_every_method());
    desk.command("new plan");
    let node = desk.harness.get_by_role_and_label(Role::CheckBox, "Every method");
    assert!(desk.state().tries_every_method() && node.accesskit_node().toggled() == Some(Toggled::True));
    assert!(node.accesskit_node().is_disabled());
    desk.chord(Modifiers::COMMAND, Key::Z);
    desk.harness.get_by_role_and_label(Role::CheckBox, "Every method").click();
    desk.harness.run_ok();
    // The wish is kept with the settings.
    assert!(desk.reopen().state().settings.every_method);
}

#[test]
fn heads_that_are_pinned_to_go_do_so_in_what_is_found() {
    let mut desk = Desk::with_results("bert");
    let head = desk.head("encoder.1", 2);
    desk.click_head(head, Modifiers::NONE);
    desk.press(Key::K);
    let spared = desk.head("encoder.0", 0);
    desk.click_head(spared, Modifiers::NONE);
    desk.press(Key::X);
    desk.chord(Modifiers::COMMAND, Key::Num5);
    // Nothing may be lost: without the pin every head would stay.
    desk.set_number("Prune until quality falls by", 0.0);
    desk.click("Find");
    desk.settle();
    let plan = desk.state().draft.now().active().clone();
    let found = plan.base.budget.as_ref().expect("a search found it");
    assert!(!plan.base.kept.keeps(spared) && plan.base.kept.keeps(head), "{}", desk.messages());
    assert_eq!((plan.pin(spared), plan.pin(head)), (Some(false), Some(true)));
    // The search did not choose that: the record says who did.
    let base = &plan.base;
    assert_eq!(base.pinned_out.get(&spared.site).map(Vec::as_slice), Some(&[spared.head][..]));
    assert!(base.swapped.get(&spared.site).is_none_or(|heads| !heads.contains(&spared.head)), "{:?}", base.swapped);
    let analysis = &desk.state().results.as_ref().unwrap().analysis;
    let why = pillars::plan::why(analysis, base).unwrap()[&spared.site][spared.head].clone();
    assert!(why.starts_with("removed: pinned to go; "), "{why}");
    // What it costs is told, within the budget or not.
    assert!(found.spent != 0.0 || found.pruned != found.whole, "{found:?}");
}

#[test]
fn wishes_of_one_model_do_not_reach_the_next() {
    let mut desk = Desk::with_results("llama");
    desk.chord(Modifiers::COMMAND, Key::Num5);
    desk.command("keep 57 %");
    desk.settle();
    desk.set_number("Prune until quality falls by", 7.0);
    // The other model comes between two frames, while something was asked for in the first of them.
    desk.begin_with((Modifiers::COMMAND, Key::L), &crate::desk::fixture("bert"));
    desk.settle();
    assert_eq!(desk.state().draft.now(), &pillars::workspace::Draft::default());
    assert!(!desk.state().has_chosen());
    assert_eq!(desk.state().quality_share(), 0.01);
    // And none of the first steps beyond the first is done.
    assert!(!desk.shows("\u{2713} Run") && !desk.shows("\u{2713} Choose"));
}

#[test]
fn a_share_that_is_no_round_binary_number_is_shown_and_not_changed() {
    let mut desk = Desk::with_results("llama");
    desk.chord(Modifiers::COMMAND, Key::Num5);
    // 57 / 100 * 100 is not 57 among floats, nor are these; a third is no whole percentage at all.
    for share in ["57", "28", "55", "14", "7", "33.3333"] {
        desk.command(&format!("keep {share} %"));
        desk.settle();
        let (steps, proposal) = (desk.state().draft.now().clone(), desk.state().draft.now().active().proposal.clone());
        for _ in 0..5 {
            desk.harness.step();
        }
        assert_eq!(*desk.state().draft.now(), steps, "{share}");
        assert!(proposal.is_some());
    }
    desk.command("keep 57 %");
    desk.settle();
    desk.click("Find");
    desk.settle();
    let draft = desk.state().draft.now();
    assert!(draft.active().base.budget.is_some(), "{:?}", draft.active());
    assert_eq!(draft.active().title(), "Within 1 %");
    // A person still changes it.
    desk.chord(Modifiers::COMMAND, Key::Z);
    desk.harness.get_by_role_and_label(Role::SpinButton, "Prune until quality falls by").set_value_accesskit(2.0);
    desk.harness.run_ok();
    assert!((desk.state().quality_share() - 0.02).abs() < 1e-12);
}

#[test]
fn quality_is_told_by_the_measure_that_is_chosen() {
    let mut desk = Desk::with_results("llama");
    desk.chord(Modifiers::COMMAND, Key::Num5);
    assert_eq!(desk.state().quality_measures(), ["loss", "accuracy", "cosine"]);
    assert_eq!(desk.state().quality_budget().1, None);
    desk.pick("by", "cosine");
    desk.click("Find");
    desk.settle();
    let found = desk.state().draft.now().active().base.budget.clone().expect("the plan says what it cost");
    assert_eq!((found.measure.as_str(), found.whole), ("cosine", 1.0));
    assert!(desk.state().measured_now().is_some());
    assert!(desk.shows("budget of 1.00 %: cosine "), "{}", desk.messages());
    // It comes back with the work.
    let mut desk = desk.reopen();
    desk.settle();
    assert_eq!(desk.state().quality_measure.as_deref(), Some("cosine"));
    desk.chord(Modifiers::COMMAND, Key::Num5);
    assert!(desk.shows("budget of 1.00 %: cosine "), "{}", desk.messages());
}

#[test]
fn heads_are_colored_by_what_they_do_and_selected_by_kind() {
    let mut desk = Desk::with_results("roberta");
    desk.chord(Modifiers::COMMAND, Key::Num1);
    desk.pick("Color", "What it does");
    let Picture::Overview(drawn) = desk.same(View::Overview) else { panic!("no overview") };
    assert_eq!(drawn.paint, Paint::Kinds);
    let (kinds, _) = drawn.kinds();
    let kind = *kinds.first().expect("some head does something that has a name");
    let of_kind: usize =
        drawn.rows.iter().map(|row| (0..row.heads).filter(|head| row.kind(*head) == Some(kind)).count()).sum();
    desk.harness.get_by_label(&format!("{} ({})", kind.label(), kind.letters())).click();
    desk.harness.run_ok();
    assert_eq!(desk.state().selection.heads.len(), of_kind);
    assert!(drawn.caption.notes[0].contains("need not sum to 1"), "{:?}", drawn.caption);
}

#[test]
fn the_inspector_says_what_a_head_does_and_why_it_stays() {
    let mut desk = Desk::with_results("llama");
    desk.click_head(desk.head("decoder.0", 1), Modifiers::NONE);
    desk.chord(Modifiers::COMMAND, Key::Z);
    assert!(desk.shows("Does"));
    assert!(desk.shows("rank") || desk.shows("votes for") || desk.shows("every head of the layer stays"));
    let evidence = desk.state().results.as_ref().unwrap().analysis.sites[0].evidence.clone().unwrap();
    let sentence = evidence.sentence[1..].to_owned();
    assert!(desk.shows(&sentence), "{sentence}");
    desk.chord(Modifiers::COMMAND, Key::Num3);
    desk.settle();
    assert!(desk.shows(&sentence), "the view of groups says it too");
}

#[test]
fn the_heads_that_tell_when_a_word_was_said_are_pinned_by_one_command() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["config.json", "model.safetensors"] {
        std::fs::copy(crate::desk::fixture("whisper").join(name), folder.path().join(name)).unwrap();
    }
    std::fs::write(folder.path().join("generation_config.json"), r#"{"alignment_heads": [[0, 2], [1, 1]]}"#).unwrap();
    let mut desk = Desk::start(Some(folder.path().to_path_buf()));
    desk.command("pin alignment heads");
    desk.settle();
    let pins = |desk: &Desk| {
        let plan = desk.state().draft.now().active();
        [desk.head("cross.0", 2), desk.head("cross.1", 1), desk.head("cross.0", 0)].map(|head| plan.pin(head))
    };
    assert_eq!(pins(&desk), [Some(true), Some(true), None], "{}", desk.messages());
    desk.chord(Modifiers::COMMAND, Key::Z);
    assert_eq!(pins(&desk), [None, None, None]);
}
