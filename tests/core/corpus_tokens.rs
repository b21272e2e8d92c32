//! Token lists and named tensors become the batches that their files describe.
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use pillars::corpus::{BatchOrder, Corpus, CorpusSettings, Input, Intake, Purpose, SourceKind, TokenLimits, Total};
use pillars::model::DecoderStart;
use pillars::network::{Batch, Objective, Source};
use pillars::task::Ticket;

fn tokens(vocabulary: usize, longest: usize) -> TokenLimits {
    TokenLimits { vocabulary, max_length: Some(longest) }
}

fn causal() -> Intake {
    Intake {
        source: SourceKind::Tokens(tokens(10, 5)),
        target: None,
        decoder_only: true,
        objective: Some(Objective::Causal),
        classes: 10,
        task: None,
        types: 0,
        positions: pillars::corpus::PositionIds::Unused,
        keeps_apart: false,
        pad: 9,
        decoder_start: None,
        end: None,
    }
}

fn encoder_decoder() -> Intake {
    Intake {
        target: Some(tokens(10, 4)),
        decoder_only: false,
        decoder_start: Some(DecoderStart::Id(7)),
        end: Some(8),
        ..causal()
    }
}

fn masked() -> Intake {
    Intake { objective: Some(Objective::Masked), decoder_only: false, ..causal() }
}

fn write(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("tokens.jsonl");
    std::fs::write(&path, text).unwrap();
    path
}

fn open(input: &Input, intake: &Intake, settings: &CorpusSettings) -> pillars::Result<Corpus> {
    Corpus::open(input, Path::new("."), intake, settings, &Ticket::default())
}

fn score() -> CorpusSettings {
    CorpusSettings { purpose: Purpose::Score, batch_size: 2, ..CorpusSettings::default() }
}

fn read(corpus: &Corpus) -> Vec<Batch> {
    corpus.batches(&Device::Cpu).collect::<Result<_, _>>().unwrap()
}

fn source(batch: &Batch) -> (Vec<Vec<u32>>, Vec<bool>) {
    let Source::Tokens(tokens) = &batch.source else { panic!("not tokens") };
    (tokens.ids.to_vec2().unwrap(), tokens.mask.real().to_vec())
}

fn fault(input: &Input, intake: &Intake) -> String {
    open(input, intake, &score()).unwrap_err().to_string()
}

#[test]
fn lines_of_different_length_are_padded_and_predict_their_next_token() {
    let folder = tempfile::tempdir().unwrap();
    // A byte-order mark, a blank line and a missing last line end are harmless.
    let text = "\u{feff}{\"input_ids\": [1, 2, 3]}\n\n{\"input_ids\": [4, 5, 0, 6], \"attention_mask\": [0, 1, 1, 1]}\n\
                {\"input_ids\": [3, 2], \"attention_mask\": [1, 0], \"token_type_ids\": [0, 0]}";
    let corpus = open(&Input::Tokens(write(folder.path(), text)), &causal(), &score()).unwrap();
    assert_eq!(corpus.total(), Some(Total::Exact(2)));
    let batches = read(&corpus);
    let (ids, real) = source(&batches[0]);
    assert_eq!(ids, [[1, 2, 3, 9], [4, 5, 0, 6]]);
    assert_eq!(real, [true, true, true, false, false, true, true, true]);
    // Position t is scored on token t + 1 where both are real; the last position never.
    let expected = [Some(2), Some(3), None, None, None, Some(0), Some(6), None];
    assert_eq!(batches[0].labels.as_deref(), Some(&expected[..]));
    assert_eq!(source(&batches[1]), (vec![vec![3, 2]], vec![true, false]));
    assert_eq!(batches[1].labels.as_deref(), Some(&[None, None][..]));
    // A second pass gives the same.
    assert_eq!(source(&read(&corpus)[0]).0, ids);
    assert_eq!(read(&corpus.with(|s| s.purpose = Purpose::Observe))[0].labels, None);
}

