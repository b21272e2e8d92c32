//! Models of sentence embeddings: likeness of pairs and retrieval, by their own pooling.
use std::path::Path;

use candle_core::{Device, IndexOp, Tensor};
use pillars::Ticket;
use pillars::corpus::{DataColumns, Input};
use pillars::model::Model;
use pillars::network::{Batch, Source, TokenMask, Tokens};
use pillars::run::{Opened, Spec};

use crate::common::fixtures;
use crate::common::words::model_of;

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// A BERT fixture without a head, as sentence-transformers keeps models.
fn model() -> (tempfile::TempDir, Model) {
    let (folder, _) = model_of(&fixtures().join("bert"));
    let module = |n: usize, path: &str, kind: &str| serde_json::json!({"idx": n, "name": n.to_string(), "path": path, "type": format!("sentence_transformers.models.{kind}")});
    let modules =
        [module(0, "", "Transformer"), module(1, "1_Pooling", "Pooling"), module(2, "2_Normalize", "Normalize")];
    write(folder.path(), "modules.json", &serde_json::Value::from(modules.to_vec()).to_string());
    write(
        folder.path(),
        "1_Pooling/config.json",
        r#"{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}"#,
    );
    write(folder.path(), "sentence_bert_config.json", r#"{"max_seq_length": 12, "do_lower_case": false}"#);
    let prompts = r#"{"prompts": {"query": "w80 ", "document": ""}, "default_prompt_name": null}"#;
    write(folder.path(), "config_sentence_transformers.json", prompts);
    let model = Model::open(folder.path()).unwrap();
    (folder, model)
}

/// The state of the first token, of length 1, by a pass of its own.
fn embedding(model: &Model, words: &[u32]) -> Vec<f32> {
    let network = model.network(&Device::Cpu, candle_core::DType::F32).unwrap();
    let ids: Vec<u32> = [&[1], words, &[2]].concat();
    let tokens = Tokens::new(
        Tensor::new(ids.as_slice(), &Device::Cpu).unwrap().unsqueeze(0).unwrap(),
        TokenMask::full(1, ids.len()),
    );
    let batch = Batch::new(Source::Tokens(tokens), None);
    let hidden = network.hidden(&batch, &pillars::network::Gates::open(), &mut pillars::network::NoProbe).unwrap();
    let first: Vec<f32> = hidden.states.i((0, 0)).unwrap().to_vec1().unwrap();
    let norm = first.iter().map(|x| x * x).sum::<f32>().sqrt();
    first.iter().map(|x| x / norm).collect()
}

fn product(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
}

fn evaluated(folder: &Path, path: &Path) -> pillars::Result<pillars::run::Scored> {
    let opened = Opened::open(folder, &Ticket::default())?;
    let input = Input::Data { path: path.to_path_buf(), columns: DataColumns::default() };
    let spec = Spec { input: Some(input), batch_size: Some(3), ..Spec::default() };
    spec.check(&opened).map_err(pillars::refusal)?.evaluate(&Ticket::default())
}

#[test]
fn pairs_are_judged_by_the_cosine_of_their_own_embeddings() {
    let (folder, model) = model();
    let pairs =
        [([10u32, 11], [12, 13], 4.5), ([20, 21], [20, 22], 1.0), ([30, 40], [41, 31], 2.0), ([50, 51], [52, 53], 3.0)];
    let mut table = "sentence1\tsentence2\tscore\n".to_owned();
    for (a, b, score) in pairs {
        table.push_str(&format!("w{} w{}\tw{} w{}\t{score}\n", a[0], a[1], b[0], b[1]));
    }
    let path = folder.path().join("sts.tsv");
    write(folder.path(), "sts.tsv", &table);
    let scored = evaluated(folder.path(), &path).unwrap();
    let found = &scored.quality.metrics["spearman"];
    let cosines: Vec<f64> =
        pairs.iter().map(|(a, b, _)| product(&embedding(&model, a), &embedding(&model, b))).collect();
    // Ranks of four numbers without ties: 1 - 6 sum d^2 / (n (n^2 - 1)).
    let rank = |values: &[f64], at: usize| values.iter().filter(|x| **x < values[at]).count() as f64;
    let said: Vec<f64> = pairs.iter().map(|(.., score)| *score).collect();
    let apart: f64 = (0..4).map(|at| (rank(&cosines, at) - rank(&said, at)).powi(2)).sum();
    assert!((found.value - 100.0 * (1.0 - 6.0 * apart / 60.0)).abs() < 1e-9, "{found:?}");
    assert!(found.n == 4 && found.convention.contains("cls pooling, normalized"), "{found:?}");
    assert_eq!(scored.quality.task_metric().unwrap().0, "spearman");
    // Without its modules nothing says that it embeds sentences: what would is told.
    std::fs::remove_file(folder.path().join("modules.json")).unwrap();
    let notes = evaluated(folder.path(), &path).unwrap().notes.join("; ");
    assert!(notes.contains("put modules.json and its pooling"), "{notes}");
}

#[test]
fn documents_are_ranked_for_every_query() {
    let (folder, model) = model();
    let data = folder.path().join("nfc");
    let documents: Vec<[u32; 2]> = (0..14).map(|n| [10 + 2 * n, 11 + 3 * n]).collect();
    let rows = documents.iter().enumerate();
    let corpus = rows.map(|(n, [a, b])| format!("{{\"_id\": \"d{n:02}\", \"title\": \"w{a}\", \"text\": \"w{b}\"}}\n"));
    write(&data, "corpus.jsonl", &corpus.collect::<String>());
    let queries = "{\"_id\": \"q1\", \"text\": \"w14 w15\"}\n{\"_id\": \"unjudged\", \"text\": \"w9\"}\n{\"_id\": \"q2\", \"text\": \"w60\"}\n";
    write(&data, "queries.jsonl", queries);
    write(&data, "qrels.tsv", "query-id\tcorpus-id\tscore\nq1\td02\t2\nq1\td05\t1\nq1\td06\t0\nq2\td11\t1\n");
    let scored = evaluated(folder.path(), &data).unwrap();
    let embedded: Vec<Vec<f32>> = documents.iter().map(|words| embedding(&model, words)).collect();
    let mut want = [0.0; 2];
    for (query, grades) in [(&[80u32, 14, 15][..], &[(2usize, 2.0), (5, 1.0)][..]), (&[80, 60], &[(11, 1.0)])] {
        let query = embedding(&model, query);
        let mut order: Vec<usize> = (0..14).collect();
        order.sort_by(|a, b| product(&query, &embedded[*b]).total_cmp(&product(&query, &embedded[*a])));
        let gain = |rank: usize, grade: f64| grade / ((rank + 2) as f64).log2();
        let at = |document: usize| order.iter().position(|own| *own == document).unwrap();
        let ideal: f64 = grades.iter().enumerate().map(|(rank, (_, grade))| gain(rank, *grade)).sum();
        let got: f64 = grades.iter().filter(|(d, _)| at(*d) < 10).map(|(d, grade)| gain(at(*d), *grade)).sum();
        want[0] += got / ideal / 2.0;
        want[1] += grades.iter().filter(|(d, _)| at(*d) < 10).count() as f64 / grades.len() as f64 / 2.0;
    }
    for (name, want) in [("ndcg_at_10", want[0]), ("recall_at_10", want[1]), ("recall_at_100", 1.0)] {
        let got = scored.quality.metrics[name].value;
        assert!((got - want).abs() < 1e-6, "{name}: {got} instead of {want}");
    }
    write(&data, "qrels.tsv", "q1\td99\t1\n");
    let error = evaluated(folder.path(), &data).unwrap_err().to_string();
    assert!(error.contains("row 1: corpus.jsonl has no 'd99'"), "{error}");
    std::fs::remove_file(data.join("queries.jsonl")).unwrap();
    let error = evaluated(folder.path(), &data).unwrap_err().to_string();
    assert!(error.contains("queries.jsonl"), "{error}");
}
