//! Pictures of an invented analysis: what they show, and that they can be drawn.

use std::collections::{BTreeMap, HashSet};

use super::views::gallery::check;
use super::views::samples::noise;
use crate::analysis::{
    Analysis, AnalysisSettings, Baseline, CurvePoint, Distances, FeatureAnalysis, Gram, Metric, ModelInfo, Points,
    SiteAnalysis,
};
use crate::chart::table::Cell;
use crate::chart::*;
use crate::error::ErrorKind;
use crate::network::{FeatureMap, Site, SiteKind};
use crate::plan::Plan;

/// Heads of `width` numbers around three centers; head 5 is zero where `has_dead`.
fn gram(heads: usize, seed: usize, has_dead: bool) -> Gram {
    let width = 7;
    let value = |h: usize, k: usize| {
        let center = (noise(h + seed * 3) * 3.0) as usize;
        let x = noise(center * 131 + k * 17 + seed) - 0.5 + 0.3 * (noise(h * 53 + k * 7 + seed) - 0.5);
        if has_dead && h == 5 { 0.0 } else { x }
    };
    let product = |i: usize, j: usize| (0..width).map(|k| value(i, k) * value(j, k)).sum::<f64>();
    let values = (0..heads * heads).map(|n| product(n / heads, n % heads)).collect();
    Gram::from_rows(heads, values).unwrap()
}

fn feature(gram: Gram, votes: Vec<u64>, groups: usize) -> FeatureAnalysis {
    let heads = gram.heads();
    let points = Points::new(&gram, Metric::Euclidean);
    let grouping = points.group(groups, 0).unwrap();
    let distances = Distances::new(&gram);
    let silhouette = distances.silhouettes(&grouping.labels);
    FeatureAnalysis {
        groups: grouping.labels.clone(),
        inertia: grouping.inertia,
        mean_silhouette: distances.mean_silhouette(&grouping.labels),
        dunn: distances.dunn(&grouping.labels),
        silhouette,
        dead: grouping.dead.clone(),
        curve: (1..=heads.min(6))
            .map(|groups| CurvePoint {
                groups,
                inertia: 1.0,
                mean_silhouette: (groups > 1).then(|| noise(groups)),
                dunn: None,
            })
            .collect(),
        margins: votes.iter().map(|v| *v as f64 * 0.5).collect(),
        tied_votes: 3,
        scores: Vec::new(),
        by_groups: Vec::new(),
        partitions: Vec::new(),
        stability: None,
        evidence: None,
        kept: (0..groups).collect(),
        kept_per_group: vec![0],
        kv_shared: false,
        votes,
        gram,
    }
}

fn site(kind: SiteKind, layer: usize, heads: usize, kv_heads: usize) -> SiteAnalysis {
    let votes: Vec<u64> = (0..heads).map(|h| (noise(h * 3 + layer) * 20.0) as u64).collect();
    let groups = 3.min(heads);
    let seed = layer + 10 * kind as usize;
    let mut features = BTreeMap::new();
    features.insert(FeatureMap::Output, feature(gram(heads, seed, heads == 8), votes.clone(), groups));
    let mut value = feature(gram(heads, seed + 50, false), votes.clone(), groups);
    value.kv_shared = kv_heads < heads;
    features.insert(FeatureMap::Value, value);
    let doubled: Vec<u64> = votes.iter().map(|v| v * 2).collect();
    let mut site = SiteAnalysis {
        site: Site::new(kind, layer),
        heads,
        kv_heads,
        head_dim: 4,
        stored_layer: layer,
        features,
        kept: Vec::new(),
        margin: Some(0),
        history: vec![(0..heads as u64).collect(), doubled.clone()],
        votes: doubled,
        evidence: None,
        cka: Some((0..heads).map(|i| (0..heads).map(|j| if i == j { 1.0 } else { noise(i + j) }).collect()).collect()),
        baselines: BTreeMap::from([(
            "importance".to_owned(),
            Baseline::means((0..heads).map(|h| noise(h) * 1e-3).collect(), 4),
        )]),
    };
    site.kept = site.kept_by(&site.votes, 40);
    site
}

