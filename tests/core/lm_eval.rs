//! Log-likelihoods of endings in the layouts of published sets, against lm-eval's own templates and pairing with the bundled
//! decoder: `tests/data/lm_eval`.
use std::path::Path;

use candle_core::{DType, Device, IndexOp, Tensor};
use pillars::Ticket;
use pillars::corpus::{Corpus, CorpusSettings, DataColumns, Input, Intake, Purpose};
use pillars::model::Model;
use pillars::network::{Batch, TokenMask, Tokens};
use serde_json::Value;

use crate::common::test_data;

#[test]
fn log_likelihoods_are_those_of_lm_eval() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample_models/austen-plain");
    let model = Model::open(&folder).unwrap();
    let network = model.network(&Device::Cpu, DType::F32).unwrap();
    let text = std::fs::read_to_string(test_data().join("lm_eval/references.json")).unwrap();
    let references: Value = serde_json::from_str(&text).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let mut compared = 0;
    for (set, cases) in references.as_object().unwrap() {
        let rows: Vec<String> = cases.as_array().unwrap().iter().map(|case| case["row"].to_string()).collect();
        let path = scratch.path().join(format!("{set}.jsonl"));
        std::fs::write(&path, rows.join("\n")).unwrap();
        let input = Input::Data { path, columns: DataColumns::default() };
        let settings = CorpusSettings { purpose: Purpose::Score, ..CorpusSettings::default() };
        let corpus =
            Corpus::open(&input, &folder, &Intake::of(&model).unwrap(), &settings, &Ticket::default()).unwrap();
        let questions = corpus.questions(&Ticket::default()).unwrap().unwrap_or_else(|| panic!("{set} is not known"));
        for (question, case) in questions.iter().zip(cases.as_array().unwrap()) {
            assert_eq!(u64::from(question.right), case["right"].as_u64().unwrap(), "{set}");
            let want = case["log_likelihoods"].as_array().unwrap();
            assert_eq!(question.endings.len(), want.len(), "{set}");
            for (at, (ending, want)) in question.endings.iter().zip(want).enumerate() {
                let ids = Tensor::new(ending.ids.as_slice(), &Device::Cpu).unwrap().unsqueeze(0).unwrap();
                let batch = Batch::tokens(Tokens::new(ids, TokenMask::full(1, ending.ids.len())));
                let logits = network.run(&batch).unwrap().i(0).unwrap().to_vec2::<f32>().unwrap();
                let labeled = logits.iter().zip(&ending.labels).filter_map(|(row, label)| Some((row, (*label)?)));
                let got: f64 = labeled
                    .map(|(row, label)| {
                        let sum: f64 = row.iter().map(|x| f64::from(*x).exp()).sum();
                        f64::from(row[label as usize]) - sum.ln()
                    })
                    .sum();
                let want = want.as_f64().unwrap();
                assert!((got - want).abs() < 1e-4, "{set}, ending {at}: {got} instead of {want}");
                // WinoGrande puts its options into the beginning.
                if set != "winogrande" {
                    assert_eq!(Some(ending.chars as u64), case["characters"][at].as_u64(), "{set}");
                }
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 33);
}
