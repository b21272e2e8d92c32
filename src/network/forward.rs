//! The forward pass that runs every spec.

use candle_core::{DType, Device, Tensor};

use super::attention::{Angles, Context};
use super::input::Input;
use super::layer::{Memory, Norm};
use super::output::Output;
use super::{
    AttentionSpec, Batch, Blind, Gates, Layer, NetworkSpec, Probe, RotarySpec, ScoreBias, Site, SiteKind, Source,
    StackSpec, TokenMask, Tokens, Weights,
};
use crate::error::{Error, Result};
use crate::tensor::{Visibility, linear};

/// The result of the last stack.
#[derive(Clone, Debug)]
pub struct Hidden {
    /// `[N, T, D]`.
    pub states: Tensor,
    /// Which positions are real.
    pub mask: TokenMask,
}

#[derive(Clone, Debug)]
struct Stack {
    spec: StackSpec,
    kind: SiteKind,
    input: Input,
    layers: Vec<Layer>,
    final_norm: Option<Norm>,
    project_out: Option<Tensor>,
    /// `[buckets, heads before pruning]`.
    relative: Option<Tensor>,
}

/// A transformer with its weights. It keeps no state between batches.
#[derive(Clone, Debug)]
pub struct Network {
    spec: NetworkSpec,
    encoder: Option<Stack>,
    decoder: Option<Stack>,
    output: Option<Output>,
    device: Device,
    dtype: DType,
}

impl Network {
    /// Loads every weight that `spec` names.
    pub fn load(spec: &NetworkSpec, weights: &dyn Weights) -> Result<Self> {
        let load = |stack: &Option<StackSpec>, kind| stack.as_ref().map(|s| Stack::load(s, kind, weights)).transpose();
        let encoder = load(&spec.encoder, SiteKind::Encoder)?;
        let decoder = load(&spec.decoder, SiteKind::Decoder)?;
        let last = decoder.as_ref().or(encoder.as_ref()).ok_or_else(|| Error::new("the network has no layers"))?;
        let table = match &last.input {
            Input::Tokens(input) => Some(&input.table),
            _ => None,
        };
        let output = spec.output.as_ref().map(|o| Output::load(o, weights, table)).transpose()?;
        let any = match &last.input {
            Input::Tokens(input) => input.table.clone(),
            _ => weights.get("encoder.embed.positions")?,
        };
        Ok(Self { spec: spec.clone(), output, device: any.device().clone(), dtype: any.dtype(), encoder, decoder })
    }

    /// What this network is.
    pub fn spec(&self) -> &NetworkSpec {
        &self.spec
    }

    /// Where its weights are.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The type its weights have.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The last hidden state, before any language-model head.
    pub fn hidden(&self, batch: &Batch, gates: &Gates, probe: &mut dyn Probe) -> Result<Hidden> {
        match (&self.encoder, &self.decoder) {
            (Some(_), None) => self.encode(&batch.source, gates, probe),
            (None, Some(decoder)) => decoder.forward(&batch.source, None, gates, probe),
            _ => {
                let memory = self.encode(&batch.source, gates, probe)?;
                let target = batch.target.as_ref().ok_or_else(|| {
                    Error::usage("an encoder-decoder model also needs what its decoder reads (decoder_input_ids)")
                })?;
                self.decode(&memory, target, gates, probe)
            }
        }
    }

    /// What the encoder makes of `source`; an error where there is none.
    pub fn encode(&self, source: &Source, gates: &Gates, probe: &mut dyn Probe) -> Result<Hidden> {
        let encoder = self.encoder.as_ref().ok_or_else(|| Error::new("the network has no encoder"))?;
        encoder.forward(source, None, gates, probe)
    }

    /// What the decoder of an encoder-decoder makes of `target`, reading `memory`, the encoder's result.
    pub fn decode(&self, memory: &Hidden, target: &Tokens, gates: &Gates, probe: &mut dyn Probe) -> Result<Hidden> {
        let decoder = self.decoder.as_ref().filter(|_| self.encoder.is_some());
        let decoder = decoder.ok_or_else(|| Error::new("the network is no encoder-decoder"))?;
        decoder.forward(&Source::Tokens(target.clone()), Some(memory), gates, probe)
    }

