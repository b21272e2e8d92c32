//! From a model to a pruned checkpoint.

use eframe::egui::accesskit::Role;
use eframe::egui::{Key, Modifiers};
use egui_kittest::kittest::{NodeT, Queryable};
use pillars::evaluation::curve::Effect;
use pillars::model::Model;
use pillars::plan::{Amount, Method};
use pillars::tensor::Precision;
use pillars::workspace::ThemeChoice;

use crate::desk::{Desk, fixture, tokens};

#[test]
fn a_model_opens_and_every_head_can_be_kept_or_pruned() {
    let mut desk = Desk::start(Some(fixture("bert")));
    assert!(desk.shows("bert") && desk.shows("8 in all"));
    let head = desk.head("encoder.1", 2);
    assert!(desk.spoken(head).starts_with("kept"));
    desk.click_head(head, Modifiers::NONE);
    assert!(desk.spoken(head).starts_with("pruned, pinned"));
    assert_eq!(desk.kept(), 7);
    // Shift extends a range from there, which changes nothing but the selection.
    desk.click_head(desk.head("encoder.0", 1), Modifiers::SHIFT);
    assert_eq!((desk.state().selection.heads.len(), desk.kept()), (4, 7));
    desk.press(Key::X);
    assert_eq!(desk.kept(), 4);
    desk.chord(Modifiers::COMMAND, Key::Z);
    assert_eq!(desk.kept(), 7);
    assert!(desk.messages().contains("Undone: prune 4 heads"));
    desk.chord(Modifiers::COMMAND, Key::Z);
    assert_eq!(desk.kept(), 8);
    desk.chord(Modifiers::COMMAND, Key::Y);
    assert_eq!(desk.kept(), 7);
}

#[test]
fn a_run_fills_every_view_and_the_votes_fill_the_plan() {
    let mut desk = Desk::with_results("bert");
    assert_eq!(desk.kept(), 8, "nothing speaks for redundancy in a model that nobody trained");
    desk.prune_everywhere();
    assert!(desk.kept() < 8, "some of the heads go");
    assert_eq!(desk.state().placed.as_ref().unwrap().device, "cpu");
    assert!(desk.shows("Runs on"));
    let names = ["Overview", "Redundancy", "Groups", "Votes", "Prune", "Attention", "Training"];
    for (number, name) in
        [Key::Num1, Key::Num2, Key::Num3, Key::Num4, Key::Num5, Key::Num6, Key::Num7].iter().zip(names)
    {
        desk.chord(Modifiers::COMMAND, *number);
        desk.settle();
        assert!(desk.harness.query_by_role_and_label(Role::Tab, name).is_some());
    }
    desk.chord(Modifiers::COMMAND, Key::Num2);
    assert!(desk.shows("Cosine between the heads of encoder.0"));
    desk.press(Key::CloseBracket);
    assert!(desk.shows("Cosine between the heads of encoder.1"));
    desk.chord(Modifiers::COMMAND, Key::Num3);
    assert!(desk.shows("Silhouettes of encoder.1"));
    desk.chord(Modifiers::COMMAND, Key::Num4);
    assert!(desk.shows("votes from 2 batches"));
    desk.chord(Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::A);
    desk.chord(Modifiers::COMMAND, Key::Num6);
    desk.settle();
    assert!(desk.shows("Attention of encoder.1 head 3"));
}

#[test]
fn the_settings_say_why_a_run_cannot_start() {
    let mut desk = Desk::start(Some(fixture("bert")));
    assert!(desk.shows("choose what the model reads"));
    desk.press(Key::F5);
    // What is at fault may be scrolled out of sight on the left.
    assert!(desk.messages().contains("Run: the settings on the left need attention: no input is given"));
    assert!(desk.state().jobs.running().is_empty());
    // A file that is named and cannot be read is told as that.
    desk.chord(Modifiers::COMMAND, Key::Num6);
    assert!(desk.shows("There is no input"));
    let path = desk.folder.path().join("latin.txt");
    std::fs::write(&path, b"tea \xe0 la carte\n").unwrap();
    desk.type_path((Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::I), &path);
    let why = desk.state().faults().expect("it is no text for this model");
    assert!(!desk.shows("There is no input"), "{why}");
    assert!(desk.shows("The settings on the left need attention"));
    desk.press(Key::F5);
    assert!(desk.messages().lines().last().unwrap().ends_with(&why), "{}", desk.messages());
}

