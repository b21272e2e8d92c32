//! What a family of checkpoints is.

use serde_json::Value;

use super::{MlxLayers, RaggedNeed, StockHeads, TensorLayout};
use crate::checkpoint::Config;
use crate::error::Result;
use crate::network::{AttentionSpec, InputSpec, NetworkSpec, Role, StackSpec, TaskHeadSpec, roles};

/// A family of checkpoints: how its configuration reads and what its tensors are called.
#[derive(Debug)]
pub struct Family {
    /// The name in `config.json` under `model_type`.
    pub model_type: &'static str,
    /// The name people use.
    pub title: &'static str,
    /// What tensor names begin with, e.g. `bert.`; a checkpoint of the bare model leaves it out, as do heads. Where there
    /// are several, the first is the one to write.
    pub prefixes: &'static [&'static str],
    /// Names of its tensors, in parts that families share. Where a role has several, the first that the checkpoint
    /// holds counts, and the first is the one to write.
    pub names: fn(&Config) -> &'static [&'static [Name]],
    /// Its classes for labeled tasks.
    pub tasks: &'static [TaskClass],
    /// Configuration to spec, without the head of a labeled task.
    pub spec: fn(&ConfigReader<'_>) -> Result<NetworkSpec>,
    /// Numbers of heads that stock transformers opens.
    pub stock: StockHeads,
    /// Whether transformers 4.x reads `pruned_heads` when it opens a checkpoint (tested with 4.57.6).
    pub reads_pruned_heads: bool,
    /// What the Python module that opens layers of different numbers of heads has to see to; `None` where there is no
    /// such module, so that only Pillars opens them.
    pub ragged: Option<&'static [RaggedNeed]>,
    /// How mlx-lm opens it; `None` where it does not, or has no narrower attention that it could.
    pub mlx: Option<MlxLayers>,
}

/// What the decoder of an encoder-decoder reads first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecoderStart {
    /// A token that the configuration names.
    Id(u32),
    /// The last id of what it is to write, which says the language (mBART).
    LastLabel,
}

/// A class of a family whose head answers a labeled task.
#[derive(Clone, Copy, Debug)]
pub struct TaskClass {
    /// What the name of the architecture ends with, e.g. `ForSequenceClassification`.
    pub class: &'static str,
    /// Whole names of the head's tensors.
    pub names: &'static [Name],
    /// The head that a configuration describes behind a stack of this width.
    pub head: fn(&ConfigReader<'_>, usize) -> Result<TaskHeadSpec>,
}

/// Module or role, tensor name without the family's prefix, layout. `{i}` stands for a layer, `{n}` for an expert or one of
/// several convolutions. Where the left side is a module, the right side is the stem that `.weight` and `.bias` follow.
pub(super) type Name = (&'static str, &'static str, TensorLayout);

/// No model comes near these; larger numbers are refused before they size anything.
const MOST_LAYERS: usize = 4096;
const MOST_HEADS: usize = 4096;
const WIDEST_HEAD: usize = 8192;
/// No head has more labels than this; larger numbers are refused before they size anything.
const MOST_LABELS: usize = 1 << 20;
const WIDEST: usize = 1 << 20;
const MOST_EXPERTS: usize = 4096;
/// Of all layers together.
const MOST_EXPERTS_IN_ALL: usize = 1 << 16;

/// What a family reads its spec from.
pub struct ConfigReader<'a> {
    /// The configuration, as `config.json` has it.
    pub config: &'a Config,
    /// Whether the checkpoint holds a tensor of this name, with or without the family's prefix.
    pub has: &'a dyn Fn(&str) -> bool,
    /// Tensors in the checkpoint.
    pub tensors: usize,
}

