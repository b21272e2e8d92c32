//! Tables of texts and labels become labeled batches.
use std::path::{Path, PathBuf};

use candle_core::Device;
use pillars::corpus::{Corpus, CorpusSettings, DataColumns, Input, Intake, Purpose};
use pillars::model::Model;
use pillars::network::{Batch, Source};
use pillars::task::Ticket;

use crate::common::test_data;
use crate::common::words::model_of;

/// A model of a task, with a tokenizer of whole words.
fn model(task: &str) -> (tempfile::TempDir, Model) {
    model_of(&test_data().join("tasks").join(task))
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn open(model: &Model, path: PathBuf, columns: DataColumns, seq_len: Option<usize>) -> pillars::Result<Corpus> {
    let settings = CorpusSettings { purpose: Purpose::Score, seq_len, ..CorpusSettings::default() };
    let input = Input::Data { path, columns };
    Corpus::open(&input, model.checkpoint().folder(), &Intake::of(model).unwrap(), &settings, &Ticket::default())
}

fn read(corpus: &Corpus) -> Batch {
    corpus.batches(&Device::Cpu).next().unwrap().unwrap()
}

fn ids(batch: &Batch) -> Vec<Vec<u32>> {
    let Source::Tokens(tokens) = &batch.source else { panic!("tokens") };
    tokens.ids.to_vec2().unwrap()
}

fn types(batch: &Batch) -> Option<Vec<u32>> {
    let Source::Tokens(tokens) = &batch.source else { panic!("tokens") };
    tokens.types.clone()
}

fn columns(text: &str, label: &str) -> DataColumns {
    DataColumns { text: Some(text.to_owned()), pair: None, label: Some(label.to_owned()) }
}

#[test]
fn texts_have_labels_by_name_and_by_number() {
    let (folder, model) = model("bertforsequenceclassification");
    let table = "idx,sentence,label\n0,w10 w11,positive\n1,\"w12\",negative\n2,w13 w14 w15,Neutral\n";
    let corpus = open(&model, write(folder.path(), "a.csv", table), DataColumns::default(), None).unwrap();
    let batch = read(&corpus);
    assert_eq!(ids(&batch), [[1, 10, 11, 2, 0], [1, 12, 2, 0, 0], [1, 13, 14, 15, 2]]);
    assert_eq!(batch.labels, Some(vec![Some(2), Some(0), Some(1)]));
    assert_eq!(batch.items.places, Some(vec![0, 1, 2]));
    assert_eq!(corpus.notes(), [] as [&str; 0]);
    assert!(corpus.describe().contains("3 rows of 'sentence', labels in 'label'"), "{}", corpus.describe());
    // Without a first row of names, as CoLA is published; numbers are the model's own, which is said.
    let cola = write(folder.path(), "cola.tsv", "gj04\t1\t\tw10 w11\ngj04\t0\t*\tw12\n");
    let corpus = open(&model, cola, columns("4", "2"), None).unwrap();
    assert_eq!(read(&corpus).labels, Some(vec![Some(1), Some(0)]));
    assert!(corpus.notes()[0].contains("0 is negative, 1 is neutral"), "{:?}", corpus.notes());
}

#[test]
fn pairs_are_joined_with_types_and_cut_longest_first() {
    let (folder, model) = model("bertforsequenceclassification");
    let rows = "{\"premise\": \"w10 w11 w12 w13\", \"hypothesis\": \"w20 w21\", \"label\": \"neutral\"}\n";
    let path = write(folder.path(), "a.jsonl", rows);
    let whole = read(&open(&model, path.clone(), DataColumns::default(), None).unwrap());
    assert_eq!(ids(&whole), [[1, 10, 11, 12, 13, 2, 20, 21, 2]]);
    assert_eq!(types(&whole), Some(vec![0, 0, 0, 0, 0, 0, 1, 1, 1]));
    let cut = open(&model, path, DataColumns::default(), Some(7)).unwrap();
    assert_eq!(ids(&read(&cut)), [[1, 10, 11, 2, 20, 21, 2]]);
    assert_eq!(cut.notes(), ["1 row cut to 7 tokens"]);
}

#[test]
fn tags_stand_at_the_first_piece_of_a_word() {
    let (folder, model) = model("bertfortokenclassification");
    let text = "w10 NNP B-PER\nundo VB I-PER\nw11 . O\n\nw12 X B-LOC\n";
    let batch = read(&open(&model, write(folder.path(), "a.conll", text), DataColumns::default(), None).unwrap());
    assert_eq!(ids(&batch), [[1, 10, 4, 5, 11, 2], [1, 12, 2, 0, 0, 0]]);
    let tags = [[None, Some(1), Some(2), None, Some(0), None], [None, Some(3), None, None, None, None]];
    assert_eq!(batch.labels, Some(tags.concat()));
    let lists = "{\"tokens\": [\"w10\", \"undo\"], \"ner_tags\": [3, 4]}\n";
    let batch = read(&open(&model, write(folder.path(), "a.jsonl", lists), DataColumns::default(), None).unwrap());
    assert_eq!(batch.labels, Some(vec![None, Some(3), Some(4), None, None]));
}

#[test]
fn questions_have_a_sequence_for_each_ending() {
    let (folder, model) = model("bertformultiplechoice");
    let swag = "sent1,sent2,ending0,ending1,label\nw10,w11,w12,w13 w14,1\n";
    let batch = read(&open(&model, write(folder.path(), "a.csv", swag), DataColumns::default(), None).unwrap());
    assert_eq!(ids(&batch), [[1, 10, 2, 11, 12, 2, 0], [1, 10, 2, 11, 13, 14, 2]]);
    assert_eq!((batch.labels, batch.items.choices), (Some(vec![Some(1)]), 2));
    let race = "{\"article\": \"w10\", \"question\": \"w11\", \"options\": [\"w12\", \"w13\"], \"answer\": \"A\"}\n";
    let batch = read(&open(&model, write(folder.path(), "a.jsonl", race), DataColumns::default(), None).unwrap());
    assert_eq!(batch.labels, Some(vec![Some(0)]));
}

#[test]
fn bad_rows_end_in_one_line_with_their_number() {
    let (folder, model) = model("bertforsequenceclassification");
    let fault = |name: &str, text: &str, columns: DataColumns| {
        open(&model, write(folder.path(), name, text), columns, None).unwrap_err().to_string()
    };
    let usual = DataColumns::default;
    let cases = [
        (
            "text,label\nw10,positive\nw11,great\n",
            usual(),
            "row 3: the model has no label 'great'",
            "negative, neutral, positive",
        ),
        ("text,label\nw10,3\n", usual(), "row 2: the model has no label '3'", "negative"),
        ("text,label\nw10,positive\n\"\",positive\n", usual(), "row 3: 'text' is empty", "a.csv"),
        ("text,label\nw10,\n", usual(), "row 2: 'label' holds no label", "a.csv"),
        ("body,label\nw10,positive\n", usual(), "no column of texts is known", "the columns are body, label"),
        ("text,label\nw10,positive\n", columns("text", "grade"), "there is no column 'grade'", "text, label"),
    ];
    for (text, columns, what, hint) in cases {
        let error = fault("a.csv", text, columns);
        assert!(error.contains(what) && error.contains(hint), "{error}");
    }
    assert!(fault("a.parquet", "PAR1", usual()).contains("not a Parquet file that can be read"));
}

#[test]
fn parquet_labels_go_by_their_names() {
    let (folder, model) = model("bertforsequenceclassification");
    let path = folder.path().join("rows.parquet");
    std::fs::copy(test_data().join("parquet/rows.parquet"), &path).unwrap();
    let named = DataColumns { text: Some("text".to_owned()), ..columns("text", "label") };
    // The third row is empty; the model knows neither 'neg' nor 'pos', so that numbers are its own.
    let error = open(&model, path.clone(), named.clone(), None).unwrap_err().to_string();
    assert!(error.contains("row ") && error.contains("'text' is empty"), "{error}");
    let config = std::fs::read_to_string(folder.path().join("config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&config).unwrap();
    config["id2label"] = serde_json::json!({"0": "pos", "1": "neg", "2": "other"});
    config["label2id"] = serde_json::json!({"pos": 0, "neg": 1, "other": 2});
    write(folder.path(), "config.json", &config.to_string());
    let model = Model::open(folder.path()).unwrap();
    let words = DataColumns { text: Some("score".to_owned()), ..named };
    let error = open(&model, path, words, None).unwrap_err().to_string();
    assert!(error.contains("row ") && error.contains("'score' is no text"), "{error}");
}

#[test]
fn answers_are_sought_in_windows_of_their_text() {
    let (folder, model) = model("bertforquestionanswering");
    // 30 words of text: windows of 16 tokens leave 10 behind a question of 3 words, and neighbors share 5.
    let text: Vec<String> = (10..40).map(|n| format!("w{n}")).collect();
    let text = text.join(" ");
    let start = text.find("w24").unwrap();
    let row = |answers: serde_json::Value| {
        serde_json::json!({"id": "a", "question": " w6 w7 w8", "context": text, "answers": answers}).to_string()
    };
    let right = serde_json::json!({"text": ["w24 w25", "w25"], "answer_start": [start, start + 4]});
    let rows = [row(right), row(serde_json::json!({"text": [], "answer_start": []}))].join("\n");
    let path = write(folder.path(), "a.jsonl", &rows);
    let corpus = open(&model, path.clone(), DataColumns::default(), Some(16)).unwrap();
    let questions = corpus.text_questions().unwrap().unwrap();
    assert_eq!(questions.iter().map(|q| q.windows.len()).collect::<Vec<_>>(), [5, 5]);
    let batch = read(&corpus);
    let (ids, labels) = (ids(&batch), batch.labels.clone().unwrap());
    assert_eq!(ids[0], [1, 6, 7, 8, 2, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 2]);
    assert_eq!(ids[1][5..8], [15, 16, 17]);
    // The answer begins with the last token of the second window and ends behind it; the third holds it whole.
    let ends: Vec<_> = labels.chunks(2).take(4).map(|ends| (ends[0].unwrap(), ends[1].unwrap())).collect();
    assert_eq!(ends, [(0, 0), (0, 0), (9, 10), (0, 0)]);
    let window = &questions[0].windows[2];
    assert_eq!(&questions[0].text[window[9].unwrap().0..window[10].unwrap().1], "w24 w25");
    assert!(window[..5].iter().all(Option::is_none) && window.last().unwrap().is_none());
    assert_eq!(types(&batch).unwrap()[..16], [0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
    // The same questions as SQuAD itself is written, for the same sequences.
    let spans: Vec<_> = [("w24 w25", start), ("w25", start + 4)]
        .map(|(text, at)| serde_json::json!({"text": text, "answer_start": at}))
        .to_vec();
    let none = serde_json::json!({"question": " w6 w7 w8", "id": "a", "answers": [], "is_impossible": true});
    let asked = serde_json::json!({"question": " w6 w7 w8", "id": "a", "answers": spans});
    let paragraph = serde_json::json!({"context": text, "qas": [asked, none]});
    let nested = serde_json::json!({"version": "v2.0", "data": [{"title": "t", "paragraphs": [paragraph]}]});
    let nested = write(folder.path(), "dev-v2.0.json", &nested.to_string());
    let nested = open(&model, nested, DataColumns::default(), Some(16)).unwrap();
    let same = read(&nested);
    assert_eq!((self::ids(&same), &same.labels, types(&same)), (ids, &batch.labels, types(&batch)));
    let answers = |corpus: &Corpus| -> Vec<_> {
        let all = corpus.text_questions().unwrap().unwrap();
        all.into_iter().map(|q| (q.text, q.answers, q.windows)).collect()
    };
    assert_eq!(answers(&nested), answers(&corpus));
    let wrong = row(serde_json::json!({"text": ["w24"], "answer_start": [0]}));
    let path = write(folder.path(), "b.jsonl", &wrong);
    let error = open(&model, path, DataColumns::default(), Some(16)).unwrap_err().to_string();
    assert!(error.contains("row 1") && error.contains("does not stand where answer_start says"), "{error}");
}

#[test]
fn columns_that_nothing_reads_are_refused_and_labels_that_are_missed_are_told() {
    let (folder, model) = model("bertforsequenceclassification");
    let unlabeled = write(folder.path(), "a.csv", "id,text\n1,w10 w11\n2,w12\n");
    let corpus = open(&model, unlabeled.clone(), DataColumns::default(), None).unwrap();
    let notes = corpus.notes().join("; ");
    assert!(notes.contains("no column of labels is known (--label-column) among id, text"), "{notes}");
    let ignored = write(folder.path(), "b.jsonl", "{\"text\": \"w10\", \"label\": -100}\n");
    let notes = open(&model, ignored, DataColumns::default(), None).unwrap().notes().join("; ");
    assert!(notes.contains("'label' has no label in any row, so nothing is scored"), "{notes}");
    let labeled = write(folder.path(), "c.csv", "text,label,more\nw10 w11,positive,w12\n");
    let refused = |model: &Model, path: &Path, columns: DataColumns| {
        open(model, path.to_path_buf(), columns, None).unwrap_err().to_string()
    };
    // Without a head that says labels; and words have no second text.
    let (_plain_folder, plain) = model_of(&crate::common::fixtures().join("bert"));
    let notes = open(&plain, labeled.clone(), DataColumns::default(), None).unwrap().notes().join("; ");
    assert!(notes.contains("the labels in 'label' are not used: the model "), "{notes}");
    assert!(notes.contains("has no head that says labels"), "{notes}");
    let error = refused(&plain, &labeled, columns("text", "label"));
    assert!(error.contains("'label' (--label-column) is not read") && error.contains("c.csv"), "{error}");
    let (tags_folder, tags) = self::model("bertfortokenclassification");
    let lists = write(tags_folder.path(), "a.jsonl", "{\"tokens\": [\"w10\"], \"ner_tags\": [3], \"more\": \"w11\"}\n");
    let pair = DataColumns { pair: Some("more".to_owned()), ..DataColumns::default() };
    let error = refused(&tags, &lists, pair);
    assert!(error.contains("'more' (--pair-column) is not read"), "{error}");
}

#[test]
fn the_tokenizer_may_set_a_shorter_length_than_the_model_has_positions() {
    let (folder, model) = model("bertforsequenceclassification");
    let text = format!("text,label\n{},positive\n", (10..24).map(|n| format!("w{n}")).collect::<Vec<_>>().join(" "));
    let path = write(folder.path(), "a.csv", &text);
    let length = |config: &str, seq_len: Option<usize>| {
        write(folder.path(), "tokenizer_config.json", config);
        let corpus = open(&model, path.clone(), DataColumns::default(), seq_len).unwrap();
        let said = corpus.notes().iter().any(|note| note.contains("model_max_length") && note.contains("--seq-len"));
        (ids(&read(&corpus))[0].len(), said)
    };
    assert_eq!(length("{}", None), (16, false));
    assert_eq!(length(r#"{"model_max_length": 8}"#, None), (8, true));
    assert_eq!(length(r#"{"model_max_length": 8}"#, Some(12)), (12, false));
    // What transformers writes where nothing is known, and more than the model has.
    assert_eq!(length(r#"{"model_max_length": 1000000000000000019884624838656}"#, None), (16, false));
    assert_eq!(length(r#"{"model_max_length": 100000}"#, None), (16, false));
}

#[test]
fn folders_of_images_are_classes() {
    let folder = tempfile::tempdir().unwrap();
    let model = Model::open(test_data().join("tasks/vitforimageclassification")).unwrap();
    let picture = |path: PathBuf| {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        image::RgbImage::from_pixel(16, 16, image::Rgb([90, 20, 200])).save(path).unwrap();
    };
    for name in ["ship/1.png", "cat/1.png", "cat/2.png"] {
        picture(folder.path().join(name));
    }
    let open = || {
        let settings = CorpusSettings { purpose: Purpose::Score, ..CorpusSettings::default() };
        let input = Input::Images(folder.path().to_path_buf());
        Corpus::open(&input, model.checkpoint().folder(), &Intake::of(&model).unwrap(), &settings, &Ticket::default())
    };
    assert_eq!(read(&open().unwrap()).labels, Some(vec![Some(0), Some(0), Some(2)]));
    // What is no image is counted.
    assert_eq!(open().unwrap().notes().iter().filter(|note| note.contains("not read")).count(), 0);
    std::fs::write(folder.path().join("cat/3.webp"), "RIFF").unwrap();
    let notes = open().unwrap().notes().join("; ");
    assert!(notes.contains("1 file of other endings than png, jpg, jpeg not read (cat/3.webp)"), "{notes}");
    picture(folder.path().join("zebra/1.png"));
    let error = open().unwrap_err().to_string();
    assert!(error.contains("the model has no label 'zebra'"), "{error}");
    for name in ["ship", "cat"] {
        std::fs::remove_dir_all(folder.path().join(name)).unwrap();
    }
    let corpus = open().unwrap();
    assert_eq!(read(&corpus).labels, None);
    assert!(corpus.notes().iter().any(|note| note.contains("no folder is named after a class")));
}
