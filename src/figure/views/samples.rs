//! Invented but plausible inputs for every picture, equal on every run.

use std::sync::Arc;

use crate::analysis::{CurvePoint, HeadKind};
use crate::chart::*;

/// Numbers in 0..1 without pattern (Weyl's sequence).
pub(crate) fn noise(i: usize) -> f64 {
    (i as f64 * 0.754_877_666_246_692_7 + 0.1).fract()
}

/// Square root of the number of heads groups, numbered by lowest head.
pub(crate) fn groups_of(heads: usize) -> Vec<usize> {
    let wanted = (heads as f64).sqrt().ceil();
    let mut seen = Vec::new();
    (0..heads)
        .map(|h| (noise(h * 5 + 1) * wanted) as usize)
        .map(|label| {
            seen.iter().position(|s| *s == label).unwrap_or_else(|| {
                seen.push(label);
                seen.len() - 1
            })
        })
        .collect()
}

/// Heads of a group lie around a common place.
fn points_of(groups: &[usize]) -> Vec<[f64; 2]> {
    let around = |g: usize, k: usize| noise(g * 31 + k) * 4.0 - 2.0;
    let point = |(h, g): (usize, &usize)| [around(*g, 1) + noise(h * 3) * 0.9, around(*g, 2) + noise(h * 7 + 2) * 0.9];
    groups.iter().enumerate().map(point).collect()
}

pub(crate) fn overview(layers: usize, heads: usize, kv_heads: usize, is_decided: bool) -> Overview {
    let row = |l: usize| OverviewRow {
        site: format!("{}.{}", if l * 3 < layers { "encoder" } else { "decoder" }, l).parse().unwrap(),
        heads,
        kv_heads,
        groups: (0..heads).map(|h| (noise(l * heads + h) * (heads as f64 / 2.5).ceil()) as usize).collect(),
        values: (0..heads).map(|h| if h + l == 9 { f64::NAN } else { noise(7 + l * heads + h) }).collect(),
        measured: Vec::new(),
        kept: is_decided.then(|| (0..heads).filter(|h| noise(3 + l * heads + h) > 0.4).collect()),
        kinds: (0..heads).map(|h| HeadKind::ALL.get((noise(11 + l * heads + h) * 15.0) as usize).copied()).collect(),
        redundant: None,
        order: (0..heads).collect(),
    };
    let caption = Caption::new("Heads by group", "bert, 12 layers of 12 heads · output · euclidean · 65.5 k tokens")
        .note("Groups are numbered within each layer; equal numbers in different layers have nothing in common.");
    let bars = LayerBars {
        label: "Explained by groups".to_owned(),
        meaning: "Share of the differences between heads that groups explain".to_owned(),
        column: "layer_explained_share".to_owned(),
        unit: Unit::Share,
        values: (0..layers).map(|l| if l == 4 { f64::NAN } else { noise(l + 11) }).collect(),
        chance: (0..layers).map(|l| noise(l + 12) / 2.0).collect(),
        high: 1.0,
    };
    let rows = (0..layers).map(row).collect();
    Overview { caption, rows, paint: Paint::Groups, layers: Some(bars), measures: Vec::new() }
}

pub(crate) fn similarity(heads: usize, likeness: Likeness) -> Similarity {
    let groups = groups_of(heads);
    let points = points_of(&groups);
    let distance = |i: usize, j: usize| {
        let [a, b] = [points[i], points[j]];
        (a[0] - b[0]).hypot(a[1] - b[1])
    };
    let matrix = Grid::from_fn(heads, heads, |i, j| match likeness {
        _ if heads == 16 && (i == 5 || j == 5) => f64::NAN,
        Likeness::Distance => distance(i, j) * 100.0,
        Likeness::Cosine => (1.0 - distance(i, j) * 0.55).clamp(-1.0, 1.0),
        Likeness::Cka => (-distance(i, j)).exp(),
    });
    Similarity {
        caption: Caption::new("Redundancy of the heads of decoder.3", "gpt2 · output · 65.5 k tokens"),
        site: "decoder.3".into(),
        matrix,
        likeness,
        groups,
        kept: (heads != 8).then(|| (0..heads).step_by(3).collect()),
        by_index: false,
        tree: None,
    }
    .with_tree()
}

