//! What was chosen in one model does not reach the next, and views speak of what the model reads.

use std::path::Path;

use eframe::egui::accesskit::Role;
use eframe::egui::{Key, Modifiers, Rect};
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT, Queryable};
use pillars::chart::Picture;
use pillars::gui::View;
use pillars::pruning::OutputFormat;
use pillars::run::{AttentionInput, Spec};
use pillars::training::TrainSettings;
use pillars::workspace::ProgramSettings;

use crate::desk::{Desk, fixture};

const OPEN: (Modifiers, Key) = (Modifiers::COMMAND, Key::L);
const INPUT: (Modifiers, Key) = (Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::I);

#[test]
fn nothing_of_one_model_reaches_the_next() {
    let mut desk = Desk::with_results("bert");
    desk.set("Seed", 7.0);
    desk.chord(Modifiers::COMMAND, Key::Num5);
    desk.settle();
    let other = OutputFormat::all().find(|format| *format != OutputFormat::default()).unwrap();
    desk.harness.get_by_role_and_label(Role::RadioButton, other.name()).click_accesskit();
    desk.harness.run_ok();
    desk.toggle("Replace an earlier export");
    desk.pick("by", "accuracy");
    desk.toggle("no limit");
    desk.chord(Modifiers::COMMAND, Key::Num7);
    desk.harness.get_by_role_and_label(Role::SpinButton, "Steps").set_value_accesskit(3.0);
    desk.harness.run_ok();
    let state = desk.state();
    assert_eq!((state.export.force, state.export.format), (true, other));
    assert_eq!(state.quality_measure.as_deref(), Some("accuracy"));
    assert_eq!((state.run.seed, state.training.settings.steps), (7, 3));
    assert!(state.run.memory.is_some());
    desk.type_path(OPEN, &fixture("llama"));
    let state = desk.state();
    assert_eq!(state.model.as_ref().unwrap().facts.name, "llama");
    assert_eq!(state.run, Spec { moments: state.run.moments, ..Spec::default() });
    assert_eq!((state.export.format, state.export.force), (OutputFormat::default(), false));
    assert_eq!(state.quality_measure, None);
    assert_eq!(state.training.settings, TrainSettings::default());
    assert!(state.measured.is_empty() && state.results.is_none() && state.run_began.is_none());
    // What the same model is asked to do stays when its results are forgotten.
    desk.type_path(OPEN, &fixture("bert"));
    assert_eq!(desk.state().run.seed, 7, "its own work comes back");
    assert_eq!(desk.state().quality_measure.as_deref(), Some("accuracy"));
    assert!(desk.state().run.memory.is_some());
    desk.command("start afresh");
    desk.settle();
    assert!(desk.state().results.is_none() && desk.state().run.input.is_some(), "{}", desk.messages());
}

#[test]
fn a_text_that_is_cut_is_told_and_the_input_comes_back() {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample_models/books/classifier");
    let mut desk = Desk::start(Some(model));
    let path = desk.folder.path().join("lines.txt");
    std::fs::write(&path, "He walked to the house.\nShe spoke of it.\n").unwrap();
    desk.type_path(INPUT, &path);
    desk.chord(Modifiers::COMMAND, Key::Num6);
    desk.settle();
    desk.click("Next");
    desk.settle();
    assert_eq!(desk.state().shown, AttentionInput::Nth(1));
    let typed = |desk: &mut Desk, text: &str| {
        desk.harness.get_by_role_and_label(Role::TextInput, "or text").focus();
        desk.harness.run();
        desk.type_text(text);
        desk.harness.key_press(Key::Enter);
        desk.harness.run_ok();
        desk.settle();
        desk.rest();
    };
    typed(&mut desk, "He spoke.");
    assert!(!desk.shows("The text is cut"), "{}", desk.messages());
    typed(&mut desk, &" and then he walked to the house of his friend".repeat(60));
    assert!(desk.shows("The text is cut: its last"), "{}", desk.messages());
    // After a restart the field names what is shown.
    let mut desk = desk.reopen();
    desk.chord(Modifiers::COMMAND, Key::Num6);
    desk.settle();
    assert!(matches!(&desk.state().shown, AttentionInput::Text(text) if text.contains(" and then he walked")));
    desk.click("Back to the input");
    desk.settle();
    assert_eq!(desk.state().shown, AttentionInput::Nth(0));
    desk.click("Next");
    desk.settle();
    typed(&mut desk, "He spoke.");
    desk.click("Back to the input");
    desk.settle();
    assert_eq!(desk.state().shown, AttentionInput::Nth(1), "where it was left");
    assert!(!desk.shows("The text is cut"));
    // There is no third one, and the second is not shown for it.
    let is_off = |desk: &Desk| desk.harness.get_by_role_and_label(Role::Button, "Next").accesskit_node().is_disabled();
    desk.rest();
    assert!(is_off(&desk));
    desk.set("Input", 3.0);
    desk.settle();
    desk.rest();
    assert!(desk.shows("There is no input 3: the file holds 2") || desk.shows("there is no input 3: the file holds 2"));
    assert!(is_off(&desk) && desk.state().patterns.is_none());
    desk.click("Previous");
    desk.settle();
    desk.rest();
    let Picture::Attention(shown) = desk.same(View::Attention) else { panic!() };
    assert_eq!(shown.caption.subtitle, "input 2");
}

