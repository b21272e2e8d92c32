//! Text from an encoder-decoder model: greedy and beam search.

use std::collections::BTreeSet;

use candle_core::{DType, Tensor};

use crate::error::{Error, Result};
use crate::network::{DecoderMemory, Gates, Hidden, Network, NoProbe, Source, TokenMask, Tokens};
use crate::task::Ticket;
use crate::tensor::log_softmax;

/// How a text is searched for.
#[derive(Clone, Debug, PartialEq)]
pub struct Search {
    /// What every result begins with: the first id that the decoder reads, and others that are given.
    pub begin: Vec<u32>,
    /// Id that ends a sequence.
    pub end: u32,
    /// Ids that are never written.
    pub suppressed: BTreeSet<u32>,
    /// Ids that are not written first.
    pub suppressed_first: BTreeSet<u32>,
    /// Most ids of a result, the end included.
    pub longest: usize,
    /// Hypotheses that are followed; one is greedy search.
    pub beams: usize,
    /// A hypothesis of `n` ids counts its log-probability divided by `n` to this power.
    pub length_penalty: f64,
}

impl Search {
    /// The likeliest id each time.
    pub fn greedy(begin: Vec<u32>, end: u32, longest: usize) -> Self {
        let (suppressed, suppressed_first) = (BTreeSet::new(), BTreeSet::new());
        Self { begin, end, suppressed, suppressed_first, longest, beams: 1, length_penalty: 1.0 }
    }
}

/// What a search found for one sequence.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// Ids, without the beginning and the end.
    pub ids: Vec<u32>,
    /// Log-probability divided by the length to the power of the penalty.
    pub score: f64,
}

/// One hypothesis that is being followed.
#[derive(Clone, Debug)]
struct Beam {
    ids: Vec<u32>,
    log_probability: f64,
    /// Its place among those of the sentence that it goes on from.
    parent: usize,
}

/// The best target sequence for every sequence of `source`.
///
/// The encoder runs once, the decoder over one more token at each step: it remembers the keys and values of those before. A
/// sentence is done when as many hypotheses have ended as there are beams.
pub fn decode(
    network: &Network,
    source: &Source,
    gates: &Gates,
    search: &Search,
    ticket: &Ticket,
) -> Result<Vec<Found>> {
    if search.beams == 0 || search.longest == 0 || search.begin.is_empty() {
        return Err(Error::usage("a search needs at least one beam, one token and one to begin with"));
    }
    let memory = network.encode(source, gates, &mut NoProbe)?;
    let sentences = memory.mask.sequences();
    let mut going: Vec<Vec<Beam>> =
        vec![vec![Beam { ids: search.begin.clone(), log_probability: 0.0, parent: 0 }]; sentences];
    let mut ended: Vec<Vec<Found>> = vec![Vec::new(); sentences];
    let mut past = network.remember()?;
    for length in 1..=search.longest {
        ticket.check()?;
        let rows: Vec<u32> = going.iter().enumerate().flat_map(|(s, beams)| vec![s as u32; beams.len()]).collect();
        if rows.is_empty() {
            break;
        }
        let scores = next_scores(network, &memory, &rows, &going, gates, &mut past)?;
        let mut scores = scores.into_iter();
        let (mut first, mut kept) = (0u32, Vec::new());
        for (beams, ended) in going.iter_mut().zip(&mut ended) {
            let own: Vec<Vec<f32>> = scores.by_ref().take(beams.len()).collect();
            let last = length == search.longest;
            let next = advance(beams, &own, ended, search, last);
            kept.extend(next.iter().map(|beam| first + beam.parent as u32));
            first += beams.len() as u32;
            *beams = next;
        }
        if !kept.iter().copied().eq(0..first) && !kept.is_empty() {
            let source = |row: &u32| rows.get(*row as usize).copied();
            let other_sources = !kept.iter().map(source).eq(rows.iter().copied().map(Some));
            past.select(&Tensor::new(kept, network.device())?, other_sources)?;
        }
    }
    Ok(ended
        .into_iter()
        .map(|mut found| {
            found.sort_by(|a, b| b.score.total_cmp(&a.score));
            found.into_iter().next().unwrap_or_default()
        })
        .collect())
}

