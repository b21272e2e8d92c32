//! Rows with named columns, in every kind of file.

use std::fs;

use pillars::Ticket;
use pillars::corpus::{DataColumns, Input, InputPreview, Intake, Purpose};
use serde_json::json;

use super::inputs::read_all;
use super::{Named, Target};
use crate::common::test_data;
use crate::common::words::model_of;

/// Rows that a model of a task reads and is scored on.
fn rows(name: &'static str, task: &'static str, seed: impl Into<Vec<u8>>) -> Named {
    let seed = seed.into();
    Named::new(format!("data: {name}"), move || {
        let (folder, model) = model_of(&test_data().join("tasks").join(task));
        let input = Input::Data { path: folder.path().join(name), columns: DataColumns::default() };
        Target::at(folder, name, vec![seed], move || read_all(&model, &input, Purpose::Score))
    })
}

pub(crate) fn texts_with_labels() -> Vec<Named> {
    let task = "bertforsequenceclassification";
    let csv = "idx,sentence,label\n0,w10 w11,positive\n1,\"w12, \"\"un\"\"\",negative\n2,w13 undo w15,Neutral\n";
    let tsv = "premise\thypothesis\tlabel\nw10 w11\tw12\tneutral\nw13\tw14\tpositive\n";
    let row =
        |n: u32| json!({"sentence": format!("w{n} un w{}", n + 1), "label": n % 3, "more": [n, null]}).to_string();
    let lines = (10..20).map(row).collect::<Vec<_>>().join("\n");
    vec![rows("rows.csv", task, csv), rows("rows.tsv", task, tsv), rows("rows.jsonl", task, lines)]
}

pub(crate) fn parquet() -> Vec<Named> {
    let of = |name: &'static str| {
        Named::new(format!("data: {name}"), move || {
            let (folder, model) = model_of(&test_data().join("tasks/bertforsequenceclassification"));
            let intake = Intake::of(&model).unwrap();
            let seed = fs::read(test_data().join("parquet").join(name)).unwrap();
            let place = folder.path().to_path_buf();
            let input = Input::Data { path: place.join(name), columns: DataColumns::default() };
            // A row of these is empty, which ends a pass over them.
            Target::at(folder, name, vec![seed], move || {
                InputPreview::of(&input, &place, &intake, usize::MAX, &Ticket::default()).map(drop)
            })
        })
    };
    ["rows.parquet", "rows.gzip.parquet"].map(of).into()
}

pub(crate) fn tagged_words() -> Vec<Named> {
    let conll = "-DOCSTART- -X- O O\n\nw10 NNP B-PER\nundo VB I-PER\nw11 . O\n\nw12 X B-LOC\n";
    vec![rows("rows.conll", "bertfortokenclassification", conll)]
}

pub(crate) fn endings_to_choose_from() -> Vec<Named> {
    let swag = "sent1,sent2,ending0,ending1,label\nw10,w11,w12,w13 w14,1\nw15,w16,w17,w18,0\n";
    vec![rows("choices.csv", "bertformultiplechoice", swag)]
}

pub(crate) fn squad() -> Vec<Named> {
    let answers = json!([{"text": "w12 w13", "answer_start": 8}, {"text": "w13", "answer_start": 12}]);
    let asked = |id: &str, impossible: bool| {
        let answers = if impossible { json!([]) } else { answers.clone() };
        json!({"question": "w6 w7", "id": id, "answers": answers, "is_impossible": impossible})
    };
    let paragraph = json!({"context": "w10 w11 w12 w13 w14 un", "qas": [asked("a", false), asked("b", true)]});
    let document = json!({"version": "v2.0", "data": [{"title": "t", "paragraphs": [paragraph]}]});
    vec![rows("dev.json", "bertforquestionanswering", document.to_string())]
}
