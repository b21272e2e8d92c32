//! What an export will write, decided before a byte is read or written.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Map, Value, json};

use super::cut::Cut;
use super::gqa::{Gqa, gqa};
use super::native::{self, native, source_config};
use super::remote;
use super::report::{SELF, opens_alone};
use super::slots::{self, Slots};
use super::{Counts, ExportFormat};
use crate::checkpoint::{Checkpoint, TensorPlan};
use crate::error::{Error, Result};
use crate::model::{KEPT_KEY, Model, StockHeads};
use crate::network::{AttentionSpec, Kept, Module, NetworkSpec, Site};
use crate::plan::{Cost, Plan};

/// How every stored tensor and the configuration change under a plan and a format.
pub(super) struct Surgery {
    /// The heads of every layer as they will be written.
    pub slots: Slots,
    /// How each tensor that holds heads is cut.
    pub cuts: HashMap<String, Cut>,
    /// Every tensor as it will be written, in the order of the source.
    pub tensors: Vec<TensorPlan>,
    /// The configuration, as `config.json` has it.
    pub config: Map<String, Value>,
    /// Names and texts of the Python modules that the configuration needs.
    pub modules: Vec<(String, String)>,
    /// Original heads that the written layers have, of every layer that lost some.
    pub kept: Kept,
    /// What opens the result.
    pub opens_in: Vec<String>,
    /// What a reader should know, in sentences.
    pub notes: Vec<String>,
}

impl Surgery {
    /// Plans the surgery; an error where the plan does not fit the model or the format cannot hold it.
    pub(super) fn new(model: &Model, plan: &Plan, format: ExportFormat) -> Result<Self> {
        let spec = model.spec();
        plan.validate(spec)?;
        let mut columns = BTreeMap::new();
        let (slots, kept, config, opens_in, notes) = match format {
            ExportFormat::Native => {
                let native = native(model, plan)?;
                let kept = native::kept(spec, &native.slots);
                columns = native.columns;
                (native.slots, kept, native.config, native.opens_in, native.notes)
            }
            ExportFormat::Compact => {
                let slots = slots::compact(spec, plan);
                let kept = slots::origins(spec, &slots);
                let config = compact_config(model, &kept)?;
                let opens_in = compact_opens_in(model, &kept);
                let notes = if opens_alone(&opens_in) { vec![alone(model)] } else { Vec::new() };
                (slots, kept, config, opens_in, notes)
            }
            ExportFormat::Masked => {
                let slots = slots::masked(spec, plan);
                let kept = slots::origins(spec, &slots);
                // Shapes stay, and with them whatever the source says of earlier pruning.
                let opens_in = vec![SELF.to_owned(), "whatever opens the original".to_owned()];
                (slots, kept, source_config(model.config())?, opens_in, Vec::new())
            }
            ExportFormat::Gqa => {
                let Gqa { slots, config, opens_in, notes } = gqa(model, plan)?;
                (slots, Kept::all(), config, opens_in, notes)
            }
        };
        let checkpoint = model.checkpoint();
        check_removal(model, &slots, format.name())?;
        let mut cuts = cuts(model, &slots)?;
        for (kind, columns) in columns {
            let stored = model.stored_as(Module::Relative(kind.stack()).weight());
            let (name, _) = stored.ok_or_else(|| Error::new("the table of relative positions is missing"))?;
            let info = checkpoint.required(name)?;
            cuts.insert(name.to_owned(), Cut::columns(info, &columns));
        }
        let tensors = tensors(checkpoint, &cuts)?;
        let modules = remote::modules(model, &config);
        let mut surgery = Self { slots, cuts, tensors, modules, config, kept, opens_in, notes };
        let zeros = surgery.zero_heads().values().sum::<usize>();
        match format {
            ExportFormat::Masked => {
                surgery.notes.push(format!("{zeros} heads are zero; shapes and sizes are those of the source"));
            }
            _ if zeros > 0 => surgery.notes.push(format!(
                "{zeros} zero head{} a shape that the plan alone would leave uneven",
                if zeros == 1 { " fills" } else { "s fill" }
            )),
            _ => {}
        }
        Ok(surgery)
    }

    /// Heads that are there for the shape alone and add nothing, by site.
    pub(super) fn zero_heads(&self) -> BTreeMap<Site, usize> {
        self.slots.iter().map(|(site, slots)| (*site, slots.padded())).filter(|(_, zeros)| *zeros > 0).collect()
    }

    /// Parameters that the network reads, before and after.
    pub(super) fn parameters(&self, model: &Model) -> Counts {
        let unused: HashSet<&str> = model.unused().into_iter().collect();
        let read = self.tensors.iter().filter(|tensor| !unused.contains(tensor.name.as_str()));
        let count = |tensor: &TensorPlan| tensor.shape.iter().map(|d| *d as u64).product::<u64>();
        Counts { before: model.parameters(), after: read.map(count).sum() }
    }

    /// Those of them in the projections of attention layers.
    pub(super) fn attention_parameters(&self, model: &Model) -> Counts {
        let of = |spec: &NetworkSpec| Cost::of(spec, 1).attention_parameters;
        Counts { before: of(model.spec()), after: of(&self.narrowed(model.spec())) }
    }

