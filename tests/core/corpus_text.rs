//! Text, lines and sentence pairs become the sequences that the model's own tokenizer gives.
use std::path::{Path, PathBuf};

use candle_core::Device;
use pillars::corpus::{
    BatchOrder, Corpus, CorpusSettings, Input, Intake, MaskRule, Purpose, SourceKind, TextPacking, TextTokenizer,
    TokenLimits, Total,
};
use pillars::model::DecoderStart;
use pillars::network::{Batch, Objective, Source};
use pillars::task::Ticket;

/// Ids that Hugging Face transformers gives the two texts of `sample.txt` (12 `[CLS]`, 13 `[SEP]`).
const REFERENCE: [&[u32]; 2] = [
    &[12, 16, 16, 17, 22, 19, 18, 19, 24, 19, 16, 16, 29, 16, 16, 17, 22, 19, 18, 19, 16, 16, 24, 19, 13],
    &[
        12, 15, 20, 15, 15, 15, 15, 15, 20, 37, 24, 19, 54, 17, 19, 18, 15, 20, 15, 15, 15, 15, 15, 20, 29, 15, 20, 15,
        15, 15, 17, 31, 15, 21, 15, 15, 15, 15, 15, 21, 18, 15, 15, 20, 13,
    ],
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/rxnfp")
}

fn encoder() -> Intake {
    Intake {
        source: SourceKind::Tokens(TokenLimits { vocabulary: 591, max_length: Some(512) }),
        target: None,
        decoder_only: false,
        objective: Some(Objective::Masked),
        classes: 591,
        task: None,
        types: 0,
        positions: pillars::corpus::PositionIds::Unused,
        keeps_apart: false,
        pad: 0,
        decoder_start: None,
        end: None,
    }
}

fn causal() -> Intake {
    Intake { decoder_only: true, objective: Some(Objective::Causal), ..encoder() }
}

fn encoder_decoder() -> Intake {
    Intake {
        target: Some(TokenLimits { vocabulary: 591, max_length: Some(512) }),
        decoder_start: Some(DecoderStart::Id(3)),
        end: Some(13),
        objective: Some(Objective::Causal),
        ..encoder()
    }
}

fn settings(seq_len: usize) -> CorpusSettings {
    CorpusSettings { seq_len: Some(seq_len), batch_size: 4, ..CorpusSettings::default() }
}

fn open(input: &Input, intake: &Intake, settings: &CorpusSettings) -> pillars::Result<Corpus> {
    Corpus::open(input, &folder(), intake, settings, &Ticket::default())
}

fn batches(corpus: &Corpus) -> Vec<Batch> {
    corpus.batches(&Device::Cpu).collect::<Result<_, _>>().unwrap()
}

/// The real ids of every sequence, and the labels beside them.
fn rows(corpus: &Corpus) -> Vec<(Vec<u32>, Vec<Option<u32>>)> {
    let mut rows = Vec::new();
    for batch in batches(corpus) {
        let Source::Tokens(tokens) = &batch.source else { panic!("not tokens") };
        let ids: Vec<Vec<u32>> = tokens.ids.to_vec2().unwrap();
        for (n, ids) in ids.iter().enumerate() {
            let real = tokens.mask.row(n).iter().filter(|r| **r).count();
            assert!(tokens.mask.row(n)[..real].iter().all(|r| *r), "padding comes last");
            let labels = batch.labels.as_ref().map_or(Vec::new(), |l| l[n * ids.len()..][..real].to_vec());
            rows.push((ids[..real].to_vec(), labels));
        }
    }
    rows
}

fn write(folder: &tempfile::TempDir, text: &str) -> PathBuf {
    let path = folder.path().join("text.txt");
    std::fs::write(&path, text).unwrap();
    path
}

fn reactions(count: usize) -> String {
    let parts = ["CC(=O)O", "OCC", "c1ccccc1Br", "OB(O)c1ccccc1", "N#N", "[Na+]", "C(C)(C)C"];
    (0..count).map(|i| format!("{}.{}>>{}\n", parts[i % 7], parts[(i * 3 + 1) % 7], parts[(i * i) % 7])).collect()
}

#[test]
fn lines_are_tokenised_as_transformers_does() {
    let corpus = open(&Input::Text(folder().join("sample.txt")), &encoder(), &settings(64)).unwrap();
    let ids: Vec<Vec<u32>> = rows(&corpus).into_iter().map(|(ids, _)| ids).collect();
    assert_eq!(ids, REFERENCE);
    assert_eq!(corpus.total(), Some(Total::Exact(1)));
    assert_eq!(corpus.describe(), "text sample.txt, by line, up to 64 tokens");
}

