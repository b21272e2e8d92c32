//! From inputs to the first hidden state.

use candle_core::{DType, Device, Tensor};

use super::attention::Linear;
use super::interpolate::resample;
use super::norm::Norm;
use super::packing::Packing;
use super::part::{Deferred, TokenTable};
use super::samples::SampleInput;
use super::{
    Counting, EmbedModule, FrameInputSpec, InputSpec, MaskScaling, Module, PatchInputSpec, PositionSpec, ProjectSpec,
    Resampling, SinusoidSpacing, Source, StackKind, TokenInputSpec, TokenMask, Tokens, Weights,
};
use crate::error::{Error, Result};
use crate::tensor::{Nonlinearity, activate, add_shared, lookup, wide};
use crate::words::counted;

/// Weights of a stack's input.
#[derive(Clone, Debug)]
pub(super) enum InputWeights {
    Tokens(TokenInput),
    Patches(PatchInput),
    Frames(FrameInput),
    Samples(SampleInput),
}

#[derive(Clone, Debug)]
pub(super) struct TokenInput {
    spec: TokenInputSpec,
    pub table: TokenTable,
    types: Option<Tensor>,
    positions: Option<Tensor>,
    norm: Option<Norm>,
    project: Option<Linear>,
}

#[derive(Clone, Debug)]
pub(super) struct PatchInput {
    spec: PatchInputSpec,
    patch: Linear,
    /// Those before the patches that have positions, in their order.
    placed: Vec<Tensor>,
    registers: Option<Tensor>,
    positions: Option<Tensor>,
    norm: Option<Norm>,
}

#[derive(Clone, Debug)]
pub(super) struct FrameInput {
    spec: FrameInputSpec,
    first: Linear,
    second: Linear,
    positions: Tensor,
}

impl InputWeights {
    /// Reads everything but the token table, which stays in `deferred` where that is given.
    pub(super) fn load(
        spec: &InputSpec,
        weights: &dyn Weights,
        deferred: Option<&Deferred>,
        stack: StackKind,
    ) -> Result<Self> {
        let module = |part| Module::Embed(stack, part);
        let get = |part| weights.get(module(part).weight());
        Ok(match spec {
            InputSpec::Tokens(spec) => {
                let has_table = matches!(spec.positions, PositionSpec::Table { .. });
                let norm = |n| Norm::load(n, weights, module(EmbedModule::Norm));
                let project = |p: ProjectSpec| Linear::load(weights, module(EmbedModule::Project), p.bias);
                let tokens = module(EmbedModule::Tokens).weight();
                Self::Tokens(TokenInput {
                    table: TokenTable::new(weights, deferred, tokens, (spec.vocabulary, spec.width))?,
                    types: if spec.types > 0 { Some(get(EmbedModule::Types)?) } else { None },
                    positions: if has_table { Some(get(EmbedModule::Positions)?) } else { None },
                    norm: spec.norm.map(norm).transpose()?,
                    project: spec.project.map(project).transpose()?,
                    spec: spec.clone(),
                })
            }
            InputSpec::Patches(spec) => Self::Patches(PatchInput {
                patch: Linear::load(weights, module(EmbedModule::Patch), spec.bias)?,
                placed: [(EmbedModule::Class, spec.class), (EmbedModule::Distillation, spec.distillation)]
                    .into_iter()
                    .filter(|(_, there)| *there)
                    .map(|(part, _)| get(part))
                    .collect::<Result<_>>()?,
                registers: if spec.registers > 0 { Some(get(EmbedModule::Registers)?) } else { None },
                positions: if spec.positions { Some(get(EmbedModule::Positions)?) } else { None },
                norm: spec.norm.map(|n| Norm::load(n, weights, module(EmbedModule::Norm))).transpose()?,
                spec: spec.clone(),
            }),
            InputSpec::Samples(spec) => Self::Samples(SampleInput::load(spec, weights, stack)?),
            InputSpec::Frames(spec) => Self::Frames(FrameInput {
                first: Linear::load(weights, module(EmbedModule::Conv1), true)?,
                second: Linear::load(weights, module(EmbedModule::Conv2), true)?,
                positions: get(EmbedModule::Positions)?,
                spec: spec.clone(),
            }),
        })
    }

