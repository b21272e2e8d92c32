//! Opening a model.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::path::Path;

use candle_core::{DType, Device};
use serde_json::Value;

use super::kept::{apply_kept, read_kept};
use super::weights::{Loader, Reader};
use super::{Family, Layout, Part, Reading, Storage};
use crate::checkpoint::{Checkpoint, Config, Stored};
use crate::error::{Error, Result};
use crate::network::{
    AttentionModule, AttentionSpec, EmbedModule, HeadAxis, Module, Network, NetworkSpec, Projection, Role, Site,
    StackKind, roles,
};

/// A checkpoint folder whose configuration and tensor shapes are known to fit each other.
#[derive(Clone, Debug)]
pub struct Model {
    checkpoint: Checkpoint,
    family: &'static Family,
    spec: NetworkSpec,
    places: HashMap<Role, Place>,
    notes: Vec<String>,
}

/// Where a role is stored.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub name: String,
    pub layout: Layout,
    /// Rows of the stored tensor (columns where transposed) in the order of the role; `None` for all.
    pub rows: Option<Vec<Range<usize>>>,
    /// Shape that the network expects.
    pub shape: Vec<usize>,
}

impl Place {
    /// Stored name and first row: roles for which this is equal are one block.
    pub fn block(&self) -> (&str, usize) {
        (&self.name, self.rows.as_ref().and_then(|rows| rows.first()).map_or(0, |range| range.start))
    }
}

/// A stored tensor that holds rows or columns of heads, for surgery.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadTensor {
    /// Name in the checkpoint.
    pub name: String,
    /// Every site that reads it (several where passes share a layer).
    pub sites: Vec<Site>,
    /// Axis of the stored tensor along which heads lie.
    pub axis: usize,
    /// Which projections are in it, and the range along `axis` of each of their heads (key/value heads for
    /// keys and values), head by head. The norms of queries and keys go with their projections.
    pub heads: Vec<(Projection, Vec<Range<usize>>)>,
    /// Whether its numbers act on a statistic of all heads together, so that no head can be cut out of it.
    pub joint: bool,
}