pub(crate) fn group_map(heads: usize) -> GroupMap {
    let groups = groups_of(heads);
    let is_one = groups.iter().all(|g| *g == 0);
    let curve = |groups: usize| CurvePoint {
        groups,
        inertia: 1.0 / groups as f64,
        mean_silhouette: Some(0.5 - noise(groups) * 0.3),
        dunn: (groups > 2).then(|| noise(groups * 3)),
    };
    GroupMap {
        caption: Caption::new("Groups of the heads of encoder.2", "bert · output · euclidean · 4 groups"),
        site: "encoder.2".into(),
        points: points_of(&groups),
        silhouette: if is_one { Vec::new() } else { (0..heads).map(|h| noise(h) * 1.2 - 0.3).collect() },
        curve: (2..heads).map(curve).collect(),
        share_kept: 0.8,
        mean_silhouette: (!is_one).then_some(0.3),
        dunn: (!is_one).then_some(1.2),
        kept: (heads > 2).then(|| (0..heads).step_by(3).collect()),
        groups,
    }
}

pub(crate) fn vote_bars(heads: usize) -> VoteBars {
    let shares: Vec<f64> = (0..heads).map(|h| noise(h * 3 + 1).powi(2)).collect();
    let margin = |h: usize| if h % 5 == 4 { f64::NAN } else { noise(h * 11) };
    let settled = |b: usize| (1.0 - (-(b as f64) / 5.0).exp() + if b > 15 { 0.1 } else { 0.0 }).min(1.0);
    VoteBars {
        caption: Caption::new("Votes for the heads of cross.1", "bart · output, value · 1200 batches"),
        site: "cross.1".into(),
        kept: (0..heads).filter(|h| shares[*h] >= 0.3).collect(),
        margins: if heads == 12 { Vec::new() } else { (0..heads).map(margin).collect() },
        threshold: (heads != 3).then_some(0.3),
        chance: Some(if heads == 16 { 0.32 } else { 0.25 }),
        settled: (1..=20).map(|b| [(b * 60) as f64, settled(b)]).collect(),
        shares,
    }
}

pub(crate) fn quality_curves(curves: usize, growth: f64) -> QualityCurves {
    let lost = |i: usize| growth * (1.0 - i as f64 / 8.0).powi(2);
    let curve = |k: usize| MethodCurve {
        name: ["votes", "per-group", "importance", "magnitude", "score"][k % 5].into(),
        points: (1..=8).map(|i| [i as f64 / 8.0, 18.6 + lost(i) * (1.0 + noise(k * 9 + i) * 0.3)]).collect(),
    };
    let random = |i: usize| {
        let mean = 18.6 + lost(i) * 1.3;
        RandomPoint { kept: i as f64 / 8.0, mean, low: mean * 0.9, high: mean * (1.1 + 0.5 * noise(i)) }
    };
    let front = |kept: f64| FrontPoint { method: "votes".into(), kept, quality: 18.6 + growth * (1.0 - kept) };
    QualityCurves {
        caption: Caption::new("Quality against heads kept", "gpt2 on 4096 held-out tokens, no fine-tuning")
            .note("Heads are masked, not trained again: fine-tuning recovers part of what is lost."),
        measure: "Perplexity (lower is better)".into(),
        column: "perplexity".into(),
        unit: Unit::Plain,
        curves: (0..curves).map(curve).collect(),
        random: (1..=8).map(random).collect(),
        random_name: "random, range of 5 draws".into(),
        whole: Some(18.59),
        front: (1..=curves).map(|i| front(i as f64 / 8.0)).collect(),
        plan: (curves == 3).then_some(0.6),
    }
}

pub(crate) fn cost_bars() -> CostBars {
    let row = |name: &str, unit, before: f64, after: f64| CostRow {
        least: name.contains("arameters").then_some(after * 0.8),
        more_is_better: name.starts_with("Tokens per second"),
        ..CostRow::new(name, unit, before, after)
    };
    CostBars {
        caption: Caption::new("Before and after", "transformer, 6+6 layers · plan votes, 2 of 8 heads per layer")
            .note("Attention holds 42.9 % of the parameters without embeddings: no plan can save more than that."),
        rows: vec![
            row("Parameters", Unit::Count, 54.1e6, 39.9e6),
            row("Parameters without embeddings", Unit::Count, 44e6, 29.876e6),
            row("Attention parameters", Unit::Count, 18.9e6, 4.7e6),
            row("FLOPs per token at length 30", Unit::Count, 66.5e6, 51.9e6),
            row("Key/value cache per token", Unit::Bytes, 24_576.0, 24_576.0),
            row("File", Unit::Bytes, 216.4e6, 159.6e6),
            row("Tokens per second, measured", Unit::Count, 9.9, 19.0),
            row("Tokens per second, batch of 1", Unit::Count, 5.1, f64::NAN),
            row("Perplexity", Unit::Plain, 18.6, 19.4),
        ],
    }
}

