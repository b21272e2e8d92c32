//! The shapes that stock transformers opens, see [`StockHeads`], and which of them holds a plan.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::remote;
use super::report::SELF;
use super::slots::{SiteSlots, Slot, Slots, each_site, least};
use crate::checkpoint::Config;
use crate::error::{Error, Result};
use crate::model::{Family, HeadLimit, KEPT_KEY, Model, StockHeads, UniformHeads, families};
use crate::network::{AttentionSpec, Kept, NetworkSpec, SiteKind};
use crate::plan::Plan;

/// A plan in shapes that stock transformers opens.
pub(super) struct Native {
    /// The heads of every layer.
    pub slots: Slots,
    /// Columns (heads of the original model) of the tables of relative positions, by stack.
    pub columns: BTreeMap<SiteKind, Vec<usize>>,
    /// The configuration that says so.
    pub config: Map<String, Value>,
    pub opens_in: Vec<String>,
    /// What a reader should know.
    pub notes: Vec<String>,
}

/// The smallest shapes that stock transformers opens and that hold every head that `plan` keeps.
pub(super) fn native(model: &Model, plan: &Plan) -> Result<Native> {
    let family = model.family();
    let uniform = match family.stock {
        StockHeads::Uniform(uniform) => uniform,
        StockHeads::Never { width } => return Err(refusal(family, width)),
    };
    let (spec, config) = (model.spec(), model.config());
    let columns = columns(spec, plan);
    let needed = needed(spec, plan, &columns);
    let (own, other) = (smallest(spec, needed, |q| legal(uniform.limit, model, q)), smallest(spec, needed, |_| true));
    let (shape, rename) = match (own, other, uniform.twin) {
        (Some(own), ..) if own == needed => (own, None),
        (_, Some(free), Some(twin)) if is_its_twin(model) => (free, Some(twin)),
        (Some(own), ..) => (own, None),
        _ => return Err(refusal(family, "hidden_size / num_attention_heads")),
    };
    let (keys, each) = shape;
    let columns: BTreeMap<_, _> = columns.into_iter().map(|(k, heads)| (k, lengthened(heads, keys, spec))).collect();
    let mut slots = each_site(spec, plan, |_, _, _| (keys, each));
    for (site, attention) in spec.sites() {
        if let Some(columns) = columns.get(&site.kind) {
            slots.insert(site, by_column(attention, &plan.kept_at(site, attention.heads), columns));
        }
    }
    let mut config = source_config(config)?;
    forget_pruning(&mut config);
    let width = spec.sites().first().map_or(0, |(_, a)| a.head_dim);
    state_heads(&mut config, &uniform, (keys * each, keys, width));
    if let Some(twin) = rename {
        rename_to_twin(&mut config, family, twin);
    }
    let notes = notes(spec, needed, shape, rename.map(|twin| (family.model_type, twin)));
    let versions = if uniform.opens_in_4 { "transformers 4.57 and 5" } else { "transformers 5" };
    let mut opens_in = vec![SELF.to_owned(), versions.to_owned()];
    // It knows the base of rotary positions by its old name alone. A twin is one that it opens too.
    let knows_base = model.config().get("rope_theta").is_some() || model.config().get("rope_parameters").is_none();
    let causal = spec.sites().iter().all(|(_, a)| a.causal);
    if family.mlx.is_some_and(|layers| layers.reads_width) && knows_base && causal {
        opens_in.push("mlx-lm".to_owned());
    }
    Ok(Native { slots, columns, config, opens_in, notes })
}

fn refusal(family: &Family, width: &str) -> Error {
    let title = family.title;
    Error::new(format!("no native format for {title}: transformers takes {width} for the width of its heads"))
        .hint("choose compact (smaller) or masked (opens everywhere)")
}

