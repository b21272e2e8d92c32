//! Plans by what they cost: the search within a budget, the verdict above the export, reasons in the inspector.

use eframe::egui::{Key, Modifiers};

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
    assert!(desk.messages().contains("spent of 1.00 %"), "{}", desk.messages());
    // It is a step of the history like any other.
    desk.chord(Modifiers::COMMAND, Key::Z);
    assert_eq!(desk.kept(), before);
}

#[test]
fn the_inspector_says_what_a_head_does_and_why_it_stays() {
    let mut desk = Desk::with_results("llama");
    desk.click_head(desk.head("decoder.0", 1), Modifiers::NONE);
    desk.chord(Modifiers::COMMAND, Key::Z);
    assert!(desk.shows("Does"));
    assert!(desk.shows("rank") || desk.shows("votes in group") || desk.shows("every head of the layer stays"));
    let evidence = desk.state().results.as_ref().unwrap().analysis.sites[0].evidence.clone().unwrap();
    let sentence = evidence.sentence[1..].to_owned();
    assert!(desk.shows(&sentence), "{sentence}");
    desk.chord(Modifiers::COMMAND, Key::Num3);
    desk.settle();
    assert!(desk.shows(&sentence), "the view of groups says it too");
}
