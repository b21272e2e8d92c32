//! Some of the input's sequences as one batch: what a null is drawn from.

use candle_core::{Device, Tensor};

use crate::error::Result;
use crate::network::{Batch, Samples, Source, TokenMask, Tokens};

/// Sequences of a sample, and tokens of each that are read.
pub const SAMPLE: (usize, usize) = (32, 64);
const SEQUENCES: usize = SAMPLE.0;
const TOKENS: usize = SAMPLE.1;

/// The first [`SEQUENCES`] sequences of `batches`, cut to [`TOKENS`] tokens, as one batch without labels; `None` where there
/// are none. Images and spectrograms stay whole; those of another size than the first are left out.
pub(super) fn sample(batches: impl IntoIterator<Item = Result<Batch>>) -> Result<Option<Batch>> {
    let mut taken: Vec<Batch> = Vec::new();
    let mut count = 0;
    for batch in batches {
        let batch = batch?;
        count += batch.source.sequences()?;
        taken.push(batch);
        if count >= SEQUENCES {
            break;
        }
    }
    let Some(first) = taken.first() else { return Ok(None) };
    let source = match &first.source {
        Source::Tokens(_) => {
            let all = taken.iter().filter_map(|b| if let Source::Tokens(t) = &b.source { Some(t) } else { None });
            Source::Tokens(joined(all)?)
        }
        Source::Pixels(like) => Source::Pixels(stacked(&taken, like)?),
        Source::Frames(like) => Source::Frames(stacked(&taken, like)?),
        Source::Samples(_) => {
            let all = taken.iter().filter_map(|b| if let Source::Samples(s) = &b.source { Some(s) } else { None });
            Source::Samples(sounds(&all.collect::<Vec<_>>())?)
        }
    };
    let target = match &first.target {
        Some(_) => Some(joined(taken.iter().filter_map(|b| b.target.as_ref()))?),
        None => None,
    };
    Ok(Some(Batch::new(source, target)))
}

fn stacked(batches: &[Batch], like: &Tensor) -> Result<Tensor> {
    let fitting = batches.iter().filter_map(|batch| match &batch.source {
        Source::Pixels(x) | Source::Frames(x) if x.dims().get(1..) == like.dims().get(1..) => Some(x.clone()),
        _ => None,
    });
    let all = Tensor::cat(&fitting.collect::<Vec<_>>(), 0)?;
    Ok(all.narrow(0, 0, all.dim(0)?.min(SEQUENCES))?)
}

/// Recordings of several batches, padded to the longest.
fn sounds(all: &[&Samples]) -> Result<Samples> {
    let longest = all.iter().map(|samples| samples.mask.length()).max().unwrap_or(0);
    let padded = |samples: &&Samples| samples.values.pad_with_zeros(1, 0, longest - samples.mask.length());
    let values = Tensor::cat(&all.iter().map(padded).collect::<candle_core::Result<Vec<_>>>()?, 0)?;
    let rows = all.iter().flat_map(|samples| (0..samples.mask.sequences()).map(|n| samples.mask.row(n)));
    let count = values.dim(0)?.min(SEQUENCES);
    let real = |row: &[bool]| (0..longest).map(|s| row.get(s).copied().unwrap_or(false)).collect::<Vec<_>>();
    let mask = TokenMask::new(count, longest, rows.take(count).flat_map(real).collect())?;
    Ok(Samples { values: values.narrow(0, 0, count)?, mask })
}

/// One token as it is read.
#[derive(Clone, Copy, Default)]
struct SampledToken {
    id: u32,
    real: bool,
    kind: u32,
    position: u32,
}