impl Model {
    /// Opens a folder. Reads `config.json` and headers, checks every shape, reads no weights.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        let adapter = folder.as_ref().join("adapter_config.json");
        if adapter.is_file() {
            return Err(Error::new("the folder holds an adapter, not a whole model")
                .at(adapter)
                .hint("merge it into its base model first (merge_and_unload does)"));
        }
        Self::new(Checkpoint::open(folder)?)
    }

    /// The model in an opened checkpoint.
    pub fn new(checkpoint: Checkpoint) -> Result<Self> {
        let family = Family::of(checkpoint.config())?;
        check_supported(checkpoint.config())?;
        let has = |name: &str| stored_name(&checkpoint, family, name).is_some();
        let reading = Reading { config: checkpoint.config(), has: &has, tensors: checkpoint.names().len() };
        let mut spec = spec_of(family, &reading)?;
        let mut notes = Vec::new();
        if let Some(wrapper) = checkpoint.wrapper() {
            notes.push(format!("all names of tensors begin with '{wrapper}', which is left out"));
        }
        if checkpoint.config().section("vision_config").is_some() {
            let what = "only the language model is read, and text by it: what reads images is left as it is";
            notes.push(what.to_owned());
        }
        settle_head(&checkpoint, family, &mut spec, &mut notes)?;
        let kept = read_kept(checkpoint.config(), &spec)?;
        apply_kept(&mut spec, &kept).map_err(|e| e.at(checkpoint.config().path()))?;
        let places = places(&checkpoint, family, &spec).map_err(|e| if_quantized(&checkpoint, e))?;
        if checkpoint.config().get("quantization_config").is_some() {
            let what = "config.json has a 'quantization_config', but the weights are floats: the key is ignored";
            notes.push(what.to_owned());
        }
        Ok(Self { checkpoint, family, spec, places, notes })
    }

    /// The folder with its headers.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// `config.json`.
    pub fn config(&self) -> &Config {
        self.checkpoint.config()
    }

    /// The family it belongs to.
    pub fn family(&self) -> &'static Family {
        self.family
    }

    /// What a person should know of how the folder was read, in sentences.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// What the network is, with the heads that this checkpoint has.
    pub fn spec(&self) -> &NetworkSpec {
        &self.spec
    }

    /// Loads the weights and gives the network.
    pub fn network(&self, device: &Device, dtype: DType) -> Result<Network> {
        Network::load(&self.spec, &self.weights(device, dtype))
    }

    /// Hands out this model's tensors by role and holds them: each stored tensor once, however many roles read it.
    pub fn weights(&self, device: &Device, dtype: DType) -> Loader {
        Loader::new(self.reader(device, dtype))
    }

    /// Reads this model's tensors by role and holds none.
    pub fn reader(&self, device: &Device, dtype: DType) -> Reader {
        Reader::new(self, device, dtype)
    }

    /// The element type of most weights.
    pub fn stored(&self) -> Stored {
        let mut bytes: HashMap<Stored, usize> = HashMap::new();
        for place in self.places.values() {
            if let Some(info) = self.checkpoint.info(&place.name) {
                *bytes.entry(info.stored).or_default() += info.bytes;
            }
        }
        bytes.into_iter().max_by_key(|(s, b)| (*b, s.bytes())).map_or(Stored::F32, |(s, _)| s)
    }

    /// Parameters that the network reads, each stored tensor counted once.
    pub fn parameters(&self) -> u64 {
        let names: HashSet<&str> = self.places.values().map(|p| p.name.as_str()).collect();
        names.into_iter().filter_map(|n| self.checkpoint.info(n)).map(|i| i.elements()).sum()
    }

    /// Tensors of the checkpoint that the network does not read (heads of other tasks, position ids).
    pub fn unused(&self) -> Vec<&str> {
        let used: HashSet<&str> = self.places.values().map(|p| p.name.as_str()).collect();
        self.checkpoint.names().iter().map(String::as_str).filter(|n| !used.contains(n)).collect()
    }

    /// Where a role is stored.
    pub(super) fn place(&self, role: Role) -> Option<&Place> {
        self.places.get(&role)
    }

    /// The stored name of a role and how it lies there.
    pub fn stored_as(&self, role: Role) -> Option<(&str, Layout)> {
        self.places.get(&role).map(|p| (p.name.as_str(), p.layout))
    }

    /// How this model's roles lie in its stored tensors, for writing changed weights back.
    pub fn storage(&self) -> Result<Storage> {
        Storage::of(self.places.iter().map(|(role, place)| (*role, place.clone())), |name| {
            self.checkpoint.info(name).map(|info| info.shape.clone())
        })
    }

    /// Every stored tensor in which heads lie, in the order of the checkpoint.
    pub fn head_tensors(&self) -> Vec<HeadTensor> {
        let mut found: HashMap<&str, HeadTensor> = HashMap::new();
        let mut roles: Vec<_> = self.places.keys().collect();
        roles.sort();
        for role in roles {
            let Some((sites, spec, module)) = attention_of_role(&self.spec, *role) else { continue };
            let place = &self.places[role];
            let rows_axis = usize::from(place.layout.transposed && place.shape.len() > 1);
            let (axis, joint) = match spec.head_axis(module, role.term) {
                HeadAxis::None => continue,
                HeadAxis::Rows => (rows_axis, false),
                HeadAxis::Columns => (1 - rows_axis, false),
                HeadAxis::Joint => (rows_axis, true),
            };
            let projection = module.heads_of();
            let part = place.layout.part;
            // Weights `[heads, d]` of a norm lie along their first axis head by head, a row each.
            let by_row =
                matches!(module, AttentionModule::QueryNorm | AttentionModule::KeyNorm) && place.shape.len() > 1;
            let rows = |h: usize| if by_row { h..h + 1 } else { part.rows(projection, spec, h) };
            let ranges = (0..spec.heads_of(projection)).map(rows).collect();
            let tensor = found.entry(&place.name).or_insert_with(|| HeadTensor {
                name: place.name.clone(),
                sites,
                axis,
                heads: Vec::new(),
                joint,
            });
            tensor.heads.push((projection, ranges));
            tensor.joint |= joint;
        }
        self.checkpoint.names().iter().filter_map(|n| found.remove(n.as_str())).collect()
    }
}

/// The sites that read the attention layer of a role, its shape, and which part of it the role is; `None` for roles
/// outside attention layers.
pub(super) fn attention_of_role(
    spec: &NetworkSpec,
    role: Role,
) -> Option<(Vec<Site>, &AttentionSpec, AttentionModule)> {
    let Module::Attention(kind, stored, module) = role.module else { return None };
    let stack = match kind.stack() {
        StackKind::Encoder => &spec.encoder,
        StackKind::Decoder => &spec.decoder,
    };
    let layers = &stack.as_ref()?.layers;
    let sites: Vec<Site> =
        (0..layers.len()).filter(|i| layers[*i].stored == stored).map(|i| Site::new(kind, i)).collect();
    let attention = spec.attention(*sites.first()?)?;
    Some((sites, attention, module))
}