#[test]
fn a_run_can_be_cancelled_in_the_middle() {
    let mut desk = Desk::start(Some(fixture("bert")));
    let input = tokens(desk.folder.path(), 30_000, 12);
    desk.type_path((Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::I), &input);
    desk.harness.key_press(Key::F5);
    desk.wait("progress", |state| {
        state.jobs.shown().any(|job| job.progress.stage == "analyze" && job.progress.done > 2)
    });
    assert!(desk.shows("of 3750 batches"));
    desk.harness.key_press_modifiers(Modifiers::COMMAND, Key::Period);
    desk.settle();
    assert!(desk.state().results.is_none());
    assert!(desk.messages().contains("Run: cancelled") && !desk.messages().contains("error"));
    // And it can start again.
    desk.harness.key_press(Key::F5);
    desk.wait("progress", |state| state.jobs.shown().any(|job| job.progress.done > 0));
    desk.harness.key_press_modifiers(Modifiers::COMMAND, Key::Period);
    desk.settle();
}

#[test]
fn a_measurement_can_be_cancelled_in_the_middle() {
    let mut desk = Desk::start(Some(fixture("bert")));
    let input = tokens(desk.folder.path(), 30_000, 12);
    desk.type_path((Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::I), &input);
    desk.harness.key_press(Key::F6);
    desk.wait("progress", |state| state.jobs.shown().any(|job| job.progress.done > 0));
    desk.harness.get_by_role_and_label(Role::Button, "Cancel: Measure Plan 1").click();
    desk.settle();
    assert!(desk.state().measured.is_empty());
    assert!(desk.messages().contains("Measure Plan 1: cancelled") && !desk.messages().contains("error"));
}

#[test]
fn moving_the_threshold_moves_the_plan_and_what_it_saves() {
    let mut desk = Desk::with_results("bert");
    desk.chord(Modifiers::COMMAND, Key::Num4);
    let slider = |desk: &Desk| desk.harness.get_by_role_and_label(Role::Slider, "Vote threshold").focus();
    slider(&desk);
    desk.harness.run();
    desk.press(Key::ArrowUp);
    let proposal = desk.state().draft.now().active().proposal.clone().unwrap();
    assert_eq!((proposal.method, proposal.amount), (Method::Votes, Amount::Threshold(0.01)));
    let (low, parameters) = (desk.kept(), desk.state().outlook.as_ref().unwrap().as_ref().unwrap().after().parameters);
    for _ in 0..99 {
        desk.press(Key::ArrowUp);
    }
    // At the largest share only heads that every batch voted for stay, and the best of each layer.
    assert!((2..low).contains(&desk.kept()), "{} of {low}", desk.kept());
    assert!(desk.state().outlook.as_ref().unwrap().as_ref().unwrap().after().parameters < parameters);
    // The presses of one key are one step back.
    desk.chord(Modifiers::COMMAND, Key::Z);
    desk.chord(Modifiers::COMMAND, Key::Num5);
    assert!(desk.shows("heads kept,"));
}

#[test]
fn pins_hold_when_the_method_changes_its_mind() {
    let mut desk = Desk::with_results("bert");
    desk.votes();
    // Chance groups its heads as well, so that votes alone would leave every layer as it is.
    desk.command("prune layers without evidence");
    desk.chord(Modifiers::COMMAND, Key::Num1);
    let gone = desk.state().plan().unwrap().kept.clone();
    let (site, stay) = gone.iter().next().unwrap();
    let pruned = (0..4).find(|h| !stay.contains(h)).unwrap();
    let head = desk.head(&site.to_string(), pruned);
    desk.click_head(head, Modifiers::NONE);
    assert!(desk.state().is_kept(head));
    desk.chord(Modifiers::COMMAND, Key::Num4);
    desk.harness.get_by_role_and_label(Role::Slider, "Vote threshold").focus();
    desk.harness.run();
    for _ in 0..100 {
        desk.press(Key::ArrowUp);
    }
    assert!(desk.state().is_kept(head));
    desk.chord(Modifiers::COMMAND, Key::Num1);
    desk.press(Key::U);
    assert!(!desk.state().is_kept(head));
}