/// Log-probabilities of the next id for every hypothesis.
fn next_scores(
    network: &Network,
    memory: &Hidden,
    rows: &[u32],
    going: &[Vec<Beam>],
    gates: &Gates,
    past: &mut DecoderMemory,
) -> Result<Vec<Vec<f32>>> {
    let device = memory.states.device();
    let beams: Vec<&Beam> = going.iter().flatten().collect();
    let length = beams.first().map_or(0, |b| b.ids.len());
    let ids: Vec<u32> = beams.iter().flat_map(|b| b.ids.iter().copied()).collect();
    let real = rows.iter().flat_map(|r| memory.mask.row(*r as usize).iter().copied()).collect();
    // At first every sentence has one hypothesis; later its states are not read any more.
    let mask = TokenMask::new(rows.len(), memory.mask.length(), real)?;
    let memory = Hidden { states: memory.states.clone(), mask };
    let ids = Tensor::from_vec(ids, (beams.len(), length), device)?;
    let target = Tokens::new(ids, TokenMask::full(beams.len(), length));
    let newest = network.decode_next(&memory, &target, past, gates)?;
    let logits = network.logits(&newest)?.to_dtype(DType::F32)?;
    Ok(log_softmax(&logits)?.to_vec2()?)
}

/// Follows the best continuations of one sentence; hypotheses that end go to `ended`.
fn advance(beams: &[Beam], scores: &[Vec<f32>], ended: &mut Vec<Found>, search: &Search, last: bool) -> Vec<Beam> {
    let mut candidates: Vec<(f64, usize, u32)> = Vec::new();
    for (index, (beam, row)) in beams.iter().zip(scores).enumerate() {
        let of = |(id, score): (usize, &f32)| (beam.log_probability + f64::from(*score), index, id as u32);
        let is_first = beam.ids.len() == search.begin.len();
        let barred = |id: u32| search.suppressed.contains(&id) || is_first && search.suppressed_first.contains(&id);
        candidates.extend(row.iter().enumerate().filter(|(id, _)| !barred(*id as u32)).map(of));
    }
    // Twice as many as beams: even if every other one ends, as many go on. Ties go to the earlier beam and lower id.
    let wanted = (2 * search.beams).min(candidates.len());
    let order =
        |a: &(f64, usize, u32), b: &(f64, usize, u32)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2));
    if wanted < candidates.len() {
        candidates.select_nth_unstable_by(wanted, order);
        candidates.truncate(wanted);
    }
    candidates.sort_unstable_by(order);
    let score = |log_probability: f64, length: usize| log_probability / (length as f64).powf(search.length_penalty);
    let mut next = Vec::with_capacity(search.beams);
    for (rank, (log_probability, index, id)) in candidates.into_iter().enumerate() {
        let Some(beam) = beams.get(index) else { continue };
        let produced = beam.ids.len() - search.begin.len() + 1;
        let ids = || beam.ids.iter().skip(search.begin.len()).copied();
        if id == search.end {
            // One that ends outside the best is no rival to those that go on.
            if rank < search.beams {
                ended.push(Found { ids: ids().collect(), score: score(log_probability, produced) });
            }
        } else if last {
            if rank < search.beams {
                ended.push(Found { ids: ids().chain([id]).collect(), score: score(log_probability, produced) });
            }
        } else if next.len() < search.beams {
            let ids = beam.ids.iter().copied().chain([id]).collect();
            next.push(Beam { ids, log_probability, parent: index });
        }
    }
    if ended.len() >= search.beams { Vec::new() } else { next }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::path::Path;

    use candle_core::{D, Device, IndexOp};

    use super::*;
    use crate::model::Model;
    use crate::network::Batch;

    /// The bart fixture and its padded sources.
    fn setup() -> (Network, Source) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/bart");
        let network = Model::open(&folder).unwrap().network(&Device::Cpu, DType::F32).unwrap();
        let inputs: HashMap<String, Tensor> =
            candle_core::safetensors::load(folder.join("reference.safetensors"), &Device::Cpu).unwrap();
        let ids = &inputs["input_ids"];
        let (n, t) = ids.dims2().unwrap();
        let mask = inputs["attention_mask"].flatten_all().unwrap().to_vec1::<i64>().unwrap();
        let mask = TokenMask::new(n, t, mask.iter().map(|m| *m != 0).collect()).unwrap();
        assert!(!mask.is_full());
        (network, Source::Tokens(Tokens::new(ids.to_dtype(DType::U32).unwrap(), mask)))
    }

    /// Log-probabilities after each prefix by the whole model with teacher forcing, one sentence at a time.
    fn log_probabilities(network: &Network, source: &Source, sentence: usize, read: &[u32]) -> Vec<Vec<f32>> {
        let Source::Tokens(tokens) = source else { panic!() };
        let real: Vec<u32> = tokens.ids.i(sentence).unwrap().to_vec1().unwrap();
        let real: Vec<u32> =
            real.into_iter().zip(tokens.mask.row(sentence)).filter(|(_, r)| **r).map(|(id, _)| id).collect();
        let pad = |ids: &[u32]| Tokens::pad(&[(ids.to_vec(), vec![true; ids.len()])], 0, &Device::Cpu).unwrap();
        let batch = Batch::new(Source::Tokens(pad(&real)), Some(pad(read)));
        let logits = network.run(&batch).unwrap().i(0).unwrap();
        candle_nn::ops::log_softmax(&logits, D::Minus1).unwrap().to_vec2().unwrap()
    }

    #[test]
    fn greedy_search_takes_the_most_likely_id_each_time() {
        let (network, source) = setup();
        let found =
            decode(&network, &source, &Gates::open(), &Search::greedy(vec![2], 2, 6), &Ticket::default()).unwrap();
        for (sentence, found) in found.iter().enumerate() {
            let (mut read, mut ids) = (vec![2u32], Vec::new());
            for _ in 0..6 {
                let rows = log_probabilities(&network, &source, sentence, &read);
                let row = rows.last().unwrap();
                let best = (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap() as u32;
                if best == 2 {
                    break;
                }
                ids.push(best);
                read.push(best);
            }
            assert_eq!(found.ids, ids);
        }
    }

    /// The same search with the whole prefix read anew at each step.
    fn found_anew(network: &Network, source: &Source, gates: &Gates, search: &Search) -> Vec<Found> {
        let memory = network.encode(source, gates, &mut NoProbe).unwrap();
        let mut all = Vec::new();
        for sentence in 0..memory.mask.sequences() {
            let (mut ended, mut going) =
                (Vec::new(), vec![Beam { ids: search.begin.clone(), log_probability: 0.0, parent: 0 }]);
            for length in 1..=search.longest {
                let Some(first) = going.first() else { break };
                let rows = vec![sentence as u32; going.len()];
                let real = rows.iter().flat_map(|_| memory.mask.row(sentence).iter().copied()).collect();
                let states = memory.states.index_select(&Tensor::new(rows, &Device::Cpu).unwrap(), 0).unwrap();
                let mask = TokenMask::new(going.len(), memory.mask.length(), real).unwrap();
                let ids: Vec<u32> = going.iter().flat_map(|beam| beam.ids.iter().copied()).collect();
                let ids = Tensor::from_vec(ids, (going.len(), first.ids.len()), &Device::Cpu).unwrap();
                let target = Tokens::new(ids, TokenMask::full(going.len(), first.ids.len()));
                let hidden = network.decode(&Hidden { states, mask }, &target, gates, &mut NoProbe).unwrap();
                let newest = hidden.states.i((.., first.ids.len() - 1)).unwrap();
                let scores = log_softmax(&network.logits(&newest).unwrap()).unwrap().to_vec2().unwrap();
                going = advance(&going, &scores, &mut ended, search, length == search.longest);
            }
            ended.sort_by(|a, b| b.score.total_cmp(&a.score));
            all.push(ended.remove(0));
        }
        all
    }

    #[test]
    fn what_is_remembered_gives_the_same_tokens_as_reading_anew() {
        let mut tokens = 0;
        for family in ["bart", "mbart", "pegasus", "blenderbot", "marian", "m2m_100", "whisper", "t5"] {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(family);
            let model = Model::open(&folder).unwrap();
            let network = model.network(&Device::Cpu, DType::F32).unwrap();
            let inputs = candle_core::safetensors::load(folder.join("reference.safetensors"), &Device::Cpu).unwrap();
            let source = match inputs.get("input_features") {
                Some(frames) => Source::Frames(frames.clone()),
                None => {
                    let (n, t) = inputs["input_ids"].dims2().unwrap();
                    let mask = match inputs.get("attention_mask") {
                        Some(mask) => {
                            mask.flatten_all().unwrap().to_vec1::<i64>().unwrap().iter().map(|m| *m != 0).collect()
                        }
                        None => vec![true; n * t],
                    };
                    let ids = inputs["input_ids"].to_dtype(DType::U32).unwrap();
                    Source::Tokens(Tokens::new(ids, TokenMask::new(n, t, mask).unwrap()))
                }
            };
            let mask = std::fs::read_to_string(folder.join("mask.json")).unwrap();
            let kept = crate::plan::Plan::parse_any(&mask).unwrap().kept;
            for gates in [Gates::open(), Gates::keep(network.spec(), &kept, DType::F32, &Device::Cpu).unwrap()] {
                for (prompt, beams) in [(vec![2], 1), (vec![1, 5, 7], 1), (vec![2], 3), (vec![1, 9], 4)] {
                    let search = Search { beams, ..Search::greedy(prompt, 2, 9) };
                    let found = decode(&network, &source, &gates, &search, &Ticket::default()).unwrap();
                    let anew = found_anew(&network, &source, &gates, &search);
                    for (found, anew) in found.iter().zip(&anew) {
                        assert_eq!(found.ids, anew.ids, "{family}, {beams} beams");
                        assert!((found.score - anew.score).abs() < 1e-4, "{family}: {found:?} {anew:?}");
                        tokens += found.ids.len();
                    }
                }
            }
        }
        assert!(tokens > 300, "{tokens}");
    }

    #[test]
    fn as_many_beams_as_ids_find_the_best_of_all_sequences() {
        let (network, source) = setup();
        for length_penalty in [0.0, 1.0] {
            let search = Search { beams: 96, length_penalty, ..Search::greedy(vec![2], 2, 2) };
            let found = decode(&network, &source, &Gates::open(), &search, &Ticket::default()).unwrap();
            for (sentence, found) in found.iter().enumerate() {
                // Every sequence of up to two ids: the end alone, an id and the end, two ids cut off.
                let first = &log_probabilities(&network, &source, sentence, &[2])[0];
                let mut best = (f64::from(first[2]), vec![]);
                for a in (0..96u32).filter(|a| *a != 2) {
                    let second = &log_probabilities(&network, &source, sentence, &[2, a])[1];
                    for b in 0..96u32 {
                        let sum = f64::from(first[a as usize]) + f64::from(second[b as usize]);
                        let ids = if b == 2 { vec![a] } else { vec![a, b] };
                        let score = sum / 2f64.powf(length_penalty);
                        if score > best.0 {
                            best = (score, ids);
                        }
                    }
                }
                assert!((found.score - best.0).abs() < 1e-5, "{found:?} {best:?}");
                assert_eq!(found.ids, best.1);
            }
        }
    }
}