/// The name under which the checkpoint holds `name`: behind the family's prefix, as the bare model writes it, or with
/// the spelling of norms in the oldest checkpoints.
fn stored_name(checkpoint: &Checkpoint, family: &Family, name: &str) -> Option<String> {
    let prefixed = family.prefixes.iter().map(|prefix| format!("{prefix}{name}"));
    for base in prefixed.chain([name.to_owned()]) {
        let old = match base.rsplit_once('.') {
            Some((stem, "weight")) => Some(format!("{stem}.gamma")),
            Some((stem, "bias")) => Some(format!("{stem}.beta")),
            _ => None,
        };
        if let Some(found) = std::iter::once(base).chain(old).find(|n| checkpoint.info(n).is_some()) {
            return Some(found);
        }
    }
    None
}

/// Refuses what no family here can have, whatever its other keys say.
fn check_supported(config: &Config) -> Result<()> {
    for key in ["num_local_experts", "num_experts", "n_routed_experts"] {
        if config.size_or(key, 0)? > 1 {
            return Err(config.unsupported(format!("'{key}' is there: mixtures of experts are not supported")));
        }
    }
    if config.flag_or("add_cross_attention", false)? {
        return Err(config.unsupported(
            "'add_cross_attention' is true: a decoder that reads another model's encoder is not supported",
        ));
    }
    Ok(())
}

/// The network that a configuration describes.
pub(super) fn spec_of(family: &Family, reading: &Reading<'_>) -> Result<NetworkSpec> {
    let config = reading.config;
    let mut spec = (family.spec)(reading)?;
    check_sizes(&spec, config)?;
    // Embedding models made from decoders: transformers reads this key, of every decoder, when it builds its masks.
    if let Some(decoder) = spec.decoder.as_mut().filter(|_| config.get("is_causal") == Some(&Value::Bool(false))) {
        for attention in decoder.layers.iter_mut().map(|layer| &mut layer.attention) {
            if attention.window.is_some() {
                let what = "'is_causal' is false in a model whose layers see windows, which is not supported";
                return Err(config.unsupported(what));
            }
            attention.causal = false;
        }
    }
    Ok(spec)
}

/// Compares what the configuration says of the language-model head with what is in the files, as transformers 5 does:
/// tables that differ are not tied whatever the configuration says, and without a head the stack is whole.
fn settle_head(
    checkpoint: &Checkpoint,
    family: &Family,
    spec: &mut NetworkSpec,
    notes: &mut Vec<String>,
) -> Result<()> {
    let stack = if spec.decoder.is_some() { StackKind::Decoder } else { StackKind::Encoder };
    let Some(output) = &mut spec.output else { return Ok(()) };
    let head = find(checkpoint, family, Module::Output.weight()).ok();
    let table = find(checkpoint, family, Module::Embed(stack, EmbedModule::Tokens).weight()).ok();
    match (head, table) {
        (Some((head, _)), Some((table, _))) if output.tied && head != table && differ(checkpoint, &head, &table)? => {
            output.tied = false;
            notes.push(format!(
                "config.json ties the language-model head to the token table, but '{head}' and '{table}' differ: each is read \
                 for what it is"
            ));
        }
        (None, Some(_)) if !output.tied => {
            spec.output = None;
            notes.push("the files hold no language-model head, so the model is read without one".to_owned());
        }
        _ => {}
    }
    Ok(())
}