fn analysis() -> Analysis {
    Analysis {
        model: ModelInfo { path: "/models/bart-tiny".to_owned(), family: "bart".to_owned(), ..ModelInfo::default() },
        settings: AnalysisSettings::default(),
        reading: None,
        merged: Vec::new(),
        tokens: 65_536,
        batches: 40,
        sites: vec![
            site(SiteKind::Encoder, 0, 8, 8),
            site(SiteKind::Encoder, 1, 12, 4),
            site(SiteKind::Decoder, 0, 1, 1),
            site(SiteKind::Cross, 0, 2, 2),
        ],
        checkpoints: vec![1, 40],
        settled: vec![0.25, 1.0],
        evidence: None,
        not_compared: None,
        notes: Vec::new(),
    }
}

/// The column `name` of a picture's table.
fn column(picture: &Picture, name: &str) -> Vec<Cell> {
    let table = picture.table();
    let index = table.columns().iter().position(|c| c == name).unwrap();
    table.rows().map(|row| row[index].clone()).collect()
}

/// Every number that the plots of a picture draw stands in its table.
pub(super) fn holds_its_numbers(picture: &Picture) {
    let number = |cell: Cell| match cell {
        Cell::Number(number) => Some(number),
        Cell::Count(count) => Some(count as f64),
        Cell::Text(_) | Cell::Empty => None,
    };
    let held: HashSet<u64> = picture.table().rows().flatten().filter_map(number).map(f64::to_bits).collect();
    for plot in picture.plots() {
        let missing: Vec<f64> = plot.numbers().into_iter().filter(|n| !held.contains(&n.to_bits())).collect();
        assert!(missing.is_empty(), "{}: {missing:?} of {} are not in the table", plot.title, picture.caption().title);
    }
}

#[test]
fn every_view_of_every_layer_can_be_drawn() {
    let analysis = analysis();
    for view in AnalysisView::available(&analysis) {
        let sites = std::iter::once(None).chain(analysis.sites.iter().map(|s| Some(s.site)));
        for site in sites {
            let picture = build(&analysis, &Request { site, ..Request::new(view.clone()) }).unwrap();
            holds_its_numbers(&picture);
            for theme in Theme::ALL {
                let name = site.map_or_else(|| "all".to_owned(), |s| s.to_string());
                check(&format!("build-{view}-{name}-{}", theme.name), &picture.figure(theme));
            }
        }
    }
}

#[test]
fn two_analyses_stand_side_by_side() {
    let first = analysis();
    let mut second = analysis();
    second.sites[0].kept.truncate(1);
    second.sites.pop();
    let names = ["monday.json".to_owned(), "tuesday.json".to_owned()];
    let found = SideBySide::of_analyses([&first, &second], names.clone(), None).unwrap();
    // What one of them lacks is left out.
    assert_eq!(found.rows.len(), 3);
    assert_eq!((found.rows[0].in_both(), found.rows[0].groups), (1, Some(1.0)));
    let picture = Picture::SideBySide(Box::new(found));
    assert_eq!(column(&picture, "kept_in_both")[0], Cell::Count(1));
    holds_its_numbers(&picture);
    for theme in Theme::ALL {
        check(&format!("build-side-by-side-{}", theme.name), &picture.figure(theme));
    }
    second.sites.clear();
    assert!(SideBySide::of_analyses([&first, &second], names, None).is_err());
}

#[test]
fn names_of_views_lead_back() {
    for view in AnalysisView::available(&analysis()) {
        assert_eq!(view.to_string().parse::<AnalysisView>().unwrap(), view);
    }
    for wrong in ["", "overview-", "redundancy-x", "groups-2", "pie"] {
        let error = wrong.parse::<AnalysisView>().unwrap_err();
        assert_eq!(error.kind(), crate::error::ErrorKind::Usage, "{wrong}");
    }
}