#[test]
fn the_palette_finds_commands_by_letters() {
    let mut desk = Desk::start(Some(fixture("bert")));
    desk.chord(Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::P);
    desk.type_text("drk th");
    assert!(desk.shows("Dark theme"));
    desk.press(Key::Enter);
    assert_eq!(desk.state().settings.theme, ThemeChoice::Dark);
    assert!(desk.state().overlay.is_none());
    for _ in 0..30 {
        desk.chord(Modifiers::COMMAND, Key::Plus);
    }
    assert_eq!(desk.state().settings.zoom, 3.0);
    desk.chord(Modifiers::COMMAND, Key::Num0);
    assert_eq!(desk.state().settings.zoom, 1.0);
}

#[test]
fn trouble_shows_where_the_messages_are_closed() {
    let mut desk = Desk::start(Some(fixture("bert")));
    desk.chord(Modifiers::COMMAND, Key::J);
    assert!(!desk.shows("Tasks and messages"));
    desk.type_path((Modifiers::COMMAND, Key::L), std::path::Path::new("/no/such/place"));
    // The box stays for the path to be mended.
    desk.press(Key::Escape);
    let trouble = desk.messages().lines().last().unwrap().trim_start_matches("error: ")[..20].to_owned();
    desk.harness.get_by(|n| n.role() == Role::Button && n.label().is_some_and(|l| l.starts_with(&trouble))).click();
    desk.harness.run();
    assert!(desk.shows("Tasks and messages"), "the words open the panel");
}

#[test]
fn plans_stand_side_by_side_and_are_measured_on_demand() {
    let mut desk = Desk::with_results("bert");
    desk.chord(Modifiers::COMMAND, Key::Num5);
    desk.click("Copy the plan");
    desk.command("select the layer");
    desk.press(Key::X);
    assert_eq!(desk.state().compared.len(), 2);
    // A layer without heads cannot be cut out; the other plan can be measured all the same.
    assert!(desk.state().compared[1].outlook.is_err() && desk.shows("impossible"));
    desk.harness.get_by_role_and_label(Role::Button, "Measure Plan 1").click_accesskit();
    desk.harness.run_ok();
    desk.settle();
    let first = desk.state().compared[0].outlook.as_ref().unwrap().legal.clone();
    let measured = desk.state().measured_of(&first).map(|m| m.name.as_str());
    assert_eq!(measured, Some("Plan 1"), "{}", desk.messages());
    // On another input it counts for nothing, even under the same name.
    desk.type_path((Modifiers::COMMAND, Key::L), &tokens(&desk.folder.path().join("remembered"), 5, 7));
    assert!(desk.state().measured_of(&first).is_none());
    assert!(desk.harness.query_by_role_and_label(Role::Button, "Measure Plan 1").is_some());
    // Renamed, it keeps its numbers; deleted, undo brings it back.
    desk.click("Rename");
    desk.type_text("ed");
    desk.press(Key::Enter);
    assert!(desk.state().draft.now().active().name.contains("ed"));
    desk.command("delete plan");
    assert_eq!(desk.state().compared.len(), 1);
    desk.chord(Modifiers::COMMAND, Key::Z);
    assert_eq!(desk.state().compared.len(), 2);
    assert!(desk.messages().contains("Undone: delete the plan"));
}