#[test]
fn given_labels_move_by_one_in_causal_models_alone() {
    let folder = tempfile::tempdir().unwrap();
    let text = r#"{"input_ids": [1, 2, 3], "labels": [1, -100, 4]}"#;
    let input = Input::Tokens(write(folder.path(), text));
    let labels = |intake: &Intake| read(&open(&input, intake, &score()).unwrap())[0].labels.clone().unwrap();
    assert_eq!(labels(&causal()), [None, Some(4), None]);
    assert_eq!(labels(&masked()), [Some(1), None, Some(4)]);
    let headless = Intake { objective: None, classes: 0, ..causal() };
    assert_eq!(read(&open(&input, &headless, &score()).unwrap())[0].labels, None);
}

#[test]
fn a_decoder_reads_its_ids_or_the_labels_moved_right() {
    let folder = tempfile::tempdir().unwrap();
    let text = "{\"input_ids\": [1, 2], \"labels\": [5, 6, 8]}\n{\"input_ids\": [1], \"decoder_input_ids\": [7, 3]}\n\
                {\"input_ids\": [1], \"decoder_input_ids\": [7, 3], \"labels\": [3, -100]}";
    let corpus = open(&Input::Tokens(write(folder.path(), text)), &encoder_decoder(), &score()).unwrap();
    let batches = read(&corpus);
    let target = batches[0].target.as_ref().unwrap();
    assert_eq!(target.ids.to_vec2::<u32>().unwrap(), [[7, 5, 6], [7, 3, 9]]);
    assert_eq!(target.mask.real(), [true, true, true, true, true, false]);
    // Without labels the decoder is scored on what it reads one step later.
    let expected = [Some(5), Some(6), Some(8), Some(3), None, None];
    assert_eq!(batches[0].labels.as_deref(), Some(&expected[..]));
    assert_eq!(batches[1].labels.as_deref(), Some(&[Some(3), None][..]));
}

