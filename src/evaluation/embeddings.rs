//! Embeddings of sentences as a folder of sentence-transformers makes them, and how they are judged: likeness and retrieval.

use std::path::Path;

use candle_core::{DType, Device, IndexOp, Tensor};
use rayon::prelude::*;
use serde_json::{Map, Value};

use super::answers::Answer;
use super::metrics::{TaskMetric, mean, pairs, spearman};
use super::quality::{Candidate, remedy};
use super::similarity::cosine;
use crate::checkpoint::{Config, read_file};
use crate::corpus::{Corpus, Purpose, Relevance};
use crate::error::{Error, Result};
use crate::network::NoProbe;
use crate::task::Ticket;

/// Ranks that count in nDCG, and in the two recalls.
const NDCG_AT: usize = 10;
const RECALL_AT: [usize; 2] = [10, 100];

/// A way to make one vector of the states of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PoolingMode {
    Cls,
    Mean,
    Max,
    /// The sum over the root of the length.
    MeanSqrt,
    /// The mean, in which a later token counts more.
    Weighted,
    Last,
}

const MODES: [(&str, &str, PoolingMode); 6] = [
    ("pooling_mode_cls_token", "cls", PoolingMode::Cls),
    ("pooling_mode_max_tokens", "max", PoolingMode::Max),
    ("pooling_mode_mean_tokens", "mean", PoolingMode::Mean),
    ("pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens", PoolingMode::MeanSqrt),
    ("pooling_mode_weightedmean_tokens", "weightedmean", PoolingMode::Weighted),
    ("pooling_mode_lasttoken", "lasttoken", PoolingMode::Last),
];

/// How a model makes embeddings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SentencePooling {
    /// One behind the other.
    modes: Vec<PoolingMode>,
    normalizes: bool,
    /// Whether embeddings are compared by their products.
    by_product: bool,
}

impl SentencePooling {
    /// That of the folder, by its `modules.json`.
    ///
    /// # Errors
    /// Where there is none, or a module is not computed here.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("modules.json");
        let missing =
            |e| Error::from(e).at(&path).hint("it says how sentences are pooled: take a sentence-transformers folder");
        let modules: Vec<Map<String, Value>> =
            serde_json::from_slice(&read_file(&path).map_err(missing)?).map_err(|e| Error::from(e).at(&path))?;
        let (mut modes, mut normalizes) = (None, false);
        for module in &modules {
            let word = |key: &str| module.get(key).and_then(Value::as_str).unwrap_or_default();
            match word("type").rsplit('.').next().unwrap_or_default() {
                "Transformer" => {}
                "Normalize" => normalizes = true,
                "Pooling" => {
                    let inside = Path::new(word("path"));
                    if inside.components().any(|part| !matches!(part, std::path::Component::Normal(_))) {
                        return Err(Error::new(format!("'{}' leads out of the folder", inside.display())).at(&path));
                    }
                    modes = Some(modes_of(&Config::read(&folder.join(inside).join("config.json"))?)?);
                }
                other => {
                    let what = format!("the model ends with a module '{other}', which is not computed");
                    return Err(Error::new(what)
                        .at(&path)
                        .hint("embeddings are judged behind pooling and normalization alone"));
                }
            }
        }
        let modes = modes.ok_or_else(|| Error::new("no module pools").at(&path))?;
        let path = folder.join("config_sentence_transformers.json");
        let by_product =
            path.is_file() && matches!(Config::read(&path)?.text_opt("similarity_fn_name")?, Some("dot" | "dot_score"));
        Ok(Self { modes, normalizes, by_product })
    }

    /// What it does, for the convention of a number.
    fn name(&self) -> String {
        let names: Vec<&str> =
            self.modes.iter().filter_map(|mode| Some(MODES.iter().find(|(.., own)| own == mode)?.1)).collect();
        format!("{} pooling{}", names.join(" and "), if self.normalizes { ", normalized" } else { "" })
    }

    /// The embedding of states `[T, D]`, all of real tokens.
    fn of(&self, states: &Tensor) -> Result<Vec<f32>> {
        let length = states.dim(0)?;
        let mut all = Vec::new();
        for mode in &self.modes {
            let one = match mode {
                PoolingMode::Cls => states.i(0)?,
                PoolingMode::Last => states.i(length.saturating_sub(1))?,
                PoolingMode::Max => states.max(0)?,
                PoolingMode::Mean => states.mean(0)?,
                PoolingMode::MeanSqrt => (states.sum(0)? / (length as f64).sqrt())?,
                PoolingMode::Weighted => {
                    let weights: Vec<f32> = (1..=length).map(|n| n as f32).collect();
                    let weights = Tensor::from_vec(weights, (length, 1), states.device())?;
                    (states.broadcast_mul(&weights)?.sum(0)? / ((length * (length + 1)) as f64 / 2.0))?
                }
            };
            all.extend(one.to_vec1::<f32>()?);
        }
        if self.normalizes {
            let norm = all.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt().max(1e-12);
            all.iter_mut().for_each(|x| *x = (f64::from(*x) / norm) as f32);
        }
        Ok(all)
    }

    fn likeness(&self, a: &[f32], b: &[f32]) -> f64 {
        if self.by_product { a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum() } else { cosine(a, b) }
    }
}

