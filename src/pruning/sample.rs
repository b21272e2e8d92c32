//! Inputs to prove an export with when the caller has none.

use candle_core::{Device, Tensor};
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::error::Result;
use crate::network::{
    Batch, Counting, InputSpec, NetworkSpec, Pooling, PositionSpec, Samples, Source, TokenInputSpec, TokenMask, Tokens,
};

/// Sequences of a batch.
const SEQUENCES: usize = 2;
const LENGTH: usize = 48;

/// `batches` batches of uniformly random tokens, pixels or frames that a network of `spec` reads; the same for the
/// same seed.
pub fn sample_batches(spec: &NetworkSpec, batches: usize, seed: u64) -> Result<Vec<Batch>> {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    (0..batches).map(|_| sample(spec, &mut random)).collect()
}

fn sample(spec: &NetworkSpec, random: &mut Xoshiro256PlusPlus) -> Result<Batch> {
    let first = spec.encoder.as_ref().or(spec.decoder.as_ref());
    let source = match (first.map(|s| &s.input), spec.task.as_ref().and_then(|task| task.pooling)) {
        (Some(InputSpec::Tokens(t)), Some(Pooling::LastEnd { end })) => {
            let tokens = ended(text(t, random)?, end)?;
            // As a classifier has it, the decoder reads the same, moved by one; which ids it reads does not matter here.
            return Ok(Batch::new(Source::Tokens(tokens.clone()), spec.decoder.as_ref().map(|_| tokens)));
        }
        (Some(InputSpec::Tokens(t)), Some(Pooling::Last { padding: Some(padding) })) => {
            Source::Tokens(padded(text(t, random)?, padding)?)
        }
        (Some(input), _) => source(input, random)?,
        (None, _) => Source::Tokens(tokens(1, None, random)?),
    };
    let target = match (&spec.encoder, &spec.decoder) {
        (Some(_), Some(decoder)) => match &decoder.input {
            InputSpec::Tokens(t) => Some(text(t, random)?),
            _ => None,
        },
        _ => None,
    };
    Ok(Batch::new(source, target))
}

fn source(input: &InputSpec, random: &mut Xoshiro256PlusPlus) -> Result<Source> {
    Ok(match input {
        InputSpec::Tokens(t) => Source::Tokens(text(t, random)?),
        InputSpec::Patches(p) => Source::Pixels(noise(&[SEQUENCES, p.channels, p.image.0, p.image.1], random)?),
        InputSpec::Frames(f) => Source::Frames(noise(&[SEQUENCES, f.bands, 2 * f.positions], random)?),
        InputSpec::Samples(s) => {
            // As many samples as make some frames, in the second sequence fewer.
            let strides: usize = s.convolutions.iter().map(|c| c.stride).product();
            let kernels: usize = s.convolutions.iter().map(|c| c.kernel).product();
            let length = LENGTH * strides + kernels.min(1 << 16);
            let short = length - LENGTH / 4 * strides;
            let real = (0..SEQUENCES * length).map(|i| i < length || i - length < short).collect();
            let mask = TokenMask::new(SEQUENCES, length, real)?;
            Source::Samples(Samples { values: noise(&[SEQUENCES, length], random)?, mask })
        }
    })
}

/// Tokens that an input of `spec` reads: where positions count those that are not padding, padding stands behind a text
/// and not in it, as tokenizers have it.
fn text(spec: &TokenInputSpec, random: &mut Xoshiro256PlusPlus) -> Result<Tokens> {
    let tokens = tokens(spec.vocabulary, spec.max_length, random)?;
    match spec.positions {
        PositionSpec::Table { counting: Counting::Unpadded { padding }, .. }
        | PositionSpec::Sinusoidal { counting: Counting::Unpadded { padding }, .. } => padded(tokens, padding),
        PositionSpec::Table { .. } | PositionSpec::Sinusoidal { .. } | PositionSpec::None => Ok(tokens),
    }
}

/// Two sequences of different length, so that padding takes part.
fn tokens(vocabulary: usize, longest: Option<usize>, random: &mut Xoshiro256PlusPlus) -> Result<Tokens> {
    let length = longest.unwrap_or(LENGTH).clamp(1, LENGTH);
    let highest = u32::try_from(vocabulary).unwrap_or(u32::MAX);
    let ids: Vec<u32> = (0..SEQUENCES * length).map(|_| random.gen_range(0..highest)).collect();
    let short = (length * 3 / 4).max(1);
    let real = (0..SEQUENCES * length).map(|i| i < length || i - length < short).collect();
    let mask = TokenMask::new(SEQUENCES, length, real)?;
    Ok(Tokens::new(Tensor::from_vec(ids, (SEQUENCES, length), &Device::Cpu)?, mask))
}

/// The same, every sequence ending with `end`.
fn ended(tokens: Tokens, end: u32) -> Result<Tokens> {
    let length = tokens.mask.length();
    let last = |sequence: usize| tokens.mask.row(sequence).iter().rposition(|real| *real);
    let is_last = |place: usize| last(place / length) == Some(place % length);
    let ids = tokens.ids.flatten_all()?.to_vec1::<u32>()?;
    with_ids(&tokens, ids.into_iter().enumerate().map(|(place, id)| if is_last(place) { end } else { id }).collect())
}

/// The same with `padding` where there is padding, and only there.
fn padded(tokens: Tokens, padding: u32) -> Result<Tokens> {
    let ids = tokens.ids.flatten_all()?.to_vec1::<u32>()?.into_iter().zip(tokens.mask.real());
    let other = u32::from(padding == 0);
    let of = |(id, real): (u32, &bool)| match real {
        true if id == padding => other,
        true => id,
        false => padding,
    };
    with_ids(&tokens, ids.map(of).collect())
}

fn with_ids(tokens: &Tokens, ids: Vec<u32>) -> Result<Tokens> {
    let shape = (tokens.mask.sequences(), tokens.mask.length());
    Ok(Tokens { ids: Tensor::from_vec(ids, shape, &Device::Cpu)?, ..tokens.clone() })
}

fn noise(shape: &[usize], random: &mut Xoshiro256PlusPlus) -> Result<Tensor> {
    let values: Vec<f32> = (0..shape.iter().product::<usize>()).map(|_| random.gen_range(-1.0..1.0)).collect();
    Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
}