    /// Logits `[.., V]` of hidden states `[.., D]`; an error where the checkpoint has no language-model head.
    pub fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        match &self.output {
            Some(output) => output.forward(hidden),
            None => Err(Error::new("this checkpoint has no language-model head")),
        }
    }

    /// Logits `[N, T, V]`, or the last hidden state `[N, T, D]` where there is no language-model head.
    pub fn forward(&self, batch: &Batch, gates: &Gates, probe: &mut dyn Probe) -> Result<Tensor> {
        let hidden = self.hidden(batch, gates, probe)?.states;
        if self.output.is_some() { self.logits(&hidden) } else { Ok(hidden) }
    }

    /// [`Network::forward`] with open gates, unwatched.
    pub fn run(&self, batch: &Batch) -> Result<Tensor> {
        self.forward(batch, &Gates::open(), &mut Blind)
    }
}

impl Stack {
    fn load(spec: &StackSpec, kind: SiteKind, weights: &dyn Weights) -> Result<Self> {
        let name = kind.name();
        let relative = spec.layers.iter().any(|l| matches!(l.attention.bias, ScoreBias::Relative { .. }));
        Ok(Self {
            input: Input::load(&spec.input, weights, name)?,
            layers: spec.layers.iter().map(|l| Layer::load(l, weights, name)).collect::<Result<_>>()?,
            final_norm: spec.final_norm.map(|n| Norm::load(n, weights, &format!("{name}.norm"))).transpose()?,
            project_out: spec.project_out.map(|_| weights.get(&format!("{name}.project_out"))).transpose()?,
            relative: if relative { Some(weights.get(&format!("{name}.relative"))?) } else { None },
            spec: spec.clone(),
            kind,
        })
    }

    fn forward(
        &self,
        source: &Source,
        memory: Option<&Hidden>,
        gates: &Gates,
        probe: &mut dyn Probe,
    ) -> Result<Hidden> {
        let (mut x, mask) = self.input.forward(source)?;
        let mut shared = Shared::new(&mask);
        let everything = memory.map(|m| {
            let shape = (mask.sequences(), mask.length(), m.mask.length());
            Visibility::new(shape, false, None, m.mask.real())
        });
        for (index, (layer, spec)) in self.layers.iter().zip(&self.spec.layers).enumerate() {
            let site = Site::new(self.kind, index);
            shared.prepare(&spec.attention, &x)?;
            let bias = self.score_bias(&spec.attention, &mut shared, &x)?;
            let cross = match (memory, &everything) {
                (Some(memory), Some(visibility)) => Some(Memory {
                    hidden: &memory.states,
                    context: Context {
                        queries: &mask,
                        keys: &memory.mask,
                        visibility,
                        angles: None,
                        bias: None,
                        gate: gates.get(Site::new(SiteKind::Cross, index)),
                    },
                }),
                _ => None,
            };
            let context = Context {
                queries: &mask,
                keys: &mask,
                visibility: shared.visibility(&spec.attention)?,
                angles: shared.angles(&spec.attention),
                bias: bias.as_ref(),
                gate: gates.get(site),
            };
            x = layer.forward(site, &x, &context, cross.as_ref(), probe)?;
        }
        if let Some(norm) = &self.final_norm {
            x = norm.forward(&x)?;
        }
        if let Some(project) = &self.project_out {
            x = linear(&x, project, None)?;
        }
        Ok(Hidden { states: x, mask })
    }

    /// Bias on this layer's scores, `[1 or N, H, 1 or T, S]`.
    fn score_bias(&self, spec: &AttentionSpec, shared: &mut Shared<'_>, x: &Tensor) -> Result<Option<Tensor>> {
        let all = match spec.bias {
            _ if spec.heads == 0 => return Ok(None),
            ScoreBias::None => return Ok(None),
            ScoreBias::Alibi => match &shared.bias {
                Some(ready) => ready.clone(),
                None => alibi(spec.origin_heads, shared.mask, x)?,
            },
            ScoreBias::Relative { buckets, max_distance } => match &shared.bias {
                Some(ready) => ready.clone(),
                None => {
                    let table =
                        self.relative.as_ref().ok_or_else(|| Error::new("the relative bias table is missing"))?;
                    relative(table, shared.mask.length(), buckets, max_distance, !spec.causal)?
                }
            },
        };
        shared.bias = Some(all.clone());
        if spec.heads == spec.origin_heads {
            return Ok(Some(all));
        }
        let origin: Vec<u32> = spec.origin.iter().map(|h| u32::try_from(*h).unwrap_or(u32::MAX)).collect();
        let origin = Tensor::new(origin, x.device())?;
        Ok(Some(all.index_select(&origin, 1)?))
    }
}

/// What layers of one stack share within one batch.
struct Shared<'a> {
    mask: &'a TokenMask,
    visibilities: Vec<Visibility>,
    angles: Vec<(RotarySpec, Angles)>,
    bias: Option<Tensor>,
}