fn modes_of(config: &Config) -> Result<Vec<PoolingMode>> {
    if let Some(named) = config.text_opt("pooling_mode")? {
        let known = MODES.iter().find(|(_, name, _)| *name == named).map(|(.., mode)| vec![*mode]);
        return known.ok_or_else(|| {
            config.wrong("pooling_mode", "cls, max, mean, mean_sqrt_len_tokens, weightedmean or lasttoken")
        });
    }
    if !config.flag_or("include_prompt", true)? {
        return Err(config.unsupported("'include_prompt' is false, which is not supported"));
    }
    let mut found = Vec::new();
    for (key, _, mode) in MODES {
        if config.flag_or(key, false)? {
            found.push(mode);
        }
    }
    if found.is_empty() { Err(config.unsupported("no way to pool is switched on")) } else { Ok(found) }
}

/// The embedding of every sequence that is read, at its place in the input.
fn embed(
    candidate: Candidate<'_>,
    corpus: &Corpus,
    pooling: &SentencePooling,
    ticket: &Ticket,
) -> Result<Vec<Option<Vec<f32>>>> {
    let mut found: Vec<Option<Vec<f32>>> = Vec::new();
    ticket.stage("embed", corpus.total().map(|t| t.value()), "batches");
    // Nothing is hidden from a model that could find it.
    let corpus = corpus.with(|s| s.purpose = Purpose::Observe);
    for batch in corpus.batches(candidate.network.device()) {
        let batch = batch?;
        let hidden = candidate.network.hidden(&batch, candidate.gates, &mut NoProbe)?;
        let states = hidden.states.to_dtype(DType::F32)?.to_device(&Device::Cpu)?;
        for (n, place) in batch.items.places.iter().flatten().enumerate() {
            let real: Vec<u32> =
                (0u32..).zip(hidden.mask.row(n)).filter(|(_, real)| **real).map(|(at, _)| at).collect();
            let own = states.i(n)?.index_select(&Tensor::new(real, &Device::Cpu)?, 0)?;
            let place = usize::try_from(*place).map_err(|_| Error::new("too many sequences"))?;
            if found.len() <= place {
                found.resize(place + 1, None);
            }
            let embedding = pooling.of(&own)?;
            if embedding.iter().any(|x| !x.is_finite()) {
                return Err(Error::new("the model's results are not finite").hint(remedy(candidate.network)));
            }
            found[place] = Some(embedding);
        }
        ticket.advance(1)?;
    }
    Ok(found)
}

/// Holds the likeness of the two texts of every pair against what people say of it.
pub(super) fn likenesses(
    candidate: Candidate<'_>,
    corpus: &Corpus,
    said: &[f64],
    pooling: &SentencePooling,
    ticket: &Ticket,
) -> Result<Vec<Answer>> {
    let embeddings = embed(candidate, corpus, pooling, ticket)?;
    let answer = |(pair, right): (&[Option<Vec<f32>>], &f64)| match pair {
        [Some(a), Some(b)] => Some(Answer::Numbers { said: vec![cosine(a, b)], right: vec![*right] }),
        _ => None,
    };
    Ok(embeddings.chunks(2).zip(said).filter_map(answer).collect())
}