#[test]
fn long_lines_are_split_with_special_tokens_around_each_piece() {
    let corpus = open(&Input::Text(folder().join("sample.txt")), &encoder(), &settings(20)).unwrap();
    let body = &REFERENCE[1][1..44];
    let pieces = [&body[..18], &body[18..36], &body[36..]].map(|piece| [&[12], piece, &[13]].concat());
    let ids: Vec<Vec<u32>> = rows(&corpus).into_iter().map(|(ids, _)| ids).collect();
    assert_eq!(ids[2..], pieces);
}

#[test]
fn packed_text_equals_a_plain_recomputation() {
    let temporary = tempfile::tempdir().unwrap();
    // More than one window of the stream.
    let text = reactions(20_000);
    assert!(text.len() > 400_000);
    let path = write(&temporary, &text.replace('\n', "\r\n"));
    let mut tokenizer = tokenizers::Tokenizer::from_file(folder().join("tokenizer.json")).unwrap();
    tokenizer.with_padding(None);
    let ids = tokenizer.encode(text.as_str(), true).unwrap().get_ids().to_vec();
    let corpus = open(&Input::Text(path.clone()), &causal(), &settings(100)).unwrap();
    let guess = corpus.total().unwrap();
    let read = rows(&corpus.with(|s| s.purpose = Purpose::Score));
    let expected: Vec<&[u32]> = ids.chunks(100).filter(|chunk| chunk.len() > 1).collect();
    assert_eq!(read.len(), expected.len());
    for ((ids, labels), expected) in read.iter().zip(expected) {
        assert_eq!(ids, expected);
        let next: Vec<Option<u32>> = expected[1..].iter().map(|id| Some(*id)).chain([None]).collect();
        assert_eq!(labels, &next);
    }
    let exact = (read.len() as u64).div_ceil(4);
    // The beginning of this text is like the rest, so the guess is near; after one pass it is known.
    assert!(matches!(guess, Total::Estimate(n) if n.abs_diff(exact) * 50 < exact), "{guess:?}, {exact}");
    assert_eq!(corpus.total(), Some(Total::Exact(exact)));

    let each =
        open(&Input::Text(path), &causal(), &CorpusSettings { packing: TextPacking::Sequences, ..settings(100) })
            .unwrap();
    let bare = tokenizer.encode(text.as_str(), false).unwrap().get_ids().to_vec();
    let expected: Vec<Vec<u32>> = bare.chunks(99).map(|chunk| [&[12], chunk].concat()).collect();
    assert!(rows(&each).into_iter().map(|(ids, _)| ids).eq(expected));
}

#[test]
fn a_short_text_is_one_short_sequence() {
    let temporary = tempfile::tempdir().unwrap();
    let corpus = open(&Input::Text(write(&temporary, "CCO\n")), &causal(), &settings(100)).unwrap();
    assert_eq!(rows(&corpus)[0].0, [12, 16, 16, 19, 13]);
    assert_eq!(corpus.total(), Some(Total::Exact(1)));
}

#[test]
fn masks_do_not_depend_on_batches_or_order() {
    let temporary = tempfile::tempdir().unwrap();
    let input = Input::Text(write(&temporary, &reactions(300)));
    let plain = open(&input, &encoder(), &CorpusSettings { batch_size: 7, ..settings(32) }).unwrap();
    assert!(rows(&plain).iter().all(|(_, labels)| labels.is_empty()), "only scoring hides tokens");
    let corpus = plain.with(|s| s.purpose = Purpose::Score);
    let first = rows(&corpus);
    let mut hidden = 0;
    for ((shown, labels), (original, _)) in first.iter().zip(rows(&plain)) {
        for t in 0..original.len() {
            match labels[t] {
                Some(label) => assert_eq!(label, original[t]),
                None => assert_eq!(shown[t], original[t]),
            }
            hidden += usize::from(shown[t] == 14);
        }
        assert!(labels.iter().any(Option::is_some) && labels[0].is_none() && labels[original.len() - 1].is_none());
    }
    assert!(hidden > 300);
    assert_eq!(rows(&corpus.with(|s| s.batch_size = 32)), first);
    let sort = |mut rows: Vec<(Vec<u32>, Vec<Option<u32>>)>| {
        rows.sort();
        rows
    };
    assert_eq!(sort(rows(&corpus.with(|s| s.order = BatchOrder::ByLength))), sort(first.clone()));
    assert_ne!(rows(&corpus.with(|s| s.seed = 1)), first);
    let all = rows(&corpus.with(|s| s.masking.rule = MaskRule::All));
    assert!(all.iter().all(|(ids, labels)| ids.iter().zip(labels).all(|(id, l)| (*id == 14) == l.is_some())));
    assert_eq!(corpus.notes(), Vec::<String>::new());
}