    /// Bytes of all tensors before and after.
    pub(super) fn bytes(&self, checkpoint: &Checkpoint) -> Counts {
        Counts { before: checkpoint.bytes(), after: self.tensors.iter().map(|t| t.bytes() as u64).sum() }
    }

    /// Bytes of keys and values that a generated token and a source token leave behind, before and after, at the type
    /// of the weights.
    pub(super) fn cache(&self, model: &Model) -> (Counts, Counts) {
        let width = model.stored().bytes();
        let (before, after) = (Cost::of(model.spec(), 1), Cost::of(&self.narrowed(model.spec()), 1));
        let counts = |of: fn(&Cost) -> u64| Counts { before: of(&before), after: of(&after) }.times(width as u64);
        (counts(|c| c.cache_per_token), counts(|c| c.cache_per_source_token))
    }

    /// The network that is left.
    fn narrowed(&self, spec: &NetworkSpec) -> NetworkSpec {
        let mut left = spec.clone();
        for (site, slots) in &self.slots {
            if let Some(attention) = left.attention_mut(*site) {
                attention.heads = slots.queries.len();
                attention.kv_heads = slots.keys.len();
            }
        }
        left
    }
}

/// Refuses to take heads out of layers whose other heads would then compute something else.
pub(super) fn check_removal(model: &Model, slots: &Slots, format: &str) -> Result<()> {
    let loses = |(site, attention): &(Site, &AttentionSpec)| {
        slots.get(site).is_some_and(|s| s.queries.len() != attention.heads || s.keys.len() != attention.kv_heads)
    };
    if !model.spec().sites().iter().any(|site| site.1.couples_heads() && loses(site)) {
        return Ok(());
    }
    let title = model.family().title;
    Err(Error::new(format!(
        "no {format} format for {title}: queries and keys are normalized over all heads together, so without some heads \
         the others would compute something else"
    ))
    .hint("choose masked (opens everywhere)"))
}

/// How each stored tensor that holds heads is cut.
fn cuts(model: &Model, slots: &Slots) -> Result<HashMap<String, Cut>> {
    let checkpoint = model.checkpoint();
    let tensors = model.head_tensors().into_iter();
    tensors
        .map(|tensor| {
            let info = checkpoint.required(&tensor.name)?;
            Ok((tensor.name.clone(), Cut::new(&tensor, info, slots)?))
        })
        .collect()
}

/// Every tensor as it will be written, in the order of the source.
fn tensors(checkpoint: &Checkpoint, cuts: &HashMap<String, Cut>) -> Result<Vec<TensorPlan>> {
    let names = checkpoint.names().iter();
    names
        .map(|name| {
            let info = checkpoint.required(name)?;
            let whole = || TensorPlan { name: name.clone(), stored: info.stored, shape: info.shape.clone() };
            Ok(cuts.get(name).map_or_else(whole, |cut| cut.plan(name)))
        })
        .collect()
}

/// The configuration under which ragged weights, which have the original heads `kept`, open.
fn compact_config(model: &Model, kept: &Kept) -> Result<Map<String, Value>> {
    let mut config = source_config(model.config())?;
    config.insert(KEPT_KEY.to_owned(), json!({"version": 1, "kept": kept}));
    // What an earlier pruning left would not fit now.
    config.remove("pruned_heads");
    remote::forget(&mut config);
    if !kept.is_empty() {
        remote::refer(model, &mut config);
    }
    if model.family().reads_pruned_heads {
        config.insert("pruned_heads".to_owned(), pruned_heads(model, kept));
    }
    Ok(config)
}

fn compact_opens_in(model: &Model, kept: &Kept) -> Vec<String> {
    let mut opens_in = vec![SELF.to_owned()];
    if kept.is_empty() {
        opens_in.push("whatever opens the original".to_owned());
        return opens_in;
    }
    if model.family().ragged.is_some() {
        opens_in.push("transformers 4.57 and 5 with trust_remote_code=True".to_owned());
    }
    if remote::has_mlx(model) {
        opens_in.push("mlx-lm with trust_remote_code=True".to_owned());
    }
    if model.family().reads_pruned_heads {
        opens_in.push("transformers 4.57 without remote code (version 5 reads no pruned heads)".to_owned());
    }
    opens_in
}

/// Which other format opens elsewhere, where compact does not.
fn alone(model: &Model) -> String {
    let title = model.family().title;
    let other = match model.family().stock {
        StockHeads::Uniform(_) => "transformers opens native, which fills uneven layers up with zero heads",
        StockHeads::Never { .. } => "masked opens wherever the original does, at its size",
    };
    format!("no other program has layers of {title} that lost heads, so nothing but Pillars opens this folder; {other}")
}

/// `{"layer": [removed heads]}`, as transformers 4.x writes it.
fn pruned_heads(model: &Model, kept: &Kept) -> Value {
    let mut pruned = Map::new();
    for (site, heads) in kept.iter() {
        let all = model.spec().attention(site).map_or(0, |a| a.origin_heads);
        let removed: Vec<usize> = (0..all).filter(|h| !heads.contains(h)).collect();
        pruned.insert(site.layer.to_string(), Value::from(removed));
    }
    Value::Object(pruned)
}
