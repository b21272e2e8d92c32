//! Opening a model.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::path::Path;

use super::family::spec_of;
use super::finding::{find, stored_name};
use super::kept::{apply_kept, read_kept};
use super::quantized::if_quantized;
use super::stored::{StoredRole, attention_of_role, stored_shape};
use super::tied::TiedPlaces;
use super::tower::Tower;
use super::{ConfigReader, Family, Part, TensorLayout, adapter, config_keys, gguf, unread};
use crate::checkpoint::{Checkpoint, Config, Stored, is_gguf};
use crate::error::{Error, Result};
use crate::network::{AttentionModule, HeadAxis, Module, NetworkSpec, Projection, Role, Site, TaskModule, roles};
use crate::words::counted;

/// A checkpoint folder whose configuration and tensor shapes are known to fit each other.
#[derive(Clone, Debug)]
pub struct Model {
    checkpoint: Checkpoint,
    family: &'static Family,
    spec: NetworkSpec,
    places: HashMap<Role, StoredRole>,
    notes: Vec<String>,
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
    /// Opens a folder, or a GGUF file. Reads `config.json` and headers, checks every shape, reads no weights.
    ///
    /// Of a model of two encoders (CLIP, SigLIP) that of images is opened; `FOLDER/text_model` names that of texts.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        if let Some((folder, config)) = Tower::in_path(folder.as_ref())? {
            return Self::new(Checkpoint::open_with(&folder, config)?);
        }
        if let Some(refusal) = adapter::refusal(folder.as_ref()) {
            return Err(refusal);
        }
        let path = folder.as_ref();
        if !is_gguf(path) {
            return Self::new(Checkpoint::open(path)?);
        }
        let (checkpoint, notes) = gguf::open(path)?;
        let mut model = Self::new(checkpoint)?;
        if let Some(name) = model.unused().first() {
            let what = format!("the file holds '{name}', which no {} reads", model.family.title);
            return Err(Error::new(what).at(path).hint("use the model's folder in Hugging Face layout"));
        }
        model.notes.extend(notes);
        Ok(model)
    }

    /// The model in an opened checkpoint.
    pub fn new(checkpoint: Checkpoint) -> Result<Self> {
        let family = Family::of(checkpoint.config())?;
        check_supported(checkpoint.config())?;
        let has = |name: &str| stored_name(&checkpoint, family, name).is_some();
        let reading = ConfigReader { config: checkpoint.config(), has: &has, tensors: checkpoint.names().len() };
        let mut spec = spec_of(family, &reading)?;
        let mut notes = Vec::new();
        if let Some(wrapper) = checkpoint.wrapper() {
            notes.push(format!("all names of tensors begin with '{wrapper}', which is left out"));
        }
        if let Some(first) = checkpoint.repeated().first() {
            let count = checkpoint.repeated().len();
            notes.push(format!(
                "{}, e.g. '{first}', are in several files: that of the last file is read",
                counted(count, "tensors")
            ));
        }
        if let Some(tower) = Tower::of(checkpoint.config())? {
            let (read, other) = (tower.name(), tower.other().name());
            notes.push(format!("{read} is read; {other}, which FOLDER/{other} opens, is left as it is"));
        } else if checkpoint.config().section("vision_config").is_some() {
            let what = "only the language model is read, and text by it: what reads images is left as it is";
            notes.push(what.to_owned());
        }
        let tied = TiedPlaces::settle(&checkpoint, family, &mut spec, &mut notes)?;
        settle_task(&checkpoint, family, &mut spec, &mut notes);
        let kept = read_kept(checkpoint.config(), &spec)?;
        apply_kept(&mut spec, &kept).map_err(|e| e.at(checkpoint.config().path()))?;
        let places = places(&checkpoint, family, &spec, &tied).map_err(|e| if_quantized(&checkpoint, e))?;
        if checkpoint.config().get("quantization_config").is_some() {
            let what = "config.json has a 'quantization_config', but the weights are floats: the key is ignored";
            notes.push(what.to_owned());
        }
        notes.extend(config_keys::note(checkpoint.config()));
        let mut model = Self { checkpoint, family, spec, places, notes };
        model.notes.extend(model.left_weights());
        Ok(model)
    }

    /// What of the files looks like weights of this network and is not read, in sentences.
    pub fn left_weights(&self) -> Vec<String> {
        unread::notes(&self.checkpoint, &self.unused())
    }

    /// The folder with its headers.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The configuration, as `config.json` has it.
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

    /// In what most bytes of the files are: blocks, where weights are quantized, else the type of [`Model::stored`].
    pub fn in_files(&self) -> &'static str {
        let mut bytes: HashMap<Option<&'static str>, u64> = HashMap::new();
        for place in self.places.values() {
            let block = self.checkpoint.block_name(&place.name);
            *bytes.entry(block).or_default() += self.checkpoint.bytes_in_file(&place.name);
        }
        let most = bytes.into_iter().max_by_key(|(block, bytes)| (*bytes, *block));
        most.and_then(|(block, _)| block).unwrap_or_else(|| self.stored().name())
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

    /// Bytes that the parameters which the network reads take in the files.
    pub fn bytes(&self) -> u64 {
        let names: HashSet<&str> = self.places.values().map(|p| p.name.as_str()).collect();
        names.into_iter().map(|name| self.checkpoint.bytes_in_file(name)).sum()
    }

    /// What a file that holds nothing but the network leaves out, in a sentence.
    pub fn left_out(&self) -> Option<String> {
        let unused = self.unused();
        let first = unused.first()?;
        let numbers: u64 =
            unused.iter().filter_map(|name| self.checkpoint.info(name)).map(|info| info.elements()).sum();
        Some(format!(
            "left out: {} with {} that this network does not read, e.g. '{first}'",
            counted(unused.len(), "tensors"),
            counted(numbers, "numbers")
        ))
    }

    /// Every role with where it is stored.
    pub(super) fn places(&self) -> impl Iterator<Item = (Role, StoredRole)> {
        self.places.iter().map(|(role, place)| (*role, place.clone()))
    }

    /// Where a role is stored.
    pub(super) fn place(&self, role: Role) -> Option<&StoredRole> {
        self.places.get(&role)
    }

    /// The stored name of a role and how it lies there.
    pub fn stored_as(&self, role: Role) -> Option<(&str, TensorLayout)> {
        self.places.get(&role).map(|p| (p.name.as_str(), p.layout))
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
            // Weights `[heads, d]` of a norm lie along their first axis head by head, a row each, sinks a number each.
            let by_row = match module {
                AttentionModule::QueryNorm | AttentionModule::KeyNorm => place.shape.len() > 1,
                AttentionModule::Sinks | AttentionModule::GridBias => true,
                AttentionModule::Projection(_) | AttentionModule::PositionKey | AttentionModule::PositionQuery => false,
            };
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

/// Refuses what no family here can have, whatever its other keys say.
fn check_supported(config: &Config) -> Result<()> {
    if config.flag_or("add_cross_attention", false)? {
        return Err(config.unsupported(
            "'add_cross_attention' is true: a decoder that reads another model's encoder is not supported",
        ));
    }
    Ok(())
}

/// A file of the bare model under the configuration of a class for a labeled task is read without that head.
fn settle_task(checkpoint: &Checkpoint, family: &Family, spec: &mut NetworkSpec, notes: &mut Vec<String>) {
    let missing = |module: TaskModule| find(checkpoint, family, Module::Task(module).weight(), |_| true).is_err();
    if let Some(task) = spec.task.as_ref().filter(|_| missing(TaskModule::Output)) {
        let kind = task.kind.name();
        notes.push(format!(
            "the files hold no head for {kind}, which config.json names, so the model is read without one"
        ));
        spec.task = None;
    }
}

/// Finds every role in the checkpoint and checks its shape.
fn places(
    checkpoint: &Checkpoint,
    family: &Family,
    spec: &NetworkSpec,
    tied: &TiedPlaces,
) -> Result<HashMap<Role, StoredRole>> {
    let mut places = HashMap::new();
    for (role, shape) in roles::tensors(spec) {
        let (name, layout) = match tied.get(role) {
            Some(place) => place.clone(),
            None => find(checkpoint, family, role, |_| true)?,
        };
        let info = checkpoint.required(&name)?;
        let expected = stored_shape(spec, role, &shape, layout);
        let count = shape.iter().try_fold(1u64, |n, d| n.checked_mul(*d as u64));
        let same_count = layout.part == Part::Whole && !layout.stacked && Some(info.elements()) == count;
        // Leading axes of one (class tokens, position tables) are written in several ways.
        let squeezed = |s: &[usize]| s.iter().copied().filter(|d| *d != 1).collect::<Vec<_>>();
        if info.shape != expected && !(same_count && squeezed(&info.shape) == squeezed(&expected)) {
            return Err(Error::new(format!(
                "tensor '{name}' is {:?} where the configuration asks for {expected:?}",
                info.shape
            ))
            .at(checkpoint.place())
            .hint("config.json and the weights do not belong together"));
        }
        if !info.stored.dtype().is_float() {
            let what = format!("tensor '{name}' holds {}, not floats", info.stored.name());
            return Err(Error::new(what).at(checkpoint.place()).hint(
                "weights of whole numbers are quantized: use the checkpoint in 32 or 16 bits that they were made from",
            ));
        }
        places.insert(role, StoredRole::new(spec, role, shape, name, layout));
    }
    Ok(places)
}