/// Writes numbers of heads and of key/value heads, and the width of a head, where a family states them.
pub(super) fn state_heads(
    config: &mut Map<String, Value>,
    uniform: &UniformHeads,
    (heads, kv_heads, width): (usize, usize, usize),
) {
    let inner = uniform.section.and_then(|section| config.get_mut(section)).and_then(Value::as_object_mut);
    // `config` itself is free again where there is no such section.
    let state = |keys: &mut Map<String, Value>| {
        keys.insert(uniform.heads.to_owned(), json!(heads));
        if let Some(key) = uniform.kv_heads {
            keys.insert(key.to_owned(), json!(kv_heads));
        }
        keys.insert(uniform.width.to_owned(), json!(width));
    };
    match inner {
        Some(inner) => state(inner),
        None => state(config),
    }
}

/// The keys of the configuration that was opened.
pub(super) fn source_config(config: &Config) -> Result<Map<String, Value>> {
    config.value().as_object().cloned().ok_or_else(|| Error::new("the configuration is no object").at(config.path()))
}

/// Takes what says that heads are missing out of a configuration.
pub(super) fn forget_pruning(config: &mut Map<String, Value>) {
    config.remove(KEPT_KEY);
    config.remove("pruned_heads");
    remote::forget(config);
}

/// Of every stack whose self-attention shares one table of relative positions, the original heads that any of its
/// layers keeps: a column of the table belongs to the same slot in every layer.
fn columns(spec: &NetworkSpec, plan: &Plan) -> BTreeMap<SiteKind, Vec<usize>> {
    let mut columns: BTreeMap<SiteKind, Vec<usize>> = BTreeMap::new();
    for (site, attention) in spec.sites() {
        if attention.bias.has_shared_table() {
            let kept = plan.kept_at(site, attention.heads).into_iter();
            columns.entry(site.kind).or_default().extend(kept.filter_map(|h| attention.origin.get(h)));
        }
    }
    for heads in columns.values_mut() {
        heads.sort_unstable();
        heads.dedup();
    }
    columns
}

/// Key/value heads, and query heads to each, that every layer needs at least.
fn needed(spec: &NetworkSpec, plan: &Plan, columns: &BTreeMap<SiteKind, Vec<usize>>) -> (usize, usize) {
    let sites = spec.sites().into_iter();
    let shapes = sites.map(|(site, attention)| match columns.get(&site.kind) {
        Some(columns) => (columns.len().max(1), 1),
        None => least(attention, &plan.kept_at(site, attention.heads)),
    });
    shapes.fold((1, 1), |(keys, each), (k, e)| (keys.max(k), each.max(e)))
}

/// The shape with the fewest heads that holds `needed`, is no larger than the original model, and has a number of query
/// heads that `legal` allows.
fn smallest(spec: &NetworkSpec, (keys, each): (usize, usize), legal: impl Fn(usize) -> bool) -> Option<(usize, usize)> {
    let most = spec.sites().iter().fold((keys, each), |(k, e), (_, a)| {
        (k.max(a.origin_kv_heads), e.max(a.origin_heads.checked_div(a.origin_kv_heads).unwrap_or(1)))
    });
    let shapes = (keys..=most.0).flat_map(|k| (each..=most.1).map(move |e| (k, e)));
    shapes.filter(|(k, e)| legal(k * e)).min_by_key(|(k, e)| (k * e + k, k * e))
}

/// Whether the family opens `queries` heads in a layer.
fn legal(limit: HeadLimit, model: &Model, queries: usize) -> bool {
    let width = model.spec().last_stack().map_or(0, |s| s.width);
    let sites = model.spec().sites();
    let head_dim = sites.first().map_or(0, |(_, a)| a.head_dim);
    match limit {
        HeadLimit::None => true,
        HeadLimit::Divides => width.is_multiple_of(queries),
        HeadLimit::Scaled => is_rope_plain(model.config()) || width.checked_div(queries) == Some(head_dim),
    }
}