impl ConfigReader<'_> {
    /// False where the first architecture has no language-model head: a bare model or a classifier.
    pub fn wants_head(&self) -> bool {
        self.config.architecture().is_none_or(names_head)
    }

    /// Calls `read` with the configuration in which keys that are absent have the values that their class gives them.
    pub fn with_defaults<R>(&self, defaults: &Value, read: impl FnOnce(&ConfigReader<'_>) -> Result<R>) -> Result<R> {
        let mut keys = self.config.value().as_object().cloned().unwrap_or_default();
        for (key, value) in defaults.as_object().into_iter().flatten() {
            keys.entry(key.clone()).or_insert_with(|| value.clone());
        }
        read(&ConfigReader { config: &self.config.with_keys(keys), has: self.has, tensors: self.tensors })
    }

    /// Calls `read` with what `section` of the configuration says, or all of it where there is no such section (as before
    /// models of several kinds had one). What is said of the whole counts inside too; keys that are nowhere have the
    /// values that their class gives them.
    pub fn within<R>(
        &self,
        section: &str,
        defaults: &Value,
        read: impl FnOnce(&ConfigReader<'_>) -> Result<R>,
    ) -> Result<R> {
        const TIED: &str = "tie_word_embeddings";
        let Some(inner) = self.config.section(section) else { return self.with_defaults(defaults, read) };
        let mut keys = inner.value().as_object().cloned().unwrap_or_default();
        let whole = [TIED, "architectures"].map(|key| (key, self.config.get(key)));
        for (key, value) in whole.into_iter().filter_map(|(key, value)| Some((key, value?.clone()))) {
            // Where one of them ties the head to the token table, it is tied.
            let said = keys.get(key) == Some(&Value::Bool(true));
            if !(key == TIED && said) {
                keys.insert(key.to_owned(), value);
            }
        }
        let config = inner.with_keys(keys);
        ConfigReader { config: &config, has: self.has, tensors: self.tensors }.with_defaults(defaults, read)
    }

    /// Width of the residual stream, by any of its names.
    pub fn width(&self) -> Result<usize> {
        self.bounded(&["hidden_size", "d_model", "dim", "n_embd", "n_embed"], 1, WIDEST)
    }

    /// Attention heads of a layer, by any of their names.
    pub fn heads(&self) -> Result<usize> {
        self.heads_at(&["num_attention_heads", "n_heads", "n_head", "num_heads", "attention_heads"])
    }

    /// Attention heads under one of `keys`.
    pub fn heads_at(&self, keys: &[&str]) -> Result<usize> {
        self.bounded(keys, 1, MOST_HEADS)
    }

    /// Key/value heads; as many as heads where the configuration says nothing.
    pub fn kv_heads(&self, heads: usize) -> Result<usize> {
        match self.config.get("num_key_value_heads") {
            Some(_) => self.heads_at(&["num_key_value_heads"]),
            None => Ok(heads),
        }
    }

    /// Width of a head: `head_dim`, else `default`.
    pub fn head_dim(&self, default: usize) -> Result<usize> {
        match self.config.size_or("head_dim", default)? {
            dim @ 1..=WIDEST_HEAD => Ok(dim),
            dim => Err(self.config.unsupported(format!("heads of {dim} dimensions are not supported"))),
        }
    }

    /// Height and width in pixels under `key`: one number for both, or a list of two.
    pub fn pixels(&self, key: &str, default: usize) -> Result<(usize, usize)> {
        const LARGEST: u64 = 1 << 16;
        let wrong = || self.config.wrong(key, "a number of pixels, or two");
        let size = |n: Option<u64>| n.filter(|n| (1..=LARGEST).contains(n)).map(|n| n as usize).ok_or_else(wrong);
        match self.config.get(key) {
            None => Ok((default, default)),
            Some(value) => match value.as_array().map(Vec::as_slice) {
                None => size(value.as_u64()).map(|n| (n, n)),
                Some([height, width]) => Ok((size(height.as_u64())?, size(width.as_u64())?)),
                Some(_) => Err(wrong()),
            },
        }
    }

    /// Layers, by any of their names.
    pub fn layers(&self) -> Result<usize> {
        self.layers_at(&["num_hidden_layers", "n_layers", "n_layer", "num_layers"])
    }

    /// Layers under one of `keys`; more than the checkpoint could hold are refused.
    pub fn layers_at(&self, keys: &[&str]) -> Result<usize> {
        let layers = self.bounded(keys, 1, MOST_LAYERS)?;
        if layers > self.tensors {
            let what = format!("{layers} layers do not fit in the {} tensors that there are", self.tensors);
            return Err(self.config.unsupported(what).hint("the checkpoint is incomplete"));
        }
        Ok(layers)
    }

    /// Passes over layers that may be shared.
    pub fn passes(&self) -> Result<usize> {
        self.bounded(&["num_hidden_layers"], 1, MOST_LAYERS)
    }

    /// Experts of each of `layers` layers under one of `keys`.
    pub fn experts_at(&self, keys: &[&str], layers: usize) -> Result<usize> {
        let experts = self.bounded(keys, 1, MOST_EXPERTS)?;
        if experts * layers > MOST_EXPERTS_IN_ALL {
            return Err(self.config.unsupported(format!("{experts} experts in each of {layers} layers are too many")));
        }
        Ok(experts)
    }

    /// Inner width of the feed-forward part, by any of its names; four times `width` where it has none.
    pub fn inner(&self, width: usize) -> Result<usize> {
        for key in ["intermediate_size", "hidden_dim", "ffn_dim", "n_inner"] {
            if let Some(size) = self.config.size_opt(key)? {
                return Ok(size);
            }
        }
        Ok(4 * width)
    }

    /// Which of `count` layers `layer_types` calls sliding, where it is there.
    pub fn sliding_layers(&self, count: usize) -> Result<Option<Vec<bool>>> {
        let Some(types) = self.config.get("layer_types") else { return Ok(None) };
        let wrong =
            || self.config.wrong("layer_types", &format!("{count} times 'full_attention' or 'sliding_attention'"));
        let types = types.as_array().filter(|t| t.len() == count).ok_or_else(wrong)?;
        let slides = types.iter().map(|kind| match kind.as_str() {
            Some("full_attention") => Ok(false),
            Some("sliding_attention") => Ok(true),
            _ => Err(wrong()),
        });
        slides.collect::<Result<_>>().map(Some)
    }

    /// Labels of the model: entries of `id2label`, else `num_labels`, else two, as in transformers.
    pub fn labels(&self) -> Result<usize> {
        let named = self.config.get("id2label").and_then(|v| v.as_object()).map(|names| names.len());
        let count = match named {
            Some(count) => count,
            None => self.config.size_or("num_labels", 2)?,
        };
        if (1..=MOST_LABELS).contains(&count) {
            return Ok(count);
        }
        let key = if named.is_some() { "id2label" } else { "num_labels" };
        Err(self.config.unsupported(format!("'{key}' names {count} labels, which no head has")))
    }

    /// What `key` says in the part of the configuration that describes the language model, or in the whole.
    fn flag(&self, key: &str) -> Result<Option<bool>> {
        for config in self.config.section("text_config").iter().chain([self.config]) {
            if config.get(key).is_some() {
                return config.flag_or(key, false).map(Some);
            }
        }
        Ok(None)
    }

    /// An error where `key` is true.
    pub fn refuse(&self, key: &str) -> Result<()> {
        if self.config.flag_or(key, false)? {
            return Err(self.config.unsupported(format!("'{key}' is true, which is not supported")));
        }
        Ok(())
    }

    /// The `n` of "every n-th layer" under `key`.
    pub fn period(&self, key: &str, default: usize) -> Result<usize> {
        match self.config.size_or(key, default)? {
            0 => Err(self.config.wrong(key, "a number of layers, at least 1")),
            n => Ok(n),
        }
    }

    fn bounded(&self, keys: &[&str], least: usize, most: usize) -> Result<usize> {
        let size = self.config.size_any(keys)?;
        if (least..=most).contains(&size) {
            return Ok(size);
        }
        let key = keys.iter().find(|k| self.config.get(k).is_some()).copied().unwrap_or("?");
        Err(self.config.wrong(key, &format!("a number from {least} to {most}")))
    }
}

impl Family {
    /// The class for a labeled task that the first architecture is, where it is one.
    pub(super) fn task(&self, config: &Config) -> Option<&'static TaskClass> {
        let architecture = config.architecture()?;
        self.tasks.iter().find(|task| architecture.ends_with(task.class))
    }

    /// The name under which a new checkpoint stores a role: behind the prefix, unless it belongs to a head or the
    /// architecture is the bare model.
    pub(super) fn name_to_write(&self, config: &Config, role: Role) -> Option<(String, TensorLayout)> {
        let (name, layout) = self.names_of(config, role).next()?;
        let bare = config.architecture().is_some_and(|a| a.ends_with("Model") && !names_head(a));
        Some(if bare || role.module.is_output() {
            (name, layout)
        } else {
            (format!("{}{name}", self.prefixes.first().copied().unwrap_or_default()), layout)
        })
    }

    /// The names under which a role may be stored, without the family's prefix, and how it lies there.
    pub(super) fn names_of(&self, config: &Config, role: Role) -> impl Iterator<Item = (String, TensorLayout)> {
        let (whole, stem) = (role.pattern(), role.module.pattern());
        let layer = role.module.layer().map(|(_, layer)| layer.to_string()).unwrap_or_default();
        let number = role.module.number().map(|number| number.to_string()).unwrap_or_default();
        let of_task = self.task(config).map_or(&[][..], |task| task.names);
        let names = (self.names)(config).iter().flat_map(|part| part.iter()).chain(of_task);
        names.filter_map(move |(pattern, name, layout)| {
            let named = || name.replace("{i}", &layer).replace("{n}", &number);
            if *pattern == whole {
                Some((named(), *layout))
            } else if *pattern == stem {
                Some((role.named_after(&named()), *layout))
            } else {
                None
            }
        })
    }
}