    /// Where the weights are, and their type.
    pub(super) fn place(&self) -> Result<(Device, DType)> {
        let of = |tensor: &Tensor| Ok((tensor.device().clone(), tensor.dtype()));
        match self {
            Self::Tokens(input) => input.table.place(),
            Self::Patches(input) => of(&input.patch.weight),
            Self::Frames(input) => of(&input.positions),
            Self::Samples(input) => of(&input.project.weight),
        }
    }

    /// The first hidden state, packed as requested, and which positions are real.
    pub(super) fn forward(&self, source: &Source) -> Result<(Tensor, TokenMask, Packing)> {
        match (self, source) {
            (Self::Tokens(input), Source::Tokens(tokens)) => {
                let packing = Packing::new(&tokens.mask, tokens.ids.device())?;
                Ok((input.forward(tokens, packing.places())?, tokens.mask.clone(), packing))
            }
            (Self::Patches(input), Source::Pixels(pixels)) => full(input.forward(pixels)?),
            (Self::Frames(input), Source::Frames(frames)) => full(input.forward(frames)?),
            (Self::Samples(input), Source::Samples(samples)) => {
                let (hidden, mask) = input.forward(samples)?;
                let packing = Packing::new(&mask, hidden.device())?;
                Ok((packing.pack(hidden)?, mask, packing))
            }
            (wanted, given) => Err(Error::usage(format!(
                "this model reads {}, not {}",
                match wanted {
                    Self::Tokens(_) => "tokens",
                    Self::Patches(_) => "images (pixel_values)",
                    Self::Frames(_) => "spectrograms (input_features)",
                    Self::Samples(_) => "samples of sound (input_values)",
                },
                match given {
                    Source::Tokens(_) => "tokens",
                    Source::Pixels(_) => "images",
                    Source::Frames(_) => "spectrograms",
                    Source::Samples(_) => "samples of sound",
                }
            ))),
        }
    }
}

fn full(hidden: Tensor) -> Result<(Tensor, TokenMask, Packing)> {
    let (n, t, _) = hidden.dims3()?;
    let mask = TokenMask::full(n, t);
    let packing = Packing::new(&mask, hidden.device())?;
    Ok((hidden, mask, packing))
}