#[test]
fn quality_is_shown_beside_a_random_control() {
    let mut desk = Desk::with_results("bert");
    desk.prune_everywhere();
    desk.press(Key::F6);
    desk.settle();
    desk.chord(Modifiers::COMMAND, Key::Num5);
    for text in ["whole model", "this plan", "random", "perplexity", "Measured Plan 1"] {
        assert!(desk.shows(text), "{text}: {}", desk.messages());
    }
    let measured = desk.state().measured_now().unwrap().clone();
    assert!(measured.comparison.before.perplexity.unwrap() > 1.0);
    // Another plan was not measured.
    desk.chord(Modifiers::COMMAND, Key::N);
    assert!(desk.state().measured_now().is_none());
    desk.chord(Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::M);
    desk.settle();
    assert!(desk.shows("Quality against heads kept"), "{}", desk.messages());
    let curves = desk.state().curves.as_ref().unwrap();
    // Every curve begins with the whole model, and chance is drawn more than once.
    let whole = curves.whole.unwrap().effect;
    for ranking in curves.rankings() {
        let row = curves.curve(ranking).pop().unwrap();
        let is_whole = |e: &Effect| {
            (e.loss_per_token, e.accuracy, e.cosine) == (whole.loss_per_token, whole.accuracy, whole.cosine)
        };
        assert!(row.points.iter().all(|p| p.kept_share == 1.0 && is_whole(&p.effect)), "{ranking}");
        assert_eq!(row.points.len(), if ranking.method == Method::Random { 5 } else { 1 });
    }
    // What is best is said in words.
    let picture = desk.harness.get_by_role_and_label(Role::Image, "Quality against heads kept");
    let said = picture.accesskit_node().value().unwrap();
    assert!(said.starts_with("Perplexity") && said.contains("with 25 % of the heads"), "{said}");
}

#[test]
fn an_export_shows_its_proof_and_opens() {
    for family in ["bert", "llama"] {
        let mut desk = Desk::with_results(family);
        let kept = desk.state().legal_plan().unwrap().kept.clone();
        let out = desk.folder.path().join("pruned");
        desk.chord(Modifiers::COMMAND, Key::Num5);
        desk.harness.get_by_role_and_label(Role::TextInput, "Folder").focus();
        desk.harness.run();
        desk.type_text(out.to_str().unwrap());
        desk.scroll_and_click("Export");
        desk.settle();
        assert!(desk.shows("Proved equal to the masked"), "{}", desk.messages());
        let written = Model::open(&out).unwrap();
        for (site, heads) in kept {
            assert_eq!(written.spec().attention(site).unwrap().heads, heads.len(), "{family} {site}");
        }
        // The same folder again is refused with a reason, and stays as it is.
        desk.scroll_and_click("Export");
        desk.settle();
        assert!(desk.state().export.failure.is_some() && Model::open(&out).is_ok());
    }
}

#[test]
fn an_export_is_proved_equal_to_what_it_was_compared_with() {
    let mut desk = Desk::with_results("llama");
    desk.command("new plan");
    for site in ["decoder.0", "decoder.1"] {
        desk.chord(Modifiers::COMMAND, Key::Num1);
        desk.click_head(desk.head(site, 2), Modifiers::NONE);
        desk.press(Key::X);
        desk.click_head(desk.head(site, 3), Modifiers::NONE);
        desk.press(Key::X);
    }
    desk.chord(Modifiers::COMMAND, Key::Num5);
    // What keeps every query head has nothing to repair.
    desk.toggle("Repair");
    let write = |desk: &mut Desk, format: &str, name: &str| {
        let choice = desk.harness.get_by_role_and_label(Role::RadioButton, format);
        choice.scroll_to_me();
        choice.click_accesskit();
        desk.harness.run_ok();
        let out = desk.folder.path().join(name);
        desk.type_path((Modifiers::COMMAND, Key::E), &out);
        assert!(desk.state().export.done.is_some(), "{format}: {}", desk.messages());
        std::fs::read_to_string(out.join("README.md")).unwrap()
    };
    // Query heads that share an averaged key/value head are not those of the masked model.
    let page = write(&mut desk, "gqa", "averaged");
    assert!(
        desk.shows("Proved equal to the model with averaged key/value heads") && !desk.shows("equal to the masked")
    );
    assert!(!desk.messages().contains("equal to the masked model"), "{}", desk.messages());
    assert!(page.contains("averaged key/value heads") && !page.contains("compared with the masked"), "{page}");
    let page = write(&mut desk, "compact", "masked");
    assert!(desk.shows("Proved equal to the masked model"), "{}", desk.messages());
    assert!(page.contains("compared with the masked"), "{page}");
    // The figures of the page are those of the window.
    let measured = desk.state().export.done.as_ref().unwrap().1.measured.clone().unwrap();
    let perplexity = [&measured.comparison.before, &measured.comparison.after].map(|q| q.perplexity.unwrap());
    let line = page.lines().find(|line| line.starts_with("| perplexity |")).unwrap_or_else(|| panic!("{page}"));
    let told: Vec<f64> = line.split('|').filter_map(|cell| cell.trim().parse().ok()).collect();
    assert!(
        told.len() == 2 && told.iter().zip(perplexity).all(|(told, own)| (told - own).abs() <= 0.0005 + 1e-9),
        "{line}"
    );
}