#[test]
fn tables_hold_the_analysis_numbers() {
    let analysis = analysis();
    let first = &analysis.sites[0];
    let request = Request { site: Some(first.site), ..Request::new(AnalysisView::Redundancy(Likeness::Cosine)) };
    let figure = build(&analysis, &request).unwrap();
    let gram = &first.features[&FeatureMap::Output].gram;
    let cosines = column(&figure, "cosine");
    for (n, cell) in cosines.iter().enumerate() {
        let (i, j) = (n / 8, n % 8);
        // cos = G_ij / sqrt(G_ii G_jj); head 5 has no direction.
        let expected = gram.get(i, j) / (gram.get(i, i) * gram.get(j, j)).sqrt();
        match cell {
            Cell::Number(found) if i == 5 || j == 5 => assert!(found.is_nan()),
            Cell::Number(found) => assert!((found - expected).abs() < 1e-12),
            other => panic!("{other:?}"),
        }
    }
    let votes = build(&analysis, &Request::new(AnalysisView::Votes)).unwrap();
    let shares = column(&votes, "vote_share");
    assert_eq!(shares.len(), 8 + 12 + 1 + 2);
    // 40 batches with two feature maps: 80 votes can be won.
    assert_eq!(shares[0], Cell::Number(first.votes[0] as f64 / 80.0));
    assert_eq!(column(&votes, "site")[8], Cell::Text("encoder.1".to_owned()));
}

#[test]
fn a_plan_decides_what_is_kept() {
    let analysis = analysis();
    let kept = |plan: Option<&Plan>| {
        let figure =
            build(&analysis, &Request { plan, ..Request::new(AnalysisView::Overview(HeadColor::Group)) }).unwrap();
        column(&figure, "kept")[..8].to_vec()
    };
    let plan = Plan::parse_any(r#"{"encoder.0": [1, 6]}"#).unwrap();
    let expected: Vec<Cell> = (0..8).map(|h| Cell::from(h == 1 || h == 6)).collect();
    assert_eq!(kept(Some(&plan)), expected);
    let votes: Vec<Cell> = (0..8).map(|h| Cell::from(analysis.sites[0].kept.contains(&h))).collect();
    assert_eq!(kept(None), votes);
    let wrong = Plan::parse_any(r#"{"encoder.7": [0]}"#).unwrap();
    assert!(build(&analysis, &Request { plan: Some(&wrong), ..Request::new(AnalysisView::Votes) }).is_err());
}

#[test]
fn wrong_requests_say_what_there_is() {
    let analysis = analysis();
    let fails = |request: Request<'_>| build(&analysis, &request).unwrap_err();
    let (usage, failed) = (ErrorKind::Usage, ErrorKind::Failed);
    for (error, kind, part) in [
        (
            fails(Request { site: "decoder.9".parse().ok(), ..Request::new(AnalysisView::Votes) }),
            usage,
            "it has encoder.0, encoder.1",
        ),
        // Another analysis could have it.
        (
            fails(Request { feature: Some(FeatureMap::Key), ..Request::new(AnalysisView::Groups) }),
            failed,
            "--feature key, or choose another: it holds value, output",
        ),
        (
            fails(Request::new("overview-induction".parse().unwrap())),
            failed,
            "again without --no-kinds; this one can show",
        ),
        (fails(Request::new("overview-luck".parse().unwrap())), usage, "importance"),
    ] {
        assert!(error.kind() == kind && error.to_string().contains(part), "{error}");
    }
    let mut bare = analysis.clone();
    bare.sites[1].cka = None;
    assert!(build(&bare, &Request::new(AnalysisView::Redundancy(Likeness::Cka))).is_err());
    bare.sites.clear();
    for view in AnalysisView::available(&bare) {
        assert!(build(&bare, &Request::new(view)).is_err());
    }
}

#[test]
fn the_settling_of_a_layer_is_read_from_its_history() {
    let figure = build(&analysis(), &Request::new(AnalysisView::Settling)).unwrap();
    let rows: Vec<Vec<Cell>> = figure.table().rows().collect();
    assert_eq!(rows[0], ["all".into(), 1.0.into(), 0.25.into()]);
    // The last sample holds the final votes, so every layer agrees with itself there.
    assert!(rows.iter().filter(|r| r[0] != "all".into() && r[1] == 40.0.into()).all(|r| r[2] == true.into()));
}

#[test]
fn colors_of_distances_reach_from_zero_to_the_largest() {
    let grid = Grid::from_rows(&[[0.0, 3.0], [3.0, 0.0]]);
    let scale = Likeness::Distance.scale(&grid);
    assert_eq!((scale.low, scale.high), (0.0, 3.0));
}