impl TokenInput {
    /// `[N, T, D]`, or `[1, R, D]` of `places` alone where they are given.
    pub(super) fn forward(&self, tokens: &Tokens, places: Option<Vec<u32>>) -> Result<Tensor> {
        let (n, t) = tokens.ids.dims2()?;
        if let Some(longest) = self.spec.max_length.filter(|m| t > *m) {
            let (tokens, positions) = (counted(t, "tokens"), counted(longest, "positions"));
            return Err(Error::new(format!("a sequence of {tokens} is longer than the model's {positions}"))
                .hint("use a smaller --seq-len"));
        }
        let width = self.spec.width;
        let all = tokens.ids.flatten_all()?;
        let (ids, shape) = match &places {
            Some(places) => (all.index_select(&Tensor::new(places.as_slice(), all.device())?, 0)?, (1, places.len())),
            None => (all, (n, t)),
        };
        let mut hidden = self.table.gather(&ids)?.reshape((shape.0, shape.1, width))?;
        if self.spec.scale != 1.0 {
            hidden = (hidden * self.spec.scale)?;
        }
        if let Some(scaling) = self.spec.mask_scaling {
            let factors = at_places(&mask_factors(tokens, scaling)?, places.as_deref());
            let masked: Vec<u8> = factors.iter().map(|factor| u8::from(factor.is_none())).collect();
            let factors: Vec<f32> = factors.into_iter().map(|factor| factor.unwrap_or(1.0)).collect();
            let shape = (shape.0, shape.1, 1);
            let factors = Tensor::from_vec(factors, shape, hidden.device())?;
            hidden = hidden.broadcast_mul(&factors.to_dtype(hidden.dtype())?)?;
            if masked.contains(&1) {
                // Chosen, not multiplied: no gradient of theirs, however large, comes back.
                let masked = Tensor::from_vec(masked, shape, hidden.device())?;
                let masked = masked.broadcast_as(hidden.shape())?.contiguous()?;
                hidden = masked.where_cond(&hidden.zeros_like()?, &hidden)?;
            }
        }
        if let Some(types) = &self.types {
            hidden = match &tokens.types {
                None => add_shared(&hidden, &types.get(0)?)?,
                Some(given) => {
                    let rows = at_places(given, places.as_deref());
                    let rows = Tensor::new(rows, hidden.device())?;
                    (&hidden + lookup(types, &rows)?.reshape(hidden.shape())?)?
                }
            };
        }
        let after = matches!(self.spec.positions, PositionSpec::Table { after_projection: true, .. });
        if !after {
            hidden = self.add_positions(hidden, tokens, places.as_deref())?;
        }
        if let Some(norm) = &self.norm {
            hidden = norm.forward(&hidden)?;
        }
        if let Some(project) = &self.project {
            hidden = project.forward(&hidden)?;
        }
        if after { self.add_positions(hidden, tokens, places.as_deref()) } else { Ok(hidden) }
    }

    fn add_positions(&self, hidden: Tensor, tokens: &Tokens, places: Option<&[u32]>) -> Result<Tensor> {
        let t = tokens.mask.length();
        let add_rows = |table: &Tensor, rows: Vec<u32>| -> Result<Tensor> {
            let rows = Tensor::new(rows, hidden.device())?;
            Ok((&hidden + lookup(table, &rows)?.reshape(hidden.shape())?)?)
        };
        // Rows of `table [T, D]` by the position alone.
        let add_every = |table: &Tensor| match places {
            None => Ok(add_shared(&hidden, table)?),
            Some(places) => {
                let length = u32::try_from(t).unwrap_or(u32::MAX);
                add_rows(table, places.iter().map(|place| place % length).collect())
            }
        };
        match &self.spec.positions {
            PositionSpec::None => Ok(hidden),
            PositionSpec::Sinusoidal { spacing, offset, counting } => {
                let width = hidden.dim(2)?;
                if *counting == Counting::Every && tokens.positions.is_none() {
                    let rows: Vec<Option<usize>> = (*offset..offset + t).map(Some).collect();
                    return add_every(&sinusoids(&rows, *spacing, width, &hidden)?);
                }
                let rows: Vec<Option<usize>> = match &tokens.positions {
                    Some(given) => given.iter().map(|row| Some(*row as usize + offset)).collect(),
                    None => {
                        let uncounted = u32::try_from(offset.saturating_sub(1)).unwrap_or(u32::MAX);
                        let rows = counted_rows(tokens, *offset, *counting)?.into_iter();
                        rows.map(|row| (row != uncounted).then_some(row as usize)).collect()
                    }
                };
                let rows = at_places(&rows, places);
                Ok((&hidden + sinusoids(&rows, *spacing, width, &hidden)?.reshape(hidden.shape())?)?)
            }
            PositionSpec::Table { rows, offset, counting, .. } => {
                let Some(table) = &self.positions else { return Ok(hidden) };
                if let Some(given) = &tokens.positions {
                    // RoBERTa's ids are rows already; others count from 0.
                    let first = if matches!(counting, Counting::Unpadded { .. }) { 0 } else { *offset };
                    let first = u32::try_from(first).unwrap_or(u32::MAX);
                    let rows = at_places(given, places);
                    return add_rows(table, rows.into_iter().map(|row| row.saturating_add(first)).collect());
                }
                if *counting == Counting::Every {
                    if offset + t > *rows {
                        return Err(Error::new(format!(
                            "{t} positions do not fit a table of {}",
                            rows.saturating_sub(*offset)
                        )));
                    }
                    return add_every(&table.narrow(0, *offset, t)?);
                }
                let mut rows = counted_rows(tokens, *offset, *counting)?;
                if let Some(places) = places {
                    rows = places.iter().filter_map(|place| rows.get(*place as usize).copied()).collect();
                }
                add_rows(table, rows)
            }
        }
    }
}