/// How far likenesses go with what people say.
pub(super) fn likeness_metrics(pooling: &SentencePooling) -> Vec<TaskMetric> {
    let convention =
        format!("100 times Spearman's rank correlation of cosines with what people say, {}", pooling.name());
    vec![TaskMetric::new("spearman", convention, |a, d| 100.0 * spearman(&pairs(a, d)))]
}

/// Ranks the documents for every query.
pub(super) fn retrieve(
    candidate: Candidate<'_>,
    corpus: &Corpus,
    relevance: &Relevance,
    pooling: &SentencePooling,
    ticket: &Ticket,
) -> Result<Vec<Answer>> {
    let embeddings = embed(candidate, corpus, pooling, ticket)?;
    let all: Option<Vec<Vec<f32>>> = embeddings.into_iter().collect();
    let documents = relevance.documents.len();
    let all = all.filter(|all| all.len() == documents + relevance.queries.len()).ok_or_else(|| {
        Error::usage("retrieval ranks all documents, and not all were read")
            .hint("leave out --batches and --held-out-every")
    })?;
    let (documents, queries) = all.split_at(documents);
    let answers = queries
        .par_iter()
        .enumerate()
        .map(|(at, query)| {
            let scores = documents.iter().map(|document| pooling.likeness(query, document));
            ranked(relevance, at, scores.collect())
        })
        .collect();
    Ok(answers)
}

/// Where the right documents stand.
pub(super) fn retrieval_metrics(pooling: &SentencePooling) -> Vec<TaskMetric> {
    let by = if pooling.by_product { "dot product" } else { "cosine" };
    let of = |what: String| format!("{what}, mean over queries, by {by} with {}", pooling.name());
    let ndcg =
        TaskMetric::new("ndcg_at_10", of("nDCG of the first 10 documents, gains as graded".to_owned()), |a, d| {
            mean(a, d, |answer| if let Answer::Ranked { ndcg, .. } = answer { Some(*ndcg) } else { None })
        });
    let recall = |name: &'static str, which: usize| {
        let what = format!("share of the right documents among the first {}", RECALL_AT[which]);
        TaskMetric::new(name, of(what), move |a, d| {
            mean(a, d, |answer| if let Answer::Ranked { recall, .. } = answer { Some(recall[which]) } else { None })
        })
    };
    vec![ndcg, recall("recall_at_10", 0), recall("recall_at_100", 1)]
}