#[test]
fn views_name_what_the_model_reads_and_answers() {
    let desk = Desk::start(Some(fixture("vit")));
    assert!(desk.harness.query_by_label("Sequence length").is_none(), "images are always whole");
    let mut desk = desk;
    desk.chord(Modifiers::COMMAND, Key::Num5);
    desk.settle();
    assert!(desk.shows("FLOPs per patch") && !desk.shows("FLOPs per token"));
    // A classifier gives answers, not tokens.
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample_models/books/classifier");
    let mut desk = Desk::start(Some(model));
    let path = desk.folder.path().join("rows.csv");
    let rows = "He walked.,Emma\nShe spoke.,Pride and Prejudice\n".repeat(10);
    std::fs::write(&path, format!("text,label\n{rows}")).unwrap();
    desk.type_path(INPUT, &path);
    desk.press(Key::F5);
    desk.settle();
    desk.press(Key::F6);
    desk.settle();
    desk.command("duplicate plan");
    desk.chord(Modifiers::COMMAND, Key::Num5);
    desk.settle();
    desk.rest();
    assert!(desk.state().measured_now().is_some(), "{}", desk.messages());
    for text in ["of the answers are the same", "loss", "accuracy"] {
        assert!(desk.shows(text), "{text}");
    }
    for text in ["same token", "perplexity", "loss per token"] {
        assert!(!desk.shows(text), "{text}");
    }
    desk.command("measure the quality curve");
    desk.settle();
    let Picture::Quality(curves) = desk.same(View::Prune) else { panic!("the curve is shown") };
    assert_eq!(curves.measure, "Accuracy (higher is better)");
}

#[test]
fn a_curve_is_seen_once_it_is_measured() {
    let builder = Harness::builder().with_size([1000.0, 640.0]).with_max_steps(16);
    let mut desk = Desk::with_results_in(builder, ProgramSettings::default());
    desk.chord(Modifiers::COMMAND, Key::Num5);
    desk.settle();
    desk.scroll_and_click("What each layer loses");
    desk.settle();
    assert!(matches!(desk.same(View::Prune), Picture::Repair(_)));
    desk.scroll_and_click("Measure the curve");
    desk.settle();
    desk.rest();
    assert!(matches!(desk.same(View::Prune), Picture::Quality(_)));
    let curve = desk.harness.get_by_role_and_label(Role::Image, "Quality against heads kept").rect();
    let window = Rect::from_min_size(Default::default(), eframe::egui::vec2(1000.0, 640.0));
    assert!(window.intersect(curve).height() > 100.0, "{curve:?}");
}

#[test]
fn tables_are_of_one_thing_and_ties_are_ties() {
    let mut desk = Desk::with_results("bert");
    desk.chord(Modifiers::COMMAND, Key::Num4);
    desk.settle();
    desk.click("Table");
    desk.settle();
    desk.rest();
    assert!(desk.shows("as a table of 4 rows") && !desk.shows("settled share"));
    desk.choose("Batches");
    desk.settle();
    desk.rest();
    assert!(desk.shows("settled share") && !desk.shows("vote share"));
    let field = desk.harness.get_by_role_and_label(Role::TextInput, "Filter");
    assert!(field.accesskit_node().placeholder().is_none_or(|hint| hint.contains("settled_share>0.2")));
}

#[test]
fn the_palette_offers_no_amount_that_cannot_be() {
    let mut desk = Desk::with_results("bert");
    let offers = |desk: &mut Desk, typed: &str| {
        desk.chord(Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::P);
        desk.type_text(typed);
        let found =
            desk.harness.query_all_by_label_contains("Keep ").any(|n| n.accesskit_node().role() == Role::Button);
        desk.press(Key::Escape);
        found
    };
    assert!(offers(&mut desk, "keep 70 %") && offers(&mut desk, "keep 3"));
    for typed in ["keep 0 %", "keep 200 %", "keep 0", "keep 900", "keep 0 % of every layer"] {
        assert!(!offers(&mut desk, typed), "{typed}");
    }
}