pub(crate) fn attention_maps(panels: usize, length: usize) -> AttentionMaps {
    let words = [
        "The",
        "Ġminister",
        "Ġof",
        "Ġtransport",
        "Ġcame",
        "\n",
        "Ġ中",
        "<|endoftext|>",
        "▁Ünder",
        "Incomprehensibilities",
    ];
    let tokens = Arc::new((0..length).map(|i| words[i % words.len()].to_owned()).collect::<Vec<_>>());
    let weights = |h: usize| {
        Grid::from_fn(length, length, |q, k| match k {
            k if k > q => f64::NAN,
            0 => 0.4,
            k => 0.6 * noise(h + q * 3 + k * 7).powi(3) + if k + h == q { 0.5 } else { 0.0 },
        })
    };
    let panel = |head| AttentionPanel {
        site: "decoder.3".parse().unwrap(),
        head: Some(head),
        kind: head.is_multiple_of(3).then_some("Previous token"),
        from: [0, 0],
        queries: Arc::clone(&tokens),
        keys: Arc::clone(&tokens),
        weights: weights(head),
    };
    AttentionMaps {
        caption: Caption::new("Where the heads look", "gpt2 · line 3 of corpus.txt"),
        panels: (0..panels).map(panel).collect(),
        range: match panels % 3 {
            0 => ColorRange::Query,
            1 => ColorRange::All,
            _ => ColorRange::Head,
        },
        tone: if length > 40 { Tone::Root } else { Tone::Linear },
        image: None,
    }
}

pub(crate) fn training_curves(n: usize) -> TrainingCurves {
    let line = |k: usize, n: usize, from: f64, to: f64| -> Vec<[f64; 2]> {
        let value = |i: usize| to + (from - to) * (-(i as f64) * 5.0 / n as f64).exp();
        (0..n).map(|i| [(i * 10) as f64, value(i) + (noise(i * 13 + k) - 0.5) * 0.1]).collect()
    };
    let plot = |label: &str, lines: Vec<(&str, Vec<[f64; 2]>)>| TrainingPlot {
        label: label.into(),
        unit: Unit::Plain,
        series: lines.into_iter().map(|(name, points)| (name.to_owned(), points)).collect(),
    };
    let validation = line(1, n / 4 + 1, 9.0, 4.3).into_iter().map(|[x, y]| [x * 4.0, y]).collect();
    TrainingCurves {
        caption: Caption::new("Training", "translation, 6+6 layers · α 0.5, β 0.7 · 2 groups"),
        plots: vec![
            plot("Loss per token", vec![("training", line(0, n, 9.0, 4.1)), ("validation", validation)]),
            plot(
                "Group constraint",
                vec![("homogenization", line(2, n, 0.48, 0.96)), ("diversification", line(3, n, 0.0, -0.98))],
            ),
            plot("Mean silhouette", vec![("", line(4, n, 0.1, 0.7))]),
        ],
        events: vec![(n as f64 * 6.0, "vote".into()), (n as f64 * 6.1, "fine-tuning".into())],
    }
}

pub(crate) fn repair_bars(layers: usize) -> RepairBars {
    let found = |l: usize| crate::repair::SiteRepair {
        tokens: 8134,
        ridge: 1e-3,
        masked: 0.2 + noise(l * 3),
        fitted: 0.05 + 0.2 * noise(l * 5),
        held_out: Some(0.06 + 0.25 * noise(l * 5)),
    };
    let site = |l: usize| format!("{}.{l}", if l * 3 < layers { "encoder" } else { "decoder" }).parse().unwrap();
    let sites = (0..layers).map(|l| (site(l), found(l))).collect();
    RepairBars::predicted("bert · Plan 1 · text a.txt".to_owned(), &sites, &Default::default())
}