/// The values of all positions, or of `places` alone.
fn at_places<T: Copy>(values: &[T], places: Option<&[u32]>) -> Vec<T> {
    match places {
        None => values.to_vec(),
        Some(places) => places.iter().filter_map(|place| values.get(*place as usize).copied()).collect(),
    }
}

/// The row of the position table that each token reads where not every token counts, row-major `[N, T]`.
fn counted_rows(tokens: &Tokens, offset: usize, counting: Counting) -> Result<Vec<u32>> {
    let counts: Vec<bool> = match counting {
        Counting::Unpadded { padding } => {
            tokens.ids.flatten_all()?.to_vec1::<u32>()?.into_iter().map(|id| id != padding).collect()
        }
        _ => tokens.mask.real().to_vec(),
    };
    let mut rows = Vec::with_capacity(counts.len());
    for sequence in counts.chunks(tokens.mask.length()) {
        let mut seen = 0;
        for counted in sequence {
            seen += usize::from(*counted);
            let row = if *counted { offset + seen - 1 } else { offset.saturating_sub(1) };
            rows.push(u32::try_from(row).unwrap_or(u32::MAX));
        }
    }
    Ok(rows)
}

/// What the embedding of each token is multiplied by, row-major `[N, T]`; `None` for mask tokens.
fn mask_factors(tokens: &Tokens, scaling: MaskScaling) -> Result<Vec<Option<f32>>> {
    let ids: Vec<u32> = tokens.ids.flatten_all()?.to_vec1()?;
    let length = tokens.mask.length();
    let mut factors = Vec::with_capacity(ids.len());
    for (row, real) in ids.chunks(length).zip(tokens.mask.real().chunks(length)) {
        let masked = row.iter().filter(|id| **id == scaling.token).count() as f64;
        let deferred = 1.0 - masked / real.iter().filter(|real| **real).count() as f64;
        // Where all is masked or padding, there is nothing to scale.
        let factor = if deferred > 0.0 { ((1.0 - scaling.trained_share) / deferred) as f32 } else { 0.0 };
        factors.extend(row.iter().map(|id| (*id != scaling.token).then_some(factor)));
    }
    Ok(factors)
}

/// Sines of the angles of `rows` in the first half of the width, cosines in the second, `[R, D]`; zeros where there is no
/// row. As `like` in type and place.
fn sinusoids(rows: &[Option<usize>], spacing: SinusoidSpacing, width: usize, like: &Tensor) -> Result<Tensor> {
    let (sines, cosines) = spacing.frequencies(width);
    let mut values = Vec::with_capacity(rows.len() * width);
    for (index, row) in rows.iter().enumerate() {
        if let Some(row) = row {
            let angle = |frequency: &f64| *row as f64 * frequency;
            values.extend(sines.iter().map(|f| angle(f).sin() as f32));
            values.extend(cosines.iter().map(|f| angle(f).cos() as f32));
        }
        values.resize((index + 1) * width, 0.0);
    }
    Ok(Tensor::from_vec(values, (rows.len(), width), like.device())?.to_dtype(like.dtype())?)
}

