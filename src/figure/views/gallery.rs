//! Every picture at every size, held against rules of legibility. Set `PILLARS_GALLERY` to a folder to look at them.

use std::path::Path;

use super::samples;
use crate::chart::*;
use crate::figure::export::{Figure, PictureSize, Sheet};
use crate::figure::page::{CELL, MARGIN, SMALL};
use crate::figure::scene::{Rect, Text};

fn box_of(text: &Text) -> Rect {
    let frame = text.frame();
    if text.turn == 0.0 {
        return frame;
    }
    let [x, y] = text.at;
    let (left, w, h) = (frame.x - x, frame.w, frame.h);
    let (sin, cos) = text.turn.to_radians().sin_cos();
    let base = text.base_offset();
    let corners = [[left, base - h], [left + w, base - h], [left + w, base], [left, base]];
    let turned = corners.map(|[dx, dy]| [x + dx * cos - dy * sin, y + dx * sin + dy * cos]);
    let low = turned.iter().fold([f64::INFINITY; 2], |m, p| [m[0].min(p[0]), m[1].min(p[1])]);
    let high = turned.iter().fold([f64::NEG_INFINITY; 2], |m, p| [m[0].max(p[0]), m[1].max(p[1])]);
    Rect::new(low[0], low[1], high[0] - low[0], high[1] - low[1])
}

/// Text lies on the page, is large enough, and covers no other text; the SVG is read by another parser.
pub(in crate::figure) fn check(name: &str, figure: &Figure) {
    if let Some(folder) = std::env::var_os("PILLARS_GALLERY") {
        std::fs::create_dir_all(&folder).unwrap();
        crate::figure::write(figure, &Path::new(&folder).join(format!("{name}.png")), 1.5).unwrap();
        crate::figure::write(figure, &Path::new(&folder).join(format!("{name}.svg")), 1.0).unwrap();
    }
    let scene = &figure.scene;
    let texts = scene.texts();
    assert!(!texts.is_empty() && !figure.table().is_empty(), "{name} is empty");
    for column in figure.table().columns() {
        assert!(terms::meaning(column).is_some(), "{name}: nothing says what {column} means");
    }
    let is_column = PictureSize::Column.widest().is_some_and(|widest| scene.width <= widest);
    let boxes: Vec<(Rect, &Text)> = texts.iter().map(|t| (box_of(t), *t)).collect();
    for (rect, text) in &boxes {
        let least = if is_column { CELL } else { SMALL - 1.0 };
        assert!(text.size >= least, "{name}: '{}' is too small", text.text);
        assert!(
            rect.x >= 2.0 && rect.y >= 2.0 && rect.right() <= scene.width - 2.0 && rect.bottom() <= scene.height - 2.0,
            "{name}: '{}' leaves the page at {rect:?} of {} x {}",
            text.text,
            scene.width,
            scene.height
        );
    }
    // Turned text has no upright box worth comparing.
    let upright: Vec<_> = boxes.iter().filter(|(_, t)| t.turn == 0.0).collect();
    for (i, (a, first)) in upright.iter().enumerate() {
        for (b, second) in &upright[..i] {
            let across = a.right().min(b.right()) - a.x.max(b.x);
            let down = a.bottom().min(b.bottom()) - a.y.max(b.y);
            assert!(across < 0.5 || down < 0.5, "{name}: '{}' covers '{}'", first.text, second.text);
        }
    }
    let tallest = if is_column { 6000.0 } else { 2400.0 };
    assert!(scene.width < 1400.0 && scene.height < tallest, "{name}: {} x {}", scene.width, scene.height);
    assert!(scene.width >= 2.0 * MARGIN);
    let svg = crate::figure::to_svg(scene).unwrap();
    let tree = resvg::usvg::Tree::from_str(&svg, &resvg::usvg::Options::default()).unwrap();
    assert_eq!(f64::from(tree.size().width()), scene.width);
}

const HEADS: [usize; 8] = [1, 2, 3, 8, 12, 16, 40, 128];