/// Whether rotary positions are not scaled.
fn is_rope_plain(config: &Config) -> bool {
    ["rope_scaling", "rope_parameters"].into_iter().filter_map(|key| config.get(key)).all(|rope| {
        let kind = rope.get("rope_type").or(rope.get("type")).and_then(Value::as_str);
        kind.is_none_or(|kind| kind == "default")
    })
}

/// Whether a model is one of its family's twin too: the same network, whose configuration takes any number of heads.
/// Scaled positions and biases are Llama's alone.
fn is_its_twin(model: &Model) -> bool {
    let config = model.config();
    let biased = |key: &str| config.get(key).is_some_and(|v| v.as_bool() != Some(false));
    let named = config.architecture().is_none_or(|name| name.starts_with(model.family().title));
    named && !biased("attention_bias") && !biased("mlp_bias") && is_rope_plain(config)
}

fn rename_to_twin(config: &mut Map<String, Value>, family: &Family, twin: &str) {
    config.insert("model_type".to_owned(), json!(twin));
    config.insert("sliding_window".to_owned(), Value::Null);
    let title = families::all().find(|f| f.model_type == twin).map_or(twin, |f| f.title);
    if let Some(Value::Array(names)) = config.get_mut("architectures") {
        for name in names.iter_mut() {
            *name = json!(name.as_str().unwrap_or_default().replacen(family.title, title, 1));
        }
    }
}

/// `heads` and as many other original heads as make `length`; repeats where there are no others.
fn lengthened(mut heads: Vec<usize>, length: usize, spec: &NetworkSpec) -> Vec<usize> {
    let all = spec.sites().first().map_or(0, |(_, a)| a.origin_heads);
    let others: Vec<usize> = (0..all).filter(|h| !heads.contains(h)).collect();
    heads.extend(others.into_iter().chain(std::iter::repeat(0)).take(length.saturating_sub(heads.len())));
    heads.sort_unstable();
    heads
}

/// The slots of a layer whose slot `i` stands for the original head `columns[i]`.
fn by_column(attention: &AttentionSpec, kept: &[usize], columns: &[usize]) -> SiteSlots {
    let mut taken = Vec::new();
    let slots: Vec<Slot> = columns
        .iter()
        .map(|column| match attention.origin.iter().position(|o| o == column) {
            Some(head) if kept.contains(&head) && !taken.contains(&head) => {
                taken.push(head);
                Slot::Keep(head)
            }
            head => Slot::Zero(head.unwrap_or(0)),
        })
        .collect();
    SiteSlots { queries: slots.clone(), keys: slots }
}

fn notes(
    spec: &NetworkSpec,
    needed: (usize, usize),
    shape: (usize, usize),
    rename: Option<(&str, &str)>,
) -> Vec<String> {
    let mut notes = Vec::new();
    let (keys, each) = shape;
    let whole = |a: &AttentionSpec| keys * each >= a.heads;
    if spec.sites().iter().all(|(_, a)| whole(a)) {
        notes.push("every layer keeps its number of heads, so nothing gets smaller".to_owned());
    } else if shape != needed {
        notes.push(format!(
            "{} heads in a layer instead of {}, the next number that transformers opens",
            keys * each,
            needed.0 * needed.1
        ));
    }
    if let Some((own, twin)) = rename {
        notes.push(format!("written as {twin}, the same network, because {own} opens no such number of heads"));
    }
    notes
}

/// Original indices of the heads that are more than zeros, of every layer that lost some.
pub(super) fn kept(spec: &NetworkSpec, slots: &Slots) -> Kept {
    let sites = spec.sites().into_iter();
    let kept = sites.filter_map(|(site, attention)| {
        let queries = slots.get(&site)?.queries.iter();
        let kept = queries.filter_map(|slot| match slot {
            Slot::Keep(head) => attention.origin.get(*head).copied(),
            Slot::Zero(_) | Slot::Mean(_) => None,
        });
        let kept: Vec<usize> = kept.collect();
        (kept.len() < attention.origin_heads).then_some((site, kept))
    });
    kept.collect()
}
