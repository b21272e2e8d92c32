//! Rows with named columns, in every kind of file.

use std::fs;

use pillars::Ticket;
use pillars::corpus::{DataColumns, Input, InputPreview, Intake, Purpose};
use serde_json::json;

use super::inputs::read_all;
use super::{MODERATE_BYTES, fuzz};
use crate::common::test_data;
use crate::common::words::model_of;

/// Damages rows that a model of a task reads and is scored on.
fn fuzz_rows(name: &str, task: &str, seed: Vec<u8>, columns: DataColumns) {
    let (folder, model) = model_of(&test_data().join("tasks").join(task));
    let path = folder.path().join(name);
    let input = Input::Data { path: path.clone(), columns };
    fuzz(&format!("data: {name}"), &[seed], &path, MODERATE_BYTES, || read_all(&model, &input, Purpose::Score));
}

#[test]
fn texts_with_labels() {
    let task = "bertforsequenceclassification";
    let csv = "idx,sentence,label\n0,w10 w11,positive\n1,\"w12, \"\"un\"\"\",negative\n2,w13 undo w15,Neutral\n";
    fuzz_rows("rows.csv", task, csv.into(), DataColumns::default());
    let tsv = "premise\thypothesis\tlabel\nw10 w11\tw12\tneutral\nw13\tw14\tpositive\n";
    fuzz_rows("rows.tsv", task, tsv.into(), DataColumns::default());
    let row =
        |n: u32| json!({"sentence": format!("w{n} un w{}", n + 1), "label": n % 3, "more": [n, null]}).to_string();
    let rows = (10..20).map(row).collect::<Vec<_>>().join("\n");
    fuzz_rows("rows.jsonl", task, rows.into(), DataColumns::default());
}

#[test]
fn parquet() {
    let (folder, model) = model_of(&test_data().join("tasks/bertforsequenceclassification"));
    let intake = Intake::of(&model).unwrap();
    for name in ["rows.parquet", "rows.gzip.parquet"] {
        let seed = fs::read(test_data().join("parquet").join(name)).unwrap();
        let path = folder.path().join(name);
        let input = Input::Data { path: path.clone(), columns: DataColumns::default() };
        // A row of these is empty, which ends a pass over them.
        fuzz(&format!("data: {name}"), &[seed], &path, MODERATE_BYTES, || {
            InputPreview::of(&input, folder.path(), &intake, usize::MAX, &Ticket::default()).map(drop)
        });
    }
}

#[test]
fn tagged_words() {
    let conll = "-DOCSTART- -X- O O\n\nw10 NNP B-PER\nundo VB I-PER\nw11 . O\n\nw12 X B-LOC\n";
    fuzz_rows("rows.conll", "bertfortokenclassification", conll.into(), DataColumns::default());
}

#[test]
fn endings_to_choose_from() {
    let swag = "sent1,sent2,ending0,ending1,label\nw10,w11,w12,w13 w14,1\nw15,w16,w17,w18,0\n";
    fuzz_rows("choices.csv", "bertformultiplechoice", swag.into(), DataColumns::default());
}

#[test]
fn squad() {
    let answers = json!([{"text": "w12 w13", "answer_start": 8}, {"text": "w13", "answer_start": 12}]);
    let asked = |id: &str, impossible: bool| {
        let answers = if impossible { json!([]) } else { answers.clone() };
        json!({"question": "w6 w7", "id": id, "answers": answers, "is_impossible": impossible})
    };
    let paragraph = json!({"context": "w10 w11 w12 w13 w14 un", "qas": [asked("a", false), asked("b", true)]});
    let document = json!({"version": "v2.0", "data": [{"title": "t", "paragraphs": [paragraph]}]});
    fuzz_rows("dev.json", "bertforquestionanswering", document.to_string().into(), DataColumns::default());
}