/// nDCG and recalls of one query by the scores of all documents; a document of the query's own name is left out, as BEIR
/// does, and equal scores go by names from the last one, as trec_eval has it.
fn ranked(relevance: &Relevance, query: usize, scores: Vec<f64>) -> Answer {
    let Relevance { documents, queries, judged } = relevance;
    let own = queries.get(query);
    let mut order: Vec<usize> = (0..scores.len()).filter(|at| documents.get(*at) != own).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]).then_with(|| documents[*b].cmp(&documents[*a])));
    let nothing = Default::default();
    let judged = judged.get(query).unwrap_or(&nothing);
    let gain = |grades: &mut dyn Iterator<Item = u32>| -> f64 {
        let discounted = |(rank, grade): (usize, u32)| f64::from(grade) / ((rank + 2) as f64).log2();
        grades.take(NDCG_AT).enumerate().map(discounted).sum()
    };
    let grade = |at: &usize| judged.get(at).copied().unwrap_or(0);
    let mut ideal: Vec<u32> = judged.values().copied().collect();
    ideal.sort_unstable_by(|a, b| b.cmp(a));
    let ndcg = gain(&mut order.iter().map(grade)) / gain(&mut ideal.into_iter());
    let recall = RECALL_AT
        .map(|most| order.iter().take(most).filter(|at| judged.contains_key(at)).count() as f64 / judged.len() as f64);
    Answer::Ranked { ndcg, recall }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn rankings_are_scored_as_pytrec_eval_and_scikit_learn_do() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/retrieval/references.json");
        let references: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let documents: Vec<String> = serde_json::from_value(references["documents"].clone()).unwrap();
        let cases = references["rankings"].as_array().unwrap();
        assert!(cases.len() >= 6);
        for case in cases {
            let grades: HashMap<usize, u32> = serde_json::from_value(case["judged"].clone()).unwrap();
            let relevance =
                Relevance { documents: documents.clone(), queries: vec!["q".to_owned()], judged: vec![grades] };
            let scores: Vec<f64> = serde_json::from_value(case["scores"].clone()).unwrap();
            let Answer::Ranked { ndcg, recall } = ranked(&relevance, 0, scores) else { panic!() };
            for (name, got) in [("ndcg_at_10", ndcg), ("recall_at_10", recall[0]), ("recall_at_100", recall[1])] {
                assert!((got - case[name].as_f64().unwrap()).abs() < 1e-12, "{name} of {case}: {got}");
            }
        }
        // Equals go by names from the last one; the query itself is no answer to itself.
        let named = |names: [&str; 3]| names.map(str::to_owned).to_vec();
        let judged = vec![HashMap::from([(2, 1)])];
        let relevance = Relevance { documents: named(["a", "b", "c"]), queries: vec!["a".to_owned()], judged };
        let Answer::Ranked { ndcg, .. } = ranked(&relevance, 0, vec![9.0, 1.0, 1.0]) else { panic!() };
        assert_eq!(ndcg, 1.0);
    }

    #[test]
    fn states_are_pooled_as_sentence_transformers_does() {
        let states = Tensor::new(&[[1f32, -2.0], [3.0, 0.0], [2.0, 8.0]], &Device::Cpu).unwrap();
        let pooled = |mode, normalizes| {
            SentencePooling { modes: vec![mode], normalizes, by_product: false }.of(&states).unwrap()
        };
        assert_eq!(pooled(PoolingMode::Cls, false), [1.0, -2.0]);
        assert_eq!(pooled(PoolingMode::Last, false), [2.0, 8.0]);
        assert_eq!(pooled(PoolingMode::Max, false), [3.0, 8.0]);
        assert_eq!(pooled(PoolingMode::Mean, false), [2.0, 2.0]);
        let root = 6.0 / 3f32.sqrt();
        assert!(pooled(PoolingMode::MeanSqrt, false).iter().all(|x| (x - root).abs() < 1e-6));
        // (1 + 6 + 6) / 6 and (-2 + 0 + 24) / 6.
        let weighted = pooled(PoolingMode::Weighted, false);
        assert!((weighted[0] - 13.0 / 6.0).abs() < 1e-6 && (weighted[1] - 22.0 / 6.0).abs() < 1e-6);
        assert!(pooled(PoolingMode::Mean, true).iter().all(|x| (x - 0.5f32.sqrt()).abs() < 1e-6));
    }

    #[test]
    fn the_folder_says_how_sentences_are_pooled() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let module =
            |path: &str, kind: &str| format!(r#"{{"path": "{path}", "type": "sentence_transformers.models.{kind}"}}"#);
        let modules = |more: &[String]| {
            format!("[{}]", [&[module("", "Transformer"), module("1_Pooling", "Pooling")], more].concat().join(","))
        };
        assert!(SentencePooling::read(folder.path()).unwrap_err().to_string().contains("modules.json"));
        write("modules.json", &modules(&[module("2_Normalize", "Normalize")]));
        write("1_Pooling/config.json", r#"{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}"#);
        let found = SentencePooling::read(folder.path()).unwrap();
        assert_eq!(found, SentencePooling { modes: vec![PoolingMode::Cls], normalizes: true, by_product: false });
        assert_eq!(found.name(), "cls pooling, normalized");
        write("config_sentence_transformers.json", r#"{"similarity_fn_name": "dot"}"#);
        write("1_Pooling/config.json", r#"{"pooling_mode": "lasttoken"}"#);
        write("modules.json", &modules(&[]));
        let found = SentencePooling::read(folder.path()).unwrap();
        assert_eq!(found, SentencePooling { modes: vec![PoolingMode::Last], normalizes: false, by_product: true });
        write("modules.json", &modules(&[module("2_Dense", "Dense")]));
        assert!(
            SentencePooling::read(folder.path()).unwrap_err().to_string().contains("'Dense', which is not computed")
        );
        write("modules.json", &modules(&[]).replace("1_Pooling", "../1_Pooling"));
        assert!(SentencePooling::read(folder.path()).unwrap_err().to_string().contains("leads out of the folder"));
    }
}
