//! `pillars inspect`: what a checkpoint is, from its headers alone.

use serde_json::{Map, Value, json};

use super::args::InspectArgs;
use super::console::Console;
use crate::error::Result;
use crate::hub::shown_place;
use crate::model::Model;
use crate::network::{AttentionSpec, Objective, ProblemType, SiteKind, TaskHeadSpec, TaskKind};
use crate::words::counted;

pub(super) fn run(args: &InspectArgs, console: &Console) -> Result<()> {
    let model = Model::open(&args.model)?;
    if args.json { console.print_json(&document(&model)) } else { console.print(&text(&model)) }
}

fn document(model: &Model) -> Value {
    let spec = model.spec();
    let sites: Vec<Value> = spec
        .sites()
        .into_iter()
        .map(|(site, a)| {
            json!({
                "site": site, "heads": a.heads, "kv_heads": a.kv_heads, "head_dim": a.head_dim,
                "origin_heads": a.origin_heads, "origin": a.origin, "attention_parameters": attention_parameters(a, width(model, site.kind)),
            })
        })
        .collect();
    let layers: Map<String, Value> =
        kinds(model).into_iter().map(|(kind, n)| (kind.name().to_owned(), json!(n))).collect();
    json!({
        "family": model.family().model_type,
        "title": model.family().title,
        "path": model.checkpoint().place().to_string_lossy(),
        "dtype": model.in_files(),
        "layers": layers,
        "width": spec.last_stack().map(|s| s.width),
        "output": spec.output.as_ref().map(|o| json!({"objective": o.objective, "vocabulary": o.vocabulary, "tied": o.tied})),
        "task": spec.task.as_ref().map(|t| json!({"kind": t.kind, "problem": t.problem, "labels": t.labels.names()})),
        "sites": sites,
        "parameters": model.parameters(),
        "bytes": model.checkpoint().bytes(),
        "files": model.checkpoint().weight_files().count(),
        "unused_tensors": model.unused(),
        "notes": model.notes(),
    })
}

fn text(model: &Model) -> String {
    let spec = model.spec();
    let mut lines = vec![format!("{} ({})", model.family().title, shown_place(model.checkpoint().place()))];
    let files = model.checkpoint().weight_files().count();
    let size = model.checkpoint().bytes() as f64 / 1e6;
    let files = counted(files, "files");
    lines.push(format!(
        "parameters   {}{}, {size:.1} MB in {files}, {}",
        grouped(model.parameters()),
        // The files hold more then.
        if model.unused().is_empty() { "" } else { " that the network reads" },
        model.in_files()
    ));
    let head = match &spec.output {
        Some(o) if o.objective == Objective::Ctc => format!("CTC, {} letters", o.vocabulary),
        Some(o) => {
            let reads_another = spec.encoder.is_some() && spec.decoder.is_some();
            let kind = match o.objective {
                Objective::Causal if reads_another => "sequence-to-sequence".to_owned(),
                objective => format!("{objective:?}"),
            };
            let tied = if o.tied { ", head tied to the embedding" } else { "" };
            format!("{kind} language model, {} tokens{tied}", o.vocabulary)
        }
        None => "no language-model head".to_owned(),
    };
    match &spec.task {
        Some(task) => {
            lines.push(format!("task         {}", task_text(task)));
            lines.extend(labels_text(task).map(|labels| format!("labels       {labels}")));
        }
        None => lines.push(format!("output       {}", head.to_lowercase())),
    }
    for (kind, count) in kinds(model) {
        let of_kind: Vec<&AttentionSpec> =
            spec.sites().into_iter().filter(|(s, _)| s.kind == kind).map(|(_, a)| a).collect();
        let heads: Vec<String> = of_kind.iter().map(|a| shape(a)).collect();
        let uniform = heads.windows(2).all(|w| w[0] == w[1]);
        let attention: u64 = of_kind.iter().map(|a| attention_parameters(a, width(model, kind))).sum();
        let what = if uniform { format!("{count} x {}", heads[0]) } else { counted(count, "layers") };
        lines.push(format!("{:<12} {what}; {} attention parameters", kind.name(), grouped(attention)));
        if !uniform {
            lines.extend(heads.iter().enumerate().map(|(i, h)| format!("  {}.{i:<4} {h}", kind.name())));
        }
    }
    let unused = model.unused();
    if !unused.is_empty() {
        lines.push(format!("not used     {}, e.g. {}", counted(unused.len(), "tensors"), unused[0]));
    }
    lines.extend(model.notes().iter().map(|note| format!("note         {note}")));
    lines.join("\n")
}

fn task_text(task: &TaskHeadSpec) -> String {
    let of = match task.problem {
        ProblemType::SingleLabel => "",
        ProblemType::MultiLabel => ", any of the classes",
        ProblemType::Regression => " by numbers (regression)",
    };
    format!("{}{of}", task.kind.name())
}

/// Names of the classes, where these have any.
fn labels_text(task: &TaskHeadSpec) -> Option<String> {
    const SHOWN: usize = 12;
    let has_classes = task.problem != ProblemType::Regression
        && !matches!(task.kind, TaskKind::QuestionAnswering | TaskKind::MultipleChoice);
    let names = task.labels.names();
    let mut text = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(", .. ({} in all)", names.len()));
    }
    has_classes.then_some(text)
}

fn shape(a: &AttentionSpec) -> String {
    let pruned = if a.heads < a.origin_heads { format!(" (of {})", a.origin_heads) } else { String::new() };
    if a.kv_heads == a.heads {
        format!("{}{pruned} of {}", counted(a.heads, "heads"), a.head_dim)
    } else {
        let (heads, shared) = (counted(a.heads, "query heads"), counted(a.kv_heads, "key/value heads"));
        format!("{heads}{pruned} of {}, {shared}", a.head_dim)
    }
}

/// Attention layers by kind, those present.
fn kinds(model: &Model) -> Vec<(SiteKind, usize)> {
    let sites = model.spec().sites();
    [SiteKind::Encoder, SiteKind::Decoder, SiteKind::Cross]
        .into_iter()
        .map(|kind| (kind, sites.iter().filter(|(s, _)| s.kind == kind).count()))
        .filter(|(_, n)| *n > 0)
        .collect()
}

fn width(model: &Model, kind: SiteKind) -> usize {
    let spec = model.spec();
    let stack = if kind == SiteKind::Encoder { &spec.encoder } else { &spec.decoder };
    stack.as_ref().map_or(0, |s| s.width)
}

fn attention_parameters(a: &AttentionSpec, width: usize) -> u64 {
    let (own, shared) = (a.heads * a.head_dim, a.kv_heads * a.head_dim);
    let bias = a.projection_bias;
    let biases = usize::from(bias.query) * own
        + (usize::from(bias.key) + usize::from(bias.value)) * shared
        + usize::from(bias.output) * width;
    (2 * own * width + 2 * shared * width + biases) as u64
}

/// Digits in groups of three.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(c);
    }
    text
}