#[test]
fn every_fault_names_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let good = r#"{"input_ids": [1]}"#;
    let faults = [
        (r#"{"input_ids": [1, 2, 3, 4, 5, 6]}"#, "6 tokens, but the model has 5 positions"),
        (r#"{"input_ids": [1, 10]}"#, "id 10 of input_ids is outside the vocabulary of 10"),
        (r#"{"input_ids": [-1]}"#, "id -1 of input_ids is outside"),
        (r#"{"input_ids": []}"#, "no real token"),
        (r#"{"input_ids": [1, 2], "attention_mask": [0, 0]}"#, "no real token"),
        (r#"{"input_ids": [1, 2], "attention_mask": [1]}"#, "a mask of 1 entry does not fit input_ids of 2 tokens"),
        (r#"{"input_ids": [1, 2], "attention_mask": [1, 2]}"#, "holds 2"),
        (r#"{"input_ids": [1, 2}"#, "at column 20"),
        (r#"{"ids": [1]}"#, "input_ids"),
        (r#"[1, 2]"#, "input_ids"),
        (r#"{"input_ids": [1.5]}"#, "1.5"),
        (r#"{"input_ids": [1], "labels": [1, 2]}"#, "2 labels do not fit 1 positions"),
        (r#"{"input_ids": [1], "labels": [10]}"#, "label 10 is outside"),
        (r#"{"input_ids": [1], "labels": [-1]}"#, "label -1 is outside"),
    ];
    for (line, expected) in faults {
        let error = fault(&Input::Tokens(write(folder.path(), &format!("{good}\n\n{line}\n{good}\n"))), &causal());
        assert!(error.contains("line 3: ") && error.contains(expected), "{line}: {error}");
        assert!(error.contains("tokens.jsonl") && !error.contains('\n'), "{error}");
    }
    let faults = [
        (r#"{"input_ids": [1]}"#, "needs decoder_input_ids"),
        (r#"{"input_ids": [1], "decoder_input_ids": [1, 2, 3, 4, 5]}"#, "5 tokens, but the model has 4 positions"),
        (r#"{"input_ids": [1], "decoder_input_ids": [11]}"#, "id 11 of decoder_input_ids"),
        (r#"{"input_ids": [1], "decoder_input_ids": []}"#, "decoder_input_ids has no real token"),
    ];
    for (line, expected) in faults {
        let error = fault(&Input::Tokens(write(folder.path(), line)), &encoder_decoder());
        assert!(error.contains("line 1: ") && error.contains(expected), "{line}: {error}");
    }
    for empty in ["", "\n  \n"] {
        let error = fault(&Input::Tokens(write(folder.path(), empty)), &causal());
        assert!(error.contains("no line of tokens"), "{error}");
    }
    assert!(fault(&Input::Tokens(folder.path().join("absent.jsonl")), &causal()).contains("absent.jsonl"));
}

#[test]
fn orders_and_parts_hold_every_sequence_once() {
    let folder = tempfile::tempdir().unwrap();
    let lengths = [3, 1, 5, 2, 4, 1, 5, 3, 2];
    let line = |(i, n): (usize, &usize)| format!("{{\"input_ids\": {:?}}}\n", vec![i; *n]);
    let text: String = lengths.iter().enumerate().map(line).collect();
    let input = Input::Tokens(write(folder.path(), &text));
    let corpus = open(&input, &causal(), &score()).unwrap();
    let firsts = |batches: &[Batch]| -> Vec<Vec<u32>> {
        batches.iter().map(|b| source(b).0.iter().map(|row| row[0]).collect()).collect()
    };
    assert_eq!(firsts(&read(&corpus)), [vec![0, 1], vec![2, 3], vec![4, 5], vec![6, 7], vec![8]]);
    let sorted = corpus.with(|s| s.order = BatchOrder::ByLength);
    // Stable: equal lengths keep the order of the input.
    assert_eq!(firsts(&read(&sorted)), [vec![1, 5], vec![3, 8], vec![0, 7], vec![4, 2], vec![6]]);
    let shuffled = corpus.with(|s| s.order = BatchOrder::Shuffled);
    let pass = |n| firsts(&shuffled.pass(&Device::Cpu, n).collect::<Result<Vec<_>, _>>().unwrap());
    assert_eq!(pass(1), pass(1));
    assert_ne!(pass(1), pass(2));
    let mut all: Vec<u32> = pass(1).into_iter().flatten().collect();
    all.sort_unstable();
    assert_eq!(all, (0..9).collect::<Vec<_>>());
    // With a limit every order reads the same sequences.
    let mut limited: Vec<u32> = firsts(&read(&sorted.with(|s| s.batches = Some(2)))).into_iter().flatten().collect();
    limited.sort_unstable();
    assert_eq!(limited, [0, 1, 2, 3]);
    assert_eq!(corpus.with(|s| s.batches = Some(2)).total(), Some(Total::Exact(2)));
    let (training, held_out) = corpus.split(2);
    assert_eq!(firsts(&read(&training)), [vec![0, 1], vec![4, 5], vec![8]]);
    assert_eq!(firsts(&read(&held_out)), [vec![2, 3], vec![6, 7]]);
    assert_eq!((training.total(), held_out.total()), (Some(Total::Exact(3)), Some(Total::Exact(2))));
    assert_eq!(read(&corpus.split(20).0).len(), 5);
    let nothing = corpus.split(20).1.batches(&Device::Cpu).next().unwrap();
    assert!(nothing.unwrap_err().to_string().contains("too short to leave a part of it out"));
}

#[test]
fn the_fingerprint_is_the_sha256_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let corpus = open(&Input::Tokens(write(folder.path(), "{\"input_ids\": [1]}\n")), &causal(), &score()).unwrap();
    // printf '{"input_ids": [1]}\n' | sha256sum
    let expected = "a77683e7c2f0560b3320d3debc08b0e6efe81eba55e61f06ca25bab4c2eeea46";
    assert_eq!(corpus.fingerprint(&Ticket::default()).unwrap(), expected);
}

fn save(path: &Path, tensors: &[(&str, Tensor)]) {
    let map: std::collections::HashMap<&str, Tensor> = tensors.iter().cloned().collect();
    candle_core::safetensors::save(&map, path).unwrap();
}

#[test]
fn named_tensors_of_ids_keep_their_padding() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("inputs.safetensors");
    let input = Input::Inputs(path.clone());
    let ids = Tensor::new(&[[1i64, 2, 3], [4, 5, 0]], &Device::Cpu).unwrap();
    let mask = Tensor::new(&[[1u32, 1, 1], [1, 1, 0]], &Device::Cpu).unwrap();
    save(&path, &[("input_ids", ids.clone()), ("attention_mask", mask)]);
    let batch = &read(&open(&input, &causal(), &score()).unwrap())[0];
    assert_eq!(source(batch), (vec![vec![1, 2, 3], vec![4, 5, 0]], vec![true, true, true, true, true, false]));
    assert_eq!(batch.labels.as_deref(), Some(&[Some(2), Some(3), None, Some(5), None, None][..]));
    save(&path, &[("input_ids", Tensor::new(&[[1i64, 2, 30]], &Device::Cpu).unwrap())]);
    let error = fault(&input, &causal());
    assert!(error.contains("row 0: id 30 of input_ids is outside"), "{error}");
    save(&path, &[("input_ids", ids.clone()), ("attention_mask", Tensor::new(&[[1i64]], &Device::Cpu).unwrap())]);
    let error = fault(&input, &causal());
    assert!(error.contains("attention_mask has shape [1, 1], but input_ids holds 2 sequences"), "{error}");
    save(&path, &[("ids", ids.clone())]);
    let error = fault(&input, &causal());
    assert!(error.contains("reads input_ids") && error.contains("it holds ids"), "{error}");
    save(&path, &[("input_ids", ids.to_dtype(DType::F32).unwrap())]);
    assert!(fault(&input, &causal()).contains("integers are needed"));
}

#[test]
fn named_tensors_of_pixels_and_frames() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("inputs.safetensors");
    let input = Input::Inputs(path.clone());
    let vision = Intake {
        source: SourceKind::Pixels { shape: [3, 2, 2], sizes: pillars::corpus::ImageSizes::One },
        objective: None,
        classes: 0,
        task: None,
        ..causal()
    };
    let pixels = Tensor::arange(0f32, 36.0, &Device::Cpu).unwrap().reshape((3, 3, 2, 2)).unwrap();
    for dtype in [DType::F32, DType::F16, DType::BF16, DType::F64] {
        save(&path, &[("pixel_values", pixels.to_dtype(dtype).unwrap())]);
        let batches = read(&open(&input, &vision, &score()).unwrap());
        let Source::Pixels(first) = &batches[0].source else { panic!("not pixels") };
        assert_eq!(first.dims(), [2, 3, 2, 2]);
        let values: Vec<f32> = first.flatten_all().unwrap().to_vec1().unwrap();
        assert_eq!(values, (0..24).map(|v| v as f32).collect::<Vec<_>>());
        assert_eq!((batches.len(), &batches[1].labels), (2, &None));
    }
    let large = Intake {
        source: SourceKind::Pixels { shape: [3, 4, 4], sizes: pillars::corpus::ImageSizes::One },
        ..vision.clone()
    };
    let error = fault(&input, &large);
    assert!(error.contains("[3, 3, 2, 2]") && error.contains("[3, 4, 4]"), "{error}");
    let nan = Tensor::new(&[f32::NAN; 12], &Device::Cpu).unwrap().reshape((1, 3, 2, 2)).unwrap();
    save(&path, &[("pixel_values", nan)]);
    let first = |intake: &Intake| open(&input, intake, &score()).unwrap().batches(&Device::Cpu).next().unwrap();
    let error = first(&vision).unwrap_err().to_string();
    assert!(error.contains("row 0: pixel_values holds a value that is not finite"), "{error}");

    let speech = Intake { source: SourceKind::Frames { shape: [2, 4] }, ..encoder_decoder() };
    let frames = Tensor::ones((1, 2, 4), DType::F32, &Device::Cpu).unwrap();
    let decoder = Tensor::new(&[[7i64, 1, 2]], &Device::Cpu).unwrap();
    save(&path, &[("input_features", frames.clone()), ("decoder_input_ids", decoder)]);
    let batch = first(&speech).unwrap();
    assert!(matches!(&batch.source, Source::Frames(x) if x.dims() == [1, 2, 4]));
    assert_eq!(batch.labels.as_deref(), Some(&[Some(1), Some(2), None][..]));
    save(&path, &[("input_features", frames)]);
    assert!(first(&speech).unwrap_err().to_string().contains("needs decoder_input_ids"));
}

#[test]
fn a_file_that_disagrees_with_its_header_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("inputs.safetensors");
    save(&path, &[("input_ids", Tensor::new(&[[1i64, 2, 3]], &Device::Cpu).unwrap())]);
    let whole = std::fs::read(&path).unwrap();
    let longer = [&whole[..], &[0]].concat();
    for broken in [&whole[..whole.len() - 8], &whole[..20], &whole[..4], &longer, b"{\"input_ids\": [1]}"] {
        std::fs::write(&path, broken).unwrap();
        let error = fault(&Input::Inputs(path.clone()), &causal());
        assert!(error.contains("inputs.safetensors"), "{error}");
        assert!(error.contains("not a readable safetensors file"), "{error}");
    }
}

/// A fixture's model, and what it makes of lines of tokens.
fn fixture(family: &str) -> (pillars::model::Model, Intake) {
    let model = pillars::model::Model::open(crate::common::fixtures().join(family)).unwrap();
    let intake = Intake::of(&model).unwrap();
    (model, intake)
}

fn results(model: &pillars::model::Model, corpus: &Corpus) -> Vec<Tensor> {
    let network = model.network(&Device::Cpu, DType::F32).unwrap();
    read(corpus).iter().map(|batch| network.run(batch).unwrap()).collect()
}

/// What is said of keys that nothing reads.
fn unused(corpus: &Corpus) -> Vec<String> {
    corpus.notes().into_iter().filter(|note| note.starts_with("not used")).collect()
}

fn same(a: &[Tensor], b: &[Tensor]) -> bool {
    a.len() == b.len()
        && a.iter().zip(b).all(|(a, b)| {
            let most: f32 = (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap();
            most < 1e-5
        })
}

#[test]
fn sentence_pairs_have_their_token_types() {
    let (model, intake) = fixture("bert");
    let folder = tempfile::tempdir().unwrap();
    const ROW: &str =
        r#""input_ids": [2, 11, 12, 13, 3, 21, 22, 3], "labels": [-100, 11, -100, 13, -100, 21, 22, -100]"#;
    let typed = format!("{{{ROW}, \"token_type_ids\": [0, 0, 0, 0, 0, 1, 1, 1]}}\n");
    let network = model.network(&Device::Cpu, DType::F32).unwrap();
    let loss = |text: &str| {
        let corpus = open(&Input::Tokens(write(folder.path(), text)), &intake, &score()).unwrap();
        assert_eq!(unused(&corpus), Vec::<String>::new());
        let (gates, ticket) = (pillars::network::Gates::open(), Ticket::default());
        let quality = pillars::evaluation::evaluate(&network, &gates, read(&corpus).into_iter().map(Ok), None, &ticket);
        quality.unwrap().loss_per_token.unwrap()
    };
    // transformers 5.23, with and without these types.
    assert!((loss(&typed) - 5.047_691).abs() < 1e-5, "{}", loss(&typed));
    let plain = format!("{{{ROW}}}\n");
    assert!((loss(&plain) - 5.079_591).abs() < 1e-5, "{}", loss(&plain));
    // Padded beside a longer line, and as named tensors: the same numbers.
    let longer = format!("{{\"input_ids\": [{}]}}\n", ["5"; 30].join(", "));
    let alone = results(&model, &open(&Input::Tokens(write(folder.path(), &typed)), &intake, &score()).unwrap());
    let both = open(&Input::Tokens(write(folder.path(), &format!("{typed}{longer}"))), &intake, &score()).unwrap();
    let both = results(&model, &both)[0].narrow(0, 0, 1).unwrap().narrow(1, 0, 8).unwrap();
    assert!(same(&alone, &[both]));
    let path = folder.path().join("rows.safetensors");
    let ids = Tensor::new(&[[2i64, 11, 12, 13, 3, 21, 22, 3]], &Device::Cpu).unwrap();
    let types = Tensor::new(&[[0i64, 0, 0, 0, 0, 1, 1, 1]], &Device::Cpu).unwrap();
    save(&path, &[("input_ids", ids.clone()), ("token_type_ids", types), ("input_values", ids.clone())]);
    let named = open(&Input::Inputs(path), &intake, &score()).unwrap();
    assert!(same(&alone, &results(&model, &named)));
    assert_eq!(unused(&named), ["not used, as this model does not read it: input_values"]);
    let wrong = typed.replace("1, 1, 1", "1, 1, 2");
    assert!(fault(&Input::Tokens(write(folder.path(), &wrong)), &intake).contains("2 in token_type_ids is outside"));
}

#[test]
fn positions_that_are_given_are_those_that_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let of = |family: &str, rest: &str| {
        let (model, intake) = fixture(family);
        let text = format!("{{\"input_ids\": [5, 11, 12, 13, 6]{rest}}}\n");
        let corpus = open(&Input::Tokens(write(folder.path(), &text)), &intake, &score())?;
        let notes = unused(&corpus);
        Ok::<_, pillars::Error>((results(&model, &corpus), notes))
    };
    // Where the model counts from: 0, or behind the padding's row.
    for (family, counted) in
        [("bert", "0, 1, 2, 3, 4"), ("gpt2", "0, 1, 2, 3, 4"), ("roberta", "2, 3, 4, 5, 6"), ("opt", "0, 1, 2, 3, 4")]
    {
        let (usual, _) = of(family, "").unwrap();
        let (given, notes) = of(family, &format!(", \"position_ids\": [{counted}]")).unwrap();
        assert!(same(&usual, &given) && notes.is_empty(), "{family}");
        let (other, _) = of(family, ", \"position_ids\": [7, 3, 9, 2, 5]").unwrap();
        assert!(!same(&usual, &other), "{family}");
    }
    // Rotary models turn by distances.
    let (usual, _) = of("llama", "").unwrap();
    assert!(same(&usual, &of("llama", ", \"position_ids\": [3, 4, 5, 6, 7]").unwrap().0));
    // Of a row with a mask transformers turns each document from its own beginning, and lets them see each other.
    let masked = ", \"position_ids\": [0, 1, 2, 0, 1], \"attention_mask\": [1, 1, 1, 1, 1]";
    let packed = of("llama", masked).unwrap_err().to_string();
    assert!(
        packed.contains("line 1: the position_ids do not count up") && packed.contains("attention_mask"),
        "{packed}"
    );
    let packed = of("modernbert", ", \"position_ids\": [0, 1, 2, 0, 1]").unwrap_err().to_string();
    assert!(packed.contains("of its own"), "{packed}");
    // Where nothing reads them, that is said.
    let (given, notes) = of("bloom", ", \"position_ids\": [0, 1, 2, 3, 4], \"text\": \"a\", \"length\": 5").unwrap();
    assert!(same(&of("bloom", "").unwrap().0, &given));
    assert_eq!(notes, ["not used, as this model does not read it: position_ids, text"]);
}

#[test]
fn packed_rows_are_read_as_transformers_reads_them() {
    for family in ["llama", "gpt2", "gpt_neox", "gemma3_text"] {
        let (model, intake) = fixture(family);
        let path = crate::common::test_data().join(format!("packed/{family}.safetensors"));
        let wanted = &crate::common::reference(&path)["logits"];
        let got = Tensor::cat(&results(&model, &open(&Input::Inputs(path), &intake, &score()).unwrap()), 0).unwrap();
        let most = |x: &Tensor| x.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(most(&(&got - wanted).unwrap()) < 1e-4 * most(wanted), "{family}");
    }
}

#[test]
fn documents_of_a_packed_row_are_kept_apart() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = ([5, 11, 12, 13, 6, 7, 8, 9], [14, 15, 16, 17, 18]);
    for family in ["llama", "gpt2", "gpt_neox", "gemma2", "gemma3_text", "mistral", "gptj", "phi3"] {
        let (model, intake) = fixture(family);
        if !intake.keeps_apart {
            assert_eq!(family, "phi3", "its positions are stretched in long batches");
            continue;
        }
        let of =
            |text: &str| results(&model, &open(&Input::Tokens(write(folder.path(), text)), &intake, &score()).unwrap());
        let line = |ids: &[i32], more: &str| format!("{{\"input_ids\": {ids:?}{more}}}\n");
        let both: Vec<i32> = one.into_iter().chain(other).collect();
        let positions: Vec<usize> = (0..one.len()).chain(0..other.len()).collect();
        let packed = line(&both, &format!(", \"position_ids\": {positions:?}"));
        // Beside a longer row that is one document, which is padding behind it.
        let longer: Vec<i32> = (0..20).map(|i| 5 + i).collect();
        let packed_rows = of(&format!("{packed}{}", line(&longer, "")));
        let apart = [of(&line(&one, "")), of(&line(&other, ""))].map(|rows| rows[0].get(0).unwrap());
        let (mut from, row) = (0, packed_rows[0].get(0).unwrap());
        for apart in apart {
            let part = row.narrow(0, from, apart.dim(0).unwrap()).unwrap();
            from += apart.dim(0).unwrap();
            let far = (part - &apart).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            let largest = apart.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(far < 1e-5 * largest, "{family}: {far} of {largest}");
        }
        let alone = of(&line(&longer, ""))[0].get(0).unwrap();
        assert!(same(&[alone], &[packed_rows[0].get(1).unwrap()]), "{family}");
        let plain = of(&line(&both, ""))[0].get(0).unwrap();
        assert!(!same(&[plain.narrow(0, 8, 5).unwrap()], &[row.narrow(0, 8, 5).unwrap()]), "{family}");
    }
}

#[test]
fn labels_of_whole_sequences_hinder_no_model_that_predicts_no_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let headless = Intake { objective: None, classes: 0, decoder_only: false, ..causal() };
    for labels in ["1", "0.5", "[0.0, 1.0]", "null", "\"positive\""] {
        let text = format!("{{\"input_ids\": [1, 2], \"labels\": {labels}}}\n");
        let input = Input::Tokens(write(folder.path(), &text));
        let corpus = open(&input, &headless, &score()).unwrap();
        assert_eq!(read(&corpus)[0].labels, None, "{labels}");
        assert_eq!(unused(&corpus).join("").ends_with("read it: labels"), labels != "null", "{labels}");
        if labels != "null" {
            assert!(fault(&input, &causal()).contains("labels is no list of token ids"), "{labels}");
        }
    }
}

#[test]
fn positions_of_images_of_other_sizes_are_those_of_transformers() {
    for family in ["vit", "deit", "clip_vision_model", "siglip_vision_model", "dinov2", "dinov2_with_registers"] {
        let (model, intake) = fixture(family);
        let path = crate::common::test_data().join(format!("resized/{family}.safetensors"));
        let wanted = &crate::common::reference(&path)["last_hidden_state"];
        let network = model.network(&Device::Cpu, DType::F32).unwrap();
        let mut states = Vec::new();
        for batch in read(&open(&Input::Inputs(path), &intake, &CorpusSettings::default()).unwrap()) {
            let gates = pillars::network::Gates::open();
            states.push(network.hidden(&batch, &gates, &mut pillars::network::NoProbe).unwrap().states);
        }
        let got = Tensor::cat(&states, 0).unwrap();
        let most = |x: &Tensor| x.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(most(&(&got - wanted).unwrap()) < 1e-4 * most(wanted), "{family}");
    }
}

#[test]
fn images_of_any_size_come_as_they_are_where_the_model_reads_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("inputs.safetensors");
    let (model, intake) = fixture("dinov2");
    // Made for 16 x 16 with patches of 4 x 4.
    save(&path, &[("pixel_values", Tensor::ones((1, 3, 20, 12), DType::F32, &Device::Cpu).unwrap())]);
    let corpus = open(&Input::Inputs(path), &intake, &score()).unwrap();
    assert_eq!(results(&model, &corpus)[0].dims(), [1, 1 + 5 * 3, 32]);
    assert_eq!(corpus.largest(model.spec()).source, 1 + 5 * 3);
}