#[test]
fn like_lengths_together_waste_less_on_padding() {
    let temporary = tempfile::tempdir().unwrap();
    let text: String = (0..200).map(|i| format!("{}\n", "C".repeat(1 + (i * 37) % 60))).collect();
    let corpus = open(&Input::Text(write(&temporary, &text)), &encoder(), &settings(64)).unwrap();
    let padded = |corpus: &Corpus| -> usize {
        batches(corpus)
            .iter()
            .map(|batch| match &batch.source {
                Source::Tokens(tokens) => tokens.mask.real().iter().filter(|real| !**real).count(),
                _ => panic!("not tokens"),
            })
            .sum()
    };
    let sorted = corpus.with(|s| s.order = BatchOrder::ByLength);
    assert!(padded(&sorted) * 10 < padded(&corpus), "{} {}", padded(&sorted), padded(&corpus));
    assert_eq!(batches(&sorted).len(), 50);
}

#[test]
fn pairs_are_taught_by_force() {
    let temporary = tempfile::tempdir().unwrap();
    let text = "id 1\tCC\tCO\n\nid 2\tC\tCCCC\nid 3\t\tC\n";
    let input = |columns| Input::Pairs { path: write(&temporary, text), columns, language: None };
    let corpus = open(&input(None), &encoder_decoder(), &settings(64)).unwrap();
    assert_eq!(corpus.describe(), "pairs text.txt, 2 pairs of columns 2 and 3, cut at 64 tokens");
    assert_eq!(corpus.notes(), ["1 line without a source or a target left out"]);
    let batch = &batches(&corpus)[0];
    let Source::Tokens(source) = &batch.source else { panic!("not tokens") };
    assert_eq!(source.ids.to_vec2::<u32>().unwrap(), [[12, 16, 16, 13], [12, 16, 13, 0]]);
    // Labels: the target with its special tokens (12 .. 13, which ends it); the decoder reads them one later, behind
    // the start token 3.
    let target = batch.target.as_ref().unwrap();
    assert_eq!(target.ids.to_vec2::<u32>().unwrap(), [[3, 12, 16, 19, 0, 0], [3, 12, 16, 16, 16, 16]]);
    assert_eq!(target.mask.row(0), [true, true, true, true, false, false]);
    let first = [Some(12), Some(16), Some(19), Some(13), None, None];
    let second = [12, 16, 16, 16, 16, 13].map(Some);
    assert_eq!(batch.labels.as_deref(), Some(&[first, second].concat()[..]));
    // The other way round.
    let back = &batches(&open(&input(Some((3, 2))), &encoder_decoder(), &settings(64)).unwrap())[0];
    assert_eq!(back.target.as_ref().unwrap().ids.to_vec2::<u32>().unwrap(), [[3, 12, 16, 16], [3, 12, 16, 0]]);
    // A tokenizer that does not end sentences itself: the end token of the configuration does.
    let ended = Intake { end: Some(5), ..encoder_decoder() };
    let labels = batches(&open(&input(None), &ended, &settings(64)).unwrap())[0].labels.clone().unwrap();
    assert_eq!(labels[..5], [12, 16, 19, 13, 5].map(Some));
    // What is too long is cut; the special tokens stay.
    let cut = &batches(&open(&input(None), &encoder_decoder(), &settings(4)).unwrap())[0];
    assert_eq!(cut.target.as_ref().unwrap().ids.to_vec2::<u32>().unwrap(), [[3, 12, 16], [3, 12, 16]]);
}

#[test]
fn text_for_an_encoder_decoder_is_read_twice() {
    let temporary = tempfile::tempdir().unwrap();
    let corpus = open(&Input::Text(write(&temporary, "CCO\n")), &encoder_decoder(), &settings(64)).unwrap();
    let batch = &batches(&corpus)[0];
    let target = batch.target.as_ref().unwrap();
    assert_eq!(target.ids.to_vec2::<u32>().unwrap(), [[3, 12, 16, 16, 19]]);
    assert_eq!(batch.labels.as_deref(), Some(&[12, 16, 16, 19, 13].map(Some)[..]));
    assert!(corpus.notes()[0].contains("--pairs"));
}