/// Whether two tensors differ in shape, type or, as far as samples of their bytes tell, numbers.
fn differ(checkpoint: &Checkpoint, one: &str, other: &str) -> Result<bool> {
    const SAMPLES: usize = 32;
    const LENGTH: usize = 4096;
    let (Some(a), Some(b)) = (checkpoint.info(one), checkpoint.info(other)) else { return Ok(false) };
    if a.shape != b.shape || a.stored != b.stored {
        return Ok(true);
    }
    let length = a.bytes.min(LENGTH);
    for sample in 0..SAMPLES {
        let from = (a.bytes - length) / (SAMPLES - 1) * sample;
        if checkpoint.read_range(one, from, length)? != checkpoint.read_range(other, from, length)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What is wrong with weights that are quantized, which their shapes and types alone do not say.
fn if_quantized(checkpoint: &Checkpoint, error: Error) -> Error {
    const ENDINGS: [&str; 4] = [".qweight", ".qzeros", ".scales", ".weight_scale"];
    let config = checkpoint.config();
    let keys = ["quantization_config", "quantization"];
    let named = |name: &String| ENDINGS.iter().any(|ending| name.ends_with(ending));
    if !keys.iter().any(|key| config.get(key).is_some()) && !checkpoint.names().iter().any(named) {
        return error;
    }
    let said = keys.iter().find(|key| config.get(key).is_some());
    let what = said.map_or_else(String::new, |key| format!(" ('{key}' in config.json)"));
    config
        .unsupported(format!("the weights are quantized{what}, which is not supported"))
        .hint("use the model's float32, float16 or bfloat16 checkpoint")
}

/// Refuses shapes that no attention can have before anything is computed from them.
fn check_sizes(spec: &NetworkSpec, config: &Config) -> Result<()> {
    for (site, attention) in spec.sites() {
        let AttentionSpec { heads, kv_heads, head_dim, .. } = attention;
        if *heads == 0 || *kv_heads == 0 || *head_dim == 0 || heads % kv_heads != 0 {
            let what = format!("{site} would have {heads} heads of {head_dim} over {kv_heads} key/value heads");
            return Err(config.unsupported(what));
        }
    }
    if spec.sites().is_empty() {
        return Err(config.unsupported("the model has no layers"));
    }
    Ok(())
}

/// Finds every role in the checkpoint and checks its shape.
fn places(checkpoint: &Checkpoint, family: &Family, spec: &NetworkSpec) -> Result<HashMap<Role, Place>> {
    let mut places = HashMap::new();
    for (role, shape) in roles::tensors(spec) {
        let (name, layout) = find(checkpoint, family, role).or_else(|error| {
            // Of tensors that are one, a file may hold any name.
            let is_table = matches!(role.module, Module::Embed(_, EmbedModule::Tokens));
            let tied = spec.output.as_ref().is_none_or(|output| output.tied);
            let head = if is_table && tied { find(checkpoint, family, Module::Output.weight()).ok() } else { None };
            head.ok_or(error)
        })?;
        let info = checkpoint.required(&name)?;
        let rows = rows_of(spec, role, &shape, layout);
        let expected = stored_shape(spec, role, &shape, layout);
        let count = shape.iter().try_fold(1u64, |n, d| n.checked_mul(*d as u64));
        let same_count = layout.part == Part::Whole && Some(info.elements()) == count;
        // Leading axes of one (class tokens, position tables) are written in several ways.
        let squeezed = |s: &[usize]| s.iter().copied().filter(|d| *d != 1).collect::<Vec<_>>();
        if info.shape != expected && !(same_count && squeezed(&info.shape) == squeezed(&expected)) {
            return Err(Error::new(format!(
                "tensor '{name}' is {:?} where the configuration asks for {expected:?}",
                info.shape
            ))
            .at(checkpoint.folder())
            .hint("config.json and the weights do not belong together"));
        }
        if !info.stored.dtype().is_float() {
            return Err(
                Error::new(format!("tensor '{name}' holds {}, not floats", info.stored.name())).at(checkpoint.folder())
            );
        }
        places.insert(role, Place { name, layout, rows, shape });
    }
    Ok(places)
}

/// The stored tensor of a role.
fn find(checkpoint: &Checkpoint, family: &Family, role: Role) -> Result<(String, Layout)> {
    let mut wanted = None;
    for (name, layout) in family.names_of(checkpoint.config(), role) {
        if let Some(stored) = stored_name(checkpoint, family, &name) {
            return Ok((stored, layout));
        }
        wanted.get_or_insert(name);
    }
    let wanted =
        wanted.ok_or_else(|| Error::new(format!("the {} family has no name for '{role}'", family.model_type)))?;
    Err(Error::new(format!("tensor '{wanted}' is missing"))
        .at(checkpoint.folder())
        .hint("the checkpoint is incomplete, or its config.json belongs to another"))
}

/// Rows of the stored tensor that make up a role; `None` where all of them do.
pub(super) fn rows_of(spec: &NetworkSpec, role: Role, shape: &[usize], layout: Layout) -> Option<Vec<Range<usize>>> {
    match layout.part {
        Part::Whole => None,
        Part::Half(index) => {
            let rows = shape.first().copied()?;
            Some(std::iter::once(index * rows..(index + 1) * rows).collect())
        }
        part @ (Part::Block(projection) | Part::Interleaved(projection) | Part::Sliced(projection)) => {
            let (_, attention, _) = attention_of_role(spec, role)?;
            let heads = 0..attention.heads_of(projection);
            Some(heads.map(|h| part.rows(projection, attention, h)).collect())
        }
    }
}

/// The shape that the stored tensor must have for a role of `shape`.
pub(super) fn stored_shape(spec: &NetworkSpec, role: Role, shape: &[usize], layout: Layout) -> Vec<usize> {
    let mut stored = shape.to_vec();
    if let Some(rows) = stored.first_mut() {
        match layout.part {
            Part::Whole => {}
            Part::Half(_) => *rows *= 2,
            Part::Block(_) | Part::Interleaved(_) | Part::Sliced(_) => {
                if let Some((_, a, _)) = attention_of_role(spec, role) {
                    *rows = (a.heads + 2 * a.kv_heads) * a.head_dim;
                }
            }
        }
    }
    if layout.transposed && stored.len() == 2 {
        stored.swap(0, 1);
    }
    stored
}
