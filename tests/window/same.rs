//! What the window shows is what it saves.

use std::collections::HashSet;

use eframe::egui::accesskit::Role;
use eframe::egui::{Key, Modifiers};
use egui_kittest::kittest::{NodeT, Queryable};
use pillars::chart::table::Cell;
use pillars::chart::{Picture, Plot};
use pillars::gui::View;

use crate::desk::Desk;

impl Desk {
    /// The picture of a view after it was brought forward, held against the one that would be saved.
    pub fn same(&mut self, view: View) -> Picture {
        self.chord(Modifiers::COMMAND, view.key());
        self.settle();
        self.rest();
        let app = self.harness.state();
        let painted = app.painted(view).unwrap_or_else(|| panic!("{view:?} shows nothing"));
        let saved = app.saved(view).unwrap();
        // Missing numbers are equal here, so words are compared.
        assert_eq!(format!("{painted:?}"), format!("{saved:?}"), "{view:?}");
        saved
    }
}

/// Every number of a picture's plots stands in its table.
pub fn holds_its_numbers(picture: &Picture) {
    let number = |cell: Cell| match cell {
        Cell::Number(number) => Some(number.to_bits()),
        Cell::Count(count) => Some((count as f64).to_bits()),
        Cell::Text(_) | Cell::Empty => None,
    };
    let held: HashSet<u64> = picture.table().rows().flatten().filter_map(number).collect();
    for plot in picture.plots() {
        let missing: Vec<f64> = plot.numbers().into_iter().filter(|n| !held.contains(&n.to_bits())).collect();
        assert!(missing.is_empty(), "{}: {missing:?}", plot.title);
    }
}

fn named<'a>(plot: &'a Plot, name: &str) -> &'a [[f64; 2]] {
    &plot.series.iter().find(|s| s.name == name).unwrap_or_else(|| panic!("{name} of {}", plot.title)).points
}

#[test]
fn every_view_paints_the_picture_that_it_saves() {
    let mut desk = Desk::with_results("bert");
    for view in [View::Overview, View::Redundancy, View::Groups, View::Votes, View::Prune, View::Attention] {
        let picture = desk.same(view);
        holds_its_numbers(&picture);
    }
    assert!(matches!(desk.same(View::Prune), Picture::Cost(_)));
    // Another layer, another plan, another number of groups.
    desk.press(Key::CloseBracket);
    desk.chord(Modifiers::COMMAND, Key::Num4);
    desk.harness.get_by_role_and_label(Role::Slider, "Vote threshold").focus();
    desk.harness.run();
    desk.press(Key::ArrowUp);
    let Picture::Votes(votes) = desk.same(View::Votes) else { panic!() };
    assert_eq!((votes.site.as_str(), votes.threshold), ("encoder.1", Some(0.01)));
    desk.chord(Modifiers::COMMAND, Key::Num3);
    desk.harness.get_by_role_and_label(Role::SpinButton, "Groups").set_value_accesskit(3.0);
    desk.harness.run_ok();
    desk.settle();
    let Picture::Groups(map) = desk.same(View::Groups) else { panic!() };
    assert_eq!((map.site.as_str(), map.group_count()), ("encoder.1", 3));
    holds_its_numbers(&Picture::Groups(map));
}

#[test]
fn distances_are_those_of_unit_maps_where_directions_are_compared() {
    let mut desk = Desk::with_input("bert");
    desk.harness.get_by_role_and_label(Role::ComboBox, "Metric").click();
    desk.harness.run();
    desk.click("cosine");
    desk.press(Key::F5);
    desk.settle();
    desk.chord(Modifiers::COMMAND, Key::Num2);
    desk.choose("Distance");
    let Picture::Similarity(drawn) = desk.same(View::Redundancy) else { panic!() };
    let feature = desk.state().feature_results().unwrap();
    for i in 0..4 {
        for j in 0..4 {
            let cosine = feature.gram.cosine(i, j).unwrap();
            let expected = (2.0 - 2.0 * cosine).max(0.0).sqrt();
            let found = drawn.matrix.get(i, j);
            assert!((found - expected).abs() < 1e-12, "heads {i} and {j}: {found}, not {expected}");
        }
    }
    // No two vectors of length 1 are more than 2 apart; the tree is of the same numbers.
    assert!(drawn.scale().high <= 2.0);
    let highest = drawn.tree.as_ref().unwrap().joins.last().unwrap().height;
    assert!(highest > 0.0 && highest <= drawn.scale().high, "{highest}");
    // Every layer at once is made of the same.
    desk.choose("All layers");
    let Picture::Similarities(_, layers) = desk.same(View::Redundancy) else { panic!() };
    assert_eq!(format!("{:?}", layers[0].matrix), format!("{:?}", drawn.matrix));
}

#[test]
fn the_quality_curve_shows_the_whole_model_and_the_front_under_its_name() {
    let mut desk = Desk::with_results("bert");
    desk.command("measure the quality curve");
    desk.settle();
    let picture = desk.same(View::Prune);
    holds_its_numbers(&picture);
    let Picture::Quality(curves) = &picture else { panic!("{picture:?}") };
    let plot = curves.plot();
    let whole = curves.whole.unwrap();
    assert!(plot.limits.iter().any(|l| l.name.starts_with("all heads") && l.value == whole));
    assert!(plot.series.iter().filter(|s| curves.curves.iter().any(|c| c.name == s.name)).all(|s| s.mark.is_some()));
    assert_eq!(named(&plot, "Pareto front").len(), curves.front.len());
    assert!(!desk.shows("best at each size"));
    // The legend hides a method and shows it again.
    let method = curves.curves[0].name.clone();
    let entry = |desk: &Desk| desk.harness.get_by_role_and_label(Role::CheckBox, &method).accesskit_node().toggled();
    let before = entry(&desk);
    desk.harness.get_by_role_and_label(Role::CheckBox, &method).click();
    desk.harness.run();
    assert_ne!(entry(&desk), before);
}