/// Checks a picture in both themes, and laid out for the column of a paper.
fn check_both(name: &str, figure: impl Fn(Sheet<'_>) -> Figure) {
    for theme in Theme::ALL {
        check(&format!("{name}-{}", theme.name), &figure(theme.into()));
    }
    let column = figure(Sheet { theme: &Theme::LIGHT, width: PictureSize::Column.widest() });
    check(&format!("{name}-column"), &column);
    let (column, _) = column.sized(PictureSize::Column);
    let points = column.scene.print_mm.unwrap() / column.scene.width * 72.0 / 25.4;
    for text in column.scene.texts() {
        // Nothing but numbers in cells has fewer than 7 points.
        let least = if text.text.chars().any(char::is_alphabetic) { 7.0 } else { 5.0 };
        assert!(text.size * points >= least, "{name}: '{}' has {} points", text.text, text.size * points);
    }
}

#[test]
fn overviews_of_every_size() {
    let sizes = [(1, 1, 1), (2, 1, 1), (1, 128, 128), (128, 2, 2), (6, 8, 8), (12, 12, 12), (32, 32, 8), (128, 128, 8)];
    for (layers, heads, kv_heads) in sizes {
        let mut view = samples::overview(layers, heads, kv_heads, layers % 3 != 0);
        check_both(&format!("overview-{layers}x{heads}"), |theme| view.figure(theme));
        view.paint = Paint::Values {
            label: "Vote share".into(),
            column: "vote_share".into(),
            unit: Unit::Share,
            scale: Scale::new(ColorMap::Viridis, 0.0, 1.0),
        };
        check_both(&format!("overview-votes-{layers}x{heads}"), |theme| view.figure(theme));
        view.paint = Paint::Kinds;
        check_both(&format!("overview-kinds-{layers}x{heads}"), |theme| view.figure(theme));
    }
}

#[test]
fn similarities_of_every_size() {
    for heads in HEADS {
        for &likeness in Likeness::ALL {
            let view = samples::similarity(heads, likeness);
            check_both(&format!("redundancy-{heads}-{}", likeness.name()), |theme| view.figure(theme));
        }
    }
}

#[test]
fn group_maps_of_every_size() {
    for heads in HEADS {
        let view = samples::group_map(heads);
        check_both(&format!("groups-{heads}"), |theme| view.figure(theme));
    }
}

#[test]
fn votes_of_every_size() {
    for heads in HEADS {
        let view = samples::vote_bars(heads);
        check_both(&format!("votes-{heads}"), |theme| view.figure(theme));
    }
}

#[test]
fn tiles_of_every_number() {
    for (layers, heads) in [(1, 4), (3, 8), (12, 12), (128, 12)] {
        let name = |l: usize| format!("decoder.{l}");
        let caption = Caption::new("Every layer", "llama · output · 65.5 k tokens").note("A note.");
        let maps: Vec<_> =
            (0..layers).map(|l| GroupMap { site: name(l), ..samples::group_map(heads + l % 3) }).collect();
        let votes: Vec<_> =
            (0..layers).map(|l| VoteBars { site: name(l), ..samples::vote_bars(heads + l % 3) }).collect();
        check_both(&format!("tiles-groups-{layers}"), |theme| GroupMap::tiles(&caption, &maps, theme));
        check_both(&format!("tiles-votes-{layers}"), |theme| VoteBars::tiles(&caption, &votes, theme));
        for &likeness in Likeness::ALL {
            let matrix = |l: usize| Similarity { site: name(l), ..samples::similarity(heads + l % 3, likeness) };
            let matrices: Vec<_> = (0..layers).map(matrix).collect();
            check_both(&format!("tiles-{}-{layers}", likeness.name()), |theme| {
                Similarity::tiles(&caption, &matrices, theme)
            });
        }
    }
}

#[test]
fn quality_curves_of_every_number() {
    for (curves, growth) in [(0, 10.0), (1, 8.0), (3, 12.0), (5, 4000.0)] {
        let view = samples::quality_curves(curves, growth);
        check_both(&format!("curves-{curves}"), |theme| view.figure(theme));
    }
}

#[test]
fn repairs_of_every_number_of_layers() {
    for layers in [1, 2, 6, 12, 40, 128] {
        check_both(&format!("repair-{layers}"), |theme| samples::repair_bars(layers).figure(theme));
    }
}

#[test]
fn costs() {
    check_both("cost", |theme| samples::cost_bars().figure(theme));
}

#[test]
fn attention_of_every_length() {
    for (panels, length) in [(1, 1), (1, 12), (1, 40), (1, 128), (2, 24), (7, 24), (12, 24), (128, 12)] {
        let view = samples::attention_maps(panels, length);
        check_both(&format!("attention-{panels}x{length}"), |theme| view.figure(theme));
    }
    let long = samples::attention_maps(1, 700);
    check("attention-1x700-light", &long.figure(&Theme::LIGHT));
}

#[test]
fn training_of_every_length() {
    for n in [1, 8, 150, 20_000] {
        let view = samples::training_curves(n);
        check_both(&format!("training-{n}"), |theme| view.figure(theme));
    }
}