#[test]
fn what_if_groups_change_the_map_but_not_the_plan() {
    let mut desk = Desk::with_results("bert");
    desk.chord(Modifiers::COMMAND, Key::Num3);
    let plan = desk.state().plan();
    let ran = desk.state().feature_results().unwrap().groups.iter().max().unwrap() + 1;
    let wanted = if ran == 3 { 2 } else { 3 };
    desk.harness.get_by_role_and_label(Role::SpinButton, "Groups").set_value_accesskit(wanted as f64);
    desk.harness.run_ok();
    desk.settle();
    let grouping = &desk.state().regrouped.as_ref().unwrap().1;
    assert_eq!(grouping.groups(), wanted);
    assert_eq!(desk.state().plan(), plan);
    desk.click(&format!("Use {wanted} for this layer"));
    desk.click("Back to the run");
    assert!(desk.state().regrouped.is_none());
    desk.press(Key::F5);
    desk.settle();
    let groups = &desk.state().feature_results().unwrap().groups;
    assert_eq!(groups.iter().max().unwrap() + 1, wanted);
}

#[test]
fn everything_can_be_done_from_the_keyboard() {
    let mut desk = Desk::with_results("bert");
    desk.harness.get_by_role_and_label(Role::Grid, "Heads").focus();
    desk.harness.run();
    desk.press(Key::ArrowDown);
    desk.press(Key::ArrowRight);
    assert_eq!(desk.state().selection.cursor, Some(desk.head("encoder.0", 1)));
    desk.chord(Modifiers::SHIFT, Key::ArrowDown);
    desk.chord(Modifiers::SHIFT, Key::ArrowRight);
    assert_eq!(desk.state().selection.heads.len(), 4);
    desk.press(Key::K);
    assert!(desk.state().selection.heads.iter().all(|h| desk.state().is_kept(*h)));
    let before = desk.kept();
    desk.press(Key::F);
    assert_eq!(desk.kept(), before - 4);
    desk.press(Key::Escape);
    assert!(desk.state().selection.heads.is_empty());
    desk.chord(Modifiers::COMMAND, Key::A);
    assert_eq!(desk.state().selection.heads.len(), 8);
    desk.chord(Modifiers::COMMAND, Key::D);
    assert_eq!(desk.state().draft.now().plans().len(), 2);
}