/// Whether an architecture has a language-model head by its name.
fn names_head(architecture: &str) -> bool {
    const HEADS: [&str; 6] = ["LMHead", "CausalLM", "ConditionalGeneration", "MTModel", "MaskedLM", "DoubleHeads"];
    HEADS.iter().any(|head| architecture.contains(head))
}

/// The network that a configuration describes.
pub(super) fn spec_of(family: &Family, reading: &ConfigReader<'_>) -> Result<NetworkSpec> {
    let config = reading.config;
    let mut spec = (family.spec)(reading)?;
    if let Some(task) = family.task(config) {
        spec.task = Some((task.head)(reading, spec.last_width())?);
        // A language-model head that was left in the file is none of this class.
        spec.output = None;
    }
    check_sizes(&spec, config)?;
    let stacks = [&spec.encoder, &spec.decoder].into_iter().flatten();
    if !stacks.flat_map(|stack| &stack.layers).any(|layer| layer.experts.is_some()) {
        for key in ["num_local_experts", "num_experts", "n_routed_experts"] {
            if config.size_or(key, 0)? > 1 {
                let what = format!("'{key}' is there: {} is not known as a mixture of experts", family.title);
                return Err(config.unsupported(what));
            }
        }
    }
    if let Some(decoder) = &mut spec.decoder {
        attend_both_ways(reading, decoder)?;
    }
    Ok(spec)
}