fn joined<'a>(all: impl Iterator<Item = &'a Tokens>) -> Result<Tokens> {
    let (mut rows, mut device) = (Vec::new(), Device::Cpu);
    let (mut with_types, mut with_positions) = (true, true);
    for tokens in all {
        device = tokens.ids.device().clone();
        with_types &= tokens.types.is_some();
        with_positions &= tokens.positions.is_some();
        let ids: Vec<Vec<u32>> = tokens.ids.to_device(&Device::Cpu)?.to_vec2()?;
        for (n, row) in ids.iter().enumerate() {
            let at = |numbers: &Option<Vec<u32>>, t: usize| {
                numbers.as_ref().and_then(|all| all.get(n * tokens.mask.length() + t)).copied().unwrap_or(0)
            };
            let real = tokens.mask.row(n);
            // Padding in front is no part of the sequence.
            let begin = real.iter().position(|real| *real).unwrap_or(0);
            let end = real.iter().rposition(|real| *real).map_or(begin, |last| last + 1);
            let place = |t: usize| SampledToken {
                id: row.get(t).copied().unwrap_or(0),
                real: real.get(t).copied().unwrap_or(false),
                kind: at(&tokens.types, t),
                position: at(&tokens.positions, t),
            };
            rows.push((begin..end.min(begin + TOKENS)).map(place).collect::<Vec<_>>());
        }
    }
    rows.truncate(SEQUENCES);
    let length = rows.iter().map(Vec::len).max().unwrap_or(0);
    // Padding repeats a token of the row, which no vocabulary lacks.
    let padded: Vec<SampledToken> = rows
        .iter()
        .flat_map(|row| {
            let pad = SampledToken { real: false, ..row.first().copied().unwrap_or_default() };
            row.iter().copied().chain(std::iter::repeat_n(pad, length - row.len()))
        })
        .collect();
    let numbers = |of: fn(&SampledToken) -> u32| padded.iter().map(of).collect::<Vec<u32>>();
    let mask = TokenMask::new(rows.len(), length, padded.iter().map(|p| p.real).collect())?;
    Ok(Tokens {
        types: with_types.then(|| numbers(|p| p.kind)),
        positions: with_positions.then(|| numbers(|p| p.position)),
        ..Tokens::new(Tensor::from_vec(numbers(|p| p.id), (rows.len(), length), &device)?, mask)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(rows: &[&[u32]], types: Option<Vec<u32>>) -> Batch {
        let rows: Vec<(Vec<u32>, Vec<bool>)> = rows.iter().map(|r| (r.to_vec(), vec![true; r.len()])).collect();
        let tokens = Tokens { types, ..Tokens::pad(&rows, 9, &Device::Cpu).unwrap() };
        Batch::tokens(tokens)
    }

    #[test]
    fn sequences_of_several_batches_become_one() {
        let batches = [batch(&[&[1, 2, 3], &[4]], Some(vec![0, 0, 1, 1, 0, 0])), batch(&[&[5, 6]], Some(vec![0, 1]))];
        let found = sample(batches.into_iter().map(Ok)).unwrap().unwrap();
        let Source::Tokens(tokens) = &found.source else { panic!("no tokens") };
        assert_eq!(tokens.ids.to_vec2::<u32>().unwrap(), [[1, 2, 3], [4, 4, 4], [5, 6, 5]]);
        assert_eq!(tokens.mask.real(), [true, true, true, true, false, false, true, true, false]);
        assert_eq!(tokens.types.as_deref(), Some(&[0, 0, 1, 1, 1, 1, 0, 1, 0][..]));
        let long: Vec<u32> = (0..200).collect();
        let many: Vec<&[u32]> = vec![&long; 40];
        let found = sample([Ok(batch(&many, None))]).unwrap().unwrap();
        let Source::Tokens(tokens) = &found.source else { panic!("no tokens") };
        assert_eq!(tokens.ids.dims(), [SEQUENCES, TOKENS]);
        assert!(sample([]).unwrap().is_none());
    }

    #[test]
    fn recordings_are_padded_to_the_longest() {
        let batch = |rows: usize, length: usize| {
            let values = Tensor::ones((rows, length), candle_core::DType::F32, &Device::Cpu).unwrap();
            let samples = Samples { values, mask: TokenMask::full(rows, length) };
            Ok(Batch::new(Source::Samples(samples), None))
        };
        let found = sample([batch(2, 3), batch(1, 5)]).unwrap().unwrap();
        let Source::Samples(samples) = &found.source else { panic!("no recordings") };
        assert_eq!(samples.values.to_vec2::<f32>().unwrap()[0], [1.0, 1.0, 1.0, 0.0, 0.0]);
        assert_eq!((samples.mask.sequences(), samples.mask.count()), (3, 11));
        let found = sample([batch(40, 2)]).unwrap().unwrap();
        assert_eq!(found.source.sequences().unwrap(), SEQUENCES);
    }
}