#[test]
fn a_training_run_is_watched_paused_and_opened() {
    let mut desk = Desk::start(Some(fixture("bert")));
    let input = tokens(desk.folder.path(), 400, 10);
    desk.type_path((Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::I), &input);
    desk.chord(Modifiers::COMMAND, Key::Num7);
    let set = |desk: &mut Desk, label: &str, value: f64| {
        desk.harness.get_by_role_and_label(Role::SpinButton, label).set_value_accesskit(value);
        desk.harness.run();
    };
    // What is set for most runs lies above the fold.
    let bottom = |label: &str| desk.harness.get_by_role_and_label(Role::SpinButton, label).rect().bottom();
    let fold = desk.harness.get_by_role_and_label(Role::TextInput, "Folder").rect().top();
    assert!(bottom("Steps") < fold && bottom("Fine-tuning steps") < fold);
    set(&mut desk, "Steps", 100_000.0);
    set(&mut desk, "Fine-tuning steps", 10.0);
    // Seed and type are those of the left panel.
    set(&mut desk, "Seed", 5.0);
    desk.harness.get_by_role_and_label(Role::ComboBox, "Compute in").click();
    desk.harness.run();
    desk.click("bf16");
    assert_eq!(desk.state().training.settings.steps, 100_000);
    let out = desk.folder.path().join("trained");
    desk.harness.get_by_role_and_label(Role::TextInput, "Folder").focus();
    desk.harness.run();
    desk.type_text(out.to_str().unwrap());
    desk.click("Train");
    let records = |state: &pillars::gui::State| {
        state.training.run.watched.as_ref().map_or(0, |(_, watched)| watched.progress().records.len())
    };
    desk.wait("a record", |state| records(state) > 0);
    desk.let_begin();
    desk.click("Pause");
    desk.wait("the pause", |state| state.training.run.watched.as_ref().unwrap().1.control.is_paused());
    // The vote ends the first stage long before its last step.
    desk.click("Vote now");
    desk.click("Resume");
    desk.settle();
    assert!(desk.shows("kept heads, before fine-tuning") && desk.shows("result"), "{}", desk.messages());
    let asked = pillars::training::request_of(&out).unwrap();
    assert_eq!((asked.settings.seed, asked.settings.precision), (5, Precision::Bf16));
    assert!(desk.state().training.run.summary.as_ref().unwrap().constrained_steps < 100_000);
    assert!(desk.shows("Loss per token") && desk.shows("Cosine"));
    desk.click("Open the result");
    desk.settle();
    assert_eq!(desk.state().model.as_ref().unwrap().facts.name, "trained");
    assert!(desk.state().kept_heads().1 < 8, "the result has fewer heads");
}

#[test]
fn every_view_has_its_numbers_as_a_table_and_rests() {
    let mut desk = Desk::with_results("bert");
    // A column that only the table of this view has, and the number of its rows.
    let heads = 8;
    let expected = [
        (Key::Num1, "kv head", heads),
        (Key::Num2, "other head", 16),
        (Key::Num3, "silhouette", 4),
        (Key::Num4, "mean margin", 4),
        (Key::Num6, "query token", 4 * 10 * 10),
    ];
    for (key, column, rows) in expected {
        desk.chord(Modifiers::COMMAND, key);
        desk.settle();
        desk.chord(Modifiers::COMMAND, Key::T);
        let began = std::time::Instant::now();
        while !desk.shows(&format!("as a table of {rows} rows")) {
            assert!(began.elapsed().as_secs() < 60, "no table of {rows} rows with {column}");
            std::thread::sleep(std::time::Duration::from_millis(5));
            desk.harness.step();
        }
        assert!(desk.shows(column), "{column}");
        // An idle window asks for no frame; `run` fails where one is asked for again and again.
        desk.harness.run();
        desk.chord(Modifiers::COMMAND, Key::T);
        desk.settle();
        assert!(!desk.shows("as a table of"));
        desk.harness.run();
    }
}

#[test]
fn the_first_plan_takes_nothing_of_layers_that_too_few_tokens_tell_nothing_of() {
    for line in [2, 1] {
        let mut desk = Desk::start(Some(fixture("bert")));
        let input = tokens(desk.folder.path(), line, 4);
        desk.type_path((Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::I), &input);
        desk.press(Key::F5);
        desk.settle();
        let (kept, all) = desk.state().kept_heads();
        assert_eq!(kept, all, "{}", desk.messages());
        desk.chord(Modifiers::COMMAND, Key::Num5);
        desk.settle();
        assert!(desk.shows("too little was read or compared to tell"), "{}", desk.messages());
        // By the votes neither.
        desk.votes();
        assert_eq!(desk.kept(), all, "{}", desk.messages());
        // An amount that is chosen is kept to.
        desk.command("keep 50 %");
        desk.settle();
        assert!(desk.kept() < all, "{}", desk.messages());
    }
}