/// Lets every layer of a decoder attend both ways where the configuration says so: embedding models made from decoders.
///
/// transformers reads `is_causal` of every decoder when it builds its masks, and takes a window to either side then. A window
/// of Gemma's `use_bidirectional_attention` is both sides together.
fn attend_both_ways(reading: &ConfigReader<'_>, decoder: &mut StackSpec) -> Result<()> {
    let causal = reading.flag("is_causal")?.unwrap_or(true);
    let gemma = reading.flag("use_bidirectional_attention")?.unwrap_or(false);
    if causal && !gemma {
        return Ok(());
    }
    for attention in decoder.layers.iter_mut().map(|layer| &mut layer.attention) {
        attention.causal = false;
        attention.window = attention.window.map(|window| match (gemma, causal) {
            (false, _) => window,
            (true, true) => window / 2,
            (true, false) => window / 2 + 1,
        });
    }
    Ok(())
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
    for stack in [&spec.encoder, &spec.decoder].into_iter().flatten() {
        let is_possible = match &stack.input {
            InputSpec::Patches(patches) => patches.patches(patches.image) > 0,
            InputSpec::Frames(frames) => frames.positions > 0,
            InputSpec::Samples(samples) => samples.convolutions.iter().all(|c| c.stride > 0),
            InputSpec::Tokens(_) => true,
        };
        if !is_possible {
            return Err(config.unsupported("the model would read nothing of its inputs"));
        }
    }
    // With this every width, vocabulary and number of classes is at least 1.
    if let Some((role, shape)) = roles::tensors(spec).into_iter().find(|(_, shape)| shape.contains(&0)) {
        return Err(config.unsupported(format!("{role} would have the shape {shape:?}")));
    }
    Ok(())
}