impl<'a> Shared<'a> {
    fn new(mask: &'a TokenMask) -> Self {
        Self { mask, visibilities: Vec::new(), angles: Vec::new(), bias: None }
    }

    fn prepare(&mut self, spec: &AttentionSpec, x: &Tensor) -> Result<()> {
        let length = self.mask.length();
        if self.visibility(spec).is_err() {
            let shape = (self.mask.sequences(), length, length);
            self.visibilities.push(Visibility::new(shape, spec.causal, spec.window, self.mask.real()));
        }
        if let Some(rotary) = &spec.rotary
            && self.angles(spec).is_none()
        {
            let (cos, sin) = rotary.angles(length, x.dtype(), x.device())?;
            self.angles.push((rotary.clone(), Angles { cos, sin }));
        }
        Ok(())
    }

    fn visibility(&self, spec: &AttentionSpec) -> Result<&Visibility> {
        let found = self.visibilities.iter().find(|v| v.is_causal() == spec.causal && v.window() == spec.window);
        found.ok_or_else(|| Error::new("visibility was not prepared"))
    }

    fn angles(&self, spec: &AttentionSpec) -> Option<&Angles> {
        let rotary = spec.rotary.as_ref()?;
        self.angles.iter().find(|(r, _)| r == rotary).map(|(_, a)| a)
    }
}

/// ALiBi (Press et al. 2022) as BLOOM counts it: slope times the number of real tokens before the key, `[N, H, 1, S]`.
fn alibi(heads: usize, mask: &TokenMask, x: &Tensor) -> Result<Tensor> {
    let (n, length) = (mask.sequences(), mask.length());
    let slopes = alibi_slopes(heads);
    let mut values = vec![0f32; n * heads * length];
    for sequence in 0..n {
        let mut seen = 0usize;
        for (s, real) in mask.row(sequence).iter().enumerate() {
            seen += usize::from(*real);
            let position = if *real { seen - 1 } else { 0 };
            for (h, slope) in slopes.iter().enumerate() {
                values[(sequence * heads + h) * length + s] = (slope * position as f64) as f32;
            }
        }
    }
    Ok(Tensor::from_vec(values, (n, heads, 1, length), x.device())?)
}

/// Geometric slopes for the largest power of two below `heads`, then every other slope of the next power.
fn alibi_slopes(heads: usize) -> Vec<f64> {
    let power = if heads.is_power_of_two() { heads } else { heads.next_power_of_two() / 2 };
    let slope = |i: usize, of: usize| 2f64.powf(-8.0 * i as f64 / of as f64);
    let extra = (0..heads.saturating_sub(power)).map(|i| slope(2 * i + 1, 2 * power));
    (1..=power).map(|i| slope(i, power)).chain(extra).collect()
}

/// Bucketed relative bias (Raffel et al. 2020, section 2.1) for all original heads, `[1, H, T, T]`.
fn relative(table: &Tensor, length: usize, buckets: usize, max_distance: usize, both_ways: bool) -> Result<Tensor> {
    let mut rows = Vec::with_capacity(length * length);
    for t in 0..length {
        for s in 0..length {
            rows.push(relative_bucket(s as i64 - t as i64, buckets, max_distance, both_ways));
        }
    }
    let rows = Tensor::from_vec(rows, length * length, table.device())?;
    let heads = table.dim(1)?;
    let bias = table.index_select(&rows, 0)?.reshape((length, length, heads))?;
    Ok(bias.permute((2, 0, 1))?.unsqueeze(0)?.contiguous()?)
}

/// Bucket of a key at `distance` from its query: exact when near, logarithmic up to `max_distance`.
fn relative_bucket(distance: i64, buckets: usize, max_distance: usize, both_ways: bool) -> u32 {
    let (base, buckets, away) = if both_ways {
        let half = buckets / 2;
        (if distance > 0 { half } else { 0 }, half, distance.unsigned_abs() as usize)
    } else {
        (0, buckets, distance.min(0).unsigned_abs() as usize)
    };
    let exact = buckets / 2;
    let within = if away < exact {
        away
    } else {
        // The models' own code takes these logarithms in f32; bucket borders depend on it.
        let share = (away as f32 / exact as f32).ln() / (max_distance as f64 / exact as f64).ln() as f32;
        exact.saturating_add((share * (buckets - exact) as f32) as usize).min(buckets.saturating_sub(1))
    };
    u32::try_from(base + within).unwrap_or(0)
}