impl PatchInput {
    /// `[N, C, height, width]` to `[N, leading tokens + patches, D]`.
    fn forward(&self, pixels: &Tensor) -> Result<Tensor> {
        let (n, c, height, width) = pixels.dims4()?;
        let (ph, pw) = self.spec.patch;
        let (gh, gw) = self.spec.grid((height, width));
        let fits = (height, width) == self.spec.image || (self.spec.resampling.is_some() && gh > 0 && gw > 0);
        if c != self.spec.channels || !fits {
            return Err(Error::new(format!(
                "images of {c} x {height} x {width} do not fit a model made for {} x {} x {}",
                self.spec.channels, self.spec.image.0, self.spec.image.1
            )));
        }
        // A convolution whose stride is its width is one product over cut patches.
        let cut = pixels
            .narrow(2, 0, gh * ph)?
            .narrow(3, 0, gw * pw)?
            .reshape(&[n, c, gh, ph, gw, pw][..])?
            .permute(vec![0, 2, 4, 1, 3, 5])?
            .reshape((n, gh * gw, c * ph * pw))?
            .to_dtype(self.patch.weight.dtype())?;
        let kernel = Linear { weight: self.patch.weight.flatten_from(1)?, bias: self.patch.bias.clone() };
        let patches = kernel.forward(&cut)?;
        let width = patches.dim(2)?;
        let every = |token: &Tensor| token.reshape((1, 1, width))?.broadcast_as((n, 1, width));
        let mut parts = self.placed.iter().map(every).collect::<candle_core::Result<Vec<_>>>()?;
        parts.push(patches);
        let placed = self.placed.len();
        let mut hidden = Tensor::cat(&parts, 1)?;
        if let Some(positions) = &self.positions {
            let (table, made_for) = (positions.reshape(((), width))?, self.spec.grid(self.spec.image));
            let resampling = self.spec.resampling.unwrap_or(Resampling::Bicubic);
            let spread = table.narrow(0, placed, made_for.0 * made_for.1)?;
            let spread = resample(&spread, made_for, (gh, gw), resampling)?;
            let positions = if placed > 0 { Tensor::cat(&[&table.narrow(0, 0, placed)?, &spread], 0)? } else { spread };
            hidden = add_shared(&hidden, &positions)?;
        }
        if let Some(registers) = &self.registers {
            let registers = registers.reshape((1, self.spec.registers, width))?;
            let registers = registers.broadcast_as((n, self.spec.registers, width))?;
            let (before, behind) = (hidden.narrow(1, 0, placed)?, hidden.narrow(1, placed, gh * gw)?);
            hidden = Tensor::cat(&[&before, &registers, &behind], 1)?;
        }
        match &self.norm {
            Some(norm) => norm.forward(&hidden),
            None => Ok(hidden),
        }
    }
}

impl FrameInput {
    /// `[N, bands, 2 * positions]` to `[N, positions, D]`.
    fn forward(&self, frames: &Tensor) -> Result<Tensor> {
        let (_, bands, length) = frames.dims3()?;
        if bands != self.spec.bands || length != 2 * self.spec.positions {
            return Err(Error::new(format!(
                "a spectrogram of {bands} x {length} does not fit a model made for {} x {}",
                self.spec.bands,
                2 * self.spec.positions
            )));
        }
        let dtype = self.first.weight.dtype();
        // Where they learn, gradients are sums over every position, which 16 bits would lose.
        let within = if self.first.weight.track_op() { wide(dtype) } else { dtype };
        let convolve = |x: &Tensor, conv: &Linear, stride| -> Result<Tensor> {
            let y = x.conv1d(&conv.weight.to_dtype(within)?, 1, stride, 1, 1)?;
            let y = match &conv.bias {
                Some(bias) => y.broadcast_add(&bias.to_dtype(within)?.reshape((1, (), 1))?)?,
                None => y,
            };
            Ok(activate(&y, Nonlinearity::Gelu)?)
        };
        let frames = frames.to_dtype(within)?;
        let hidden = convolve(&convolve(&frames, &self.first, 1)?, &self.second, 2)?.to_dtype(dtype)?;
        Ok(add_shared(&hidden.transpose(1, 2)?, &self.positions)?)
    }
}