#[test]
fn wrong_requests_and_files_are_named() {
    let temporary = tempfile::tempdir().unwrap();
    let fault = |text: &str, intake: &Intake, settings: &CorpusSettings| {
        open(&Input::Text(write(&temporary, text)), intake, settings).unwrap_err()
    };
    let error = fault("CC", &encoder(), &settings(513));
    assert!(error.kind() == pillars::error::ErrorKind::Usage && error.to_string().contains("--seq-len 512"), "{error}");
    assert!(fault("CC", &encoder(), &settings(3)).to_string().contains("--seq-len 4 or more"));
    assert!(fault(" \n\n", &encoder(), &settings(64)).to_string().contains("holds no text"));
    let small = Intake { source: SourceKind::Tokens(TokenLimits { vocabulary: 18, max_length: None }), ..encoder() };
    let error = fault("CC(O)", &small, &settings(64)).to_string();
    assert!(error.contains("the tokenizer gives id") && error.contains("vocabulary has 18"), "{error}");
    let none = Corpus::open(
        &Input::Text(write(&temporary, "CC")),
        temporary.path(),
        &encoder(),
        &settings(64),
        &Ticket::default(),
    );
    assert!(none.unwrap_err().to_string().contains("tokenizer.json"));
    std::fs::write(temporary.path().join("tokenizer.json"), "{}").unwrap();
    assert!(TextTokenizer::load(temporary.path()).unwrap_err().to_string().contains("not a tokenizer.json"));

    let pairs = |text: &str, columns| {
        let input = Input::Pairs { path: write(&temporary, text), columns, language: None };
        open(&input, &encoder_decoder(), &settings(64)).unwrap_err().to_string()
    };
    assert!(pairs("CC CO\n", None).contains("the first line has no tab"));
    let error = pairs("C\tCC\nC\n", None);
    assert!(error.contains("line 2 has 1 column, but column 2 is needed"), "{error}");
    assert!(pairs("C\tCC\n", Some((1, 3))).contains("line 1 has 2 columns, but column 3"));
    assert!(pairs("C\tCC\n", Some((0, 1))).contains("counted from 1"));
    assert!(pairs("", None).contains("no pair"));
    let input = Input::Pairs { path: write(&temporary, "C\tCC\n"), columns: None, language: None };
    assert!(open(&input, &encoder(), &settings(64)).unwrap_err().to_string().contains("encoder-decoder"));
}

#[test]
fn encoders_fill_their_sequences_from_running_text_where_asked() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(&folder, &reactions(200));
    let input = Input::Text(path.clone());
    let tokenizer = TextTokenizer::load(&self::folder()).unwrap();
    let whole = tokenizer.encode(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let packed = CorpusSettings { pack: true, ..settings(32) };
    let corpus = open(&input, &encoder(), &packed).unwrap();
    let found: Vec<Vec<u32>> = rows(&corpus).into_iter().map(|(ids, _)| ids).collect();
    let expected: Vec<Vec<u32>> = whole.chunks(30).map(|piece| tokenizer.wrap(piece)).collect();
    assert_eq!(found, expected);
    assert_eq!(corpus.describe(), "text text.txt, packed to 32 tokens, special tokens around each sequence");
    // As few sequences as there can be.
    assert!(found.len() < rows(&open(&input, &encoder(), &settings(32)).unwrap()).len());
    assert_eq!(corpus.total().map(Total::value), Some(found.len().div_ceil(4) as u64));
    // The decoder of an encoder-decoder reads the same, moved by one.
    let both = open(&input, &encoder_decoder(), &packed).unwrap();
    assert!(batches(&both).iter().all(|batch| batch.target.is_some()));
}

#[test]
fn compressed_text_and_pipes_are_read_whole() {
    let folder = tempfile::tempdir().unwrap();
    let text = reactions(30_000);
    let path = write(&folder, &text);
    let plain = rows(&open(&Input::Text(path.clone()), &causal(), &settings(64)).unwrap());
    // The system's own gzip, not ours.
    assert!(std::process::Command::new("gzip").args(["-k", path.to_str().unwrap()]).status().unwrap().success());
    let packed = open(&Input::Text(folder.path().join("text.txt.gz")), &causal(), &settings(64)).unwrap();
    assert!(rows(&packed) == plain);
    assert!(packed.describe().starts_with("text text.txt.gz, "), "{}", packed.describe());
    let pipe = folder.path().join("pipe");
    if std::process::Command::new("mkfifo").arg(&pipe).status().is_ok_and(|status| status.success()) {
        let to = pipe.clone();
        let writer = std::thread::spawn(move || std::fs::write(to, text).unwrap());
        let piped = open(&Input::Text(pipe.clone()), &causal(), &settings(64)).unwrap();
        writer.join().unwrap();
        // Twice, as commands that measure twice do.
        assert!(rows(&piped) == plain && rows(&piped) == plain);
        let writer = std::thread::spawn({
            let to = pipe.clone();
            move || std::fs::write(to, b"abc\xff\xfe").unwrap()
        });
        let error = open(&Input::Text(pipe), &causal(), &settings(64)).unwrap_err().to_string();
        writer.join().unwrap();
        assert!(error.contains("byte 3 is not UTF-8: ") && error.contains("/pipe; "), "{error}");
    }
}
