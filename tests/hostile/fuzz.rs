//! Every reader of files against damaged ones: bytes flipped, cut, doubled, spliced, numbers replaced by extremes.
//!
//! Each target begins with files that this program or others wrote and damages them by a seeded generator, so that a
//! failure comes back. A damaged file must be read, or refused in one line; it must neither panic nor ask for memory that
//! its size does not explain. `PILLARS_FUZZ=100000` sets the number of executions of each target; without it a few hundred
//! keep the suite short. A failure leaves the file in the system's folder for temporary files and names it.

use std::fs;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use pillars::analysis::{Document, Moments};
use pillars::checkpoint::GgufFile;
use pillars::corpus::{Corpus, CorpusSettings, Input, Intake, TextTokenizer};
use pillars::engines::{EngineOptions, export};
use pillars::model::Model;
use pillars::plan::snap;
use pillars::pruning::Engine;
use pillars::repair::{Repair, RepairMode};
use pillars::run::RepairSpec;
use pillars::workspace::Workspace;
use pillars::{Amount, Analysis, Method, Opened, Plan, PlanRequest, Spec, Ticket};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use candle_core::{DType, Device};

use crate::common::{batch, fixtures, reference, test_data};
use crate::{assert_one_line, largest};

/// The most that a reader of a small file may ask for in one piece.
const MODERATE_BYTES: usize = 64 << 20;
/// A decoder of images may hold a picture whole; it has a bound of its own.
const PICTURE_BYTES: usize = 600 << 20;

fn executions() -> usize {
    std::env::var("PILLARS_FUZZ").ok().and_then(|n| n.parse().ok()).unwrap_or(300)
}

/// Values that careless readers trip over, as text and as little-endian bytes.
const TEXTS: [&str; 14] = [
    "-1",
    "0",
    "1",
    "null",
    "18446744073709551615",
    "9223372036854775807",
    "1e400",
    "-0.0",
    "NaN",
    "\"\"",
    "[]",
    "{}",
    "1e-320",
    "4294967296",
];
const NUMBERS: [u64; 8] = [0, 1, 0x7f, 0xff, 0x7fff_ffff, 0xffff_ffff, 1 << 40, u64::MAX];

/// One to four damages to one of `seeds`.
fn damaged(seeds: &[Vec<u8>], random: &mut StdRng) -> Vec<u8> {
    let mut bytes = seeds[random.gen_range(0..seeds.len())].clone();
    for _ in 0..random.gen_range(1..=4) {
        if bytes.is_empty() {
            break;
        }
        // Beginnings hold what the rest is read by.
        let reach = if random.gen_bool(0.5) { bytes.len() } else { bytes.len().min(256) };
        let at = random.gen_range(0..reach);
        let length = random.gen_range(1..=(bytes.len() - at).min(32));
        match random.gen_range(0..9) {
            0 => bytes[at] ^= 1 << random.gen_range(0..8),
            1 => bytes[at] = random.r#gen(),
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..at + length)),
            4 => {
                let piece = bytes[at..at + length].to_vec();
                bytes.splice(at..at, piece);
            }
            5 => {
                let other = &seeds[random.gen_range(0..seeds.len())];
                let from = random.gen_range(0..other.len());
                let piece = other[from..other.len().min(from + 64)].to_vec();
                bytes.splice(at..at, piece);
            }
            6 => {
                let number = NUMBERS[random.gen_range(0..NUMBERS.len())].to_le_bytes();
                let width = [1, 2, 4, 8][random.gen_range(0..4)].min(bytes.len() - at);
                bytes[at..at + width].copy_from_slice(&number[..width]);
            }
            // The next number or word of a text.
            _ => {
                let word = |b: &u8| b.is_ascii_alphanumeric() || b"-.+".contains(b);
                let begin = at + bytes[at..].iter().position(word).unwrap_or(0);
                let end = begin + bytes[begin..].iter().position(|b| !word(b)).unwrap_or(0);
                let text = TEXTS[random.gen_range(0..TEXTS.len())];
                bytes.splice(begin..end, text.bytes());
            }
        }
    }
    bytes
}

/// Writes damaged files to `path` and lets `read` read each.
fn fuzz(target: &str, seeds: &[Vec<u8>], path: &Path, most: usize, read: impl Fn() -> pillars::Result<()>) {
    let mut random = StdRng::seed_from_u64(target.bytes().map(u64::from).sum());
    let (mut taken, mut refused) = (0usize, 0usize);
    // The files themselves are read.
    for seed in seeds {
        fs::write(path, seed).unwrap();
        read().unwrap();
    }
    for execution in 0..executions() {
        let bytes = damaged(seeds, &mut random);
        fs::write(path, &bytes).unwrap();
        largest();
        let keep = |why: &str| -> ! {
            let kept = std::env::temp_dir().join(format!("pillars-fuzz-{target}-{execution}"));
            fs::write(&kept, &bytes).unwrap();
            panic!("{target}, execution {execution}: {why}; the file is {}", kept.display());
        };
        match catch_unwind(AssertUnwindSafe(&read)) {
            Ok(Ok(())) => taken += 1,
            Ok(Err(error)) => {
                refused += 1;
                assert_one_line(&error);
            }
            Err(_) => keep("a panic"),
        }
        let asked = largest();
        if asked > most {
            keep(&format!("{asked} bytes were asked for"));
        }
    }
    println!("{target}: {} executions, {taken} read, {refused} refused", taken + refused);
    assert!(refused > executions() / 20, "{target}: damage must matter: {taken} read, {refused} refused");
}

/// Files that this program writes, from a small model.
struct Written {
    analysis: Analysis,
    moments: Vec<u8>,
    plan: Plan,
    repair: Vec<u8>,
}

fn tokens() -> Vec<u8> {
    let line =
        |n: usize| format!("{{\"input_ids\": {:?}}}\n", (0..24).map(|i| 3 + (i * 7 + n * 5) % 90).collect::<Vec<_>>());
    (0..12).map(line).collect::<String>().into_bytes()
}

fn written() -> &'static Written {
    static MADE: OnceLock<Written> = OnceLock::new();
    MADE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.jsonl");
        fs::write(&path, tokens()).unwrap();
        let ticket = Ticket::default();
        let model = Opened::open(&fixtures().join("llama"), &ticket).unwrap();
        let spec = Spec { input: Some(Input::Tokens(path)), batch_size: Some(4), moments: true, ..Spec::default() };
        let run = spec.check(&model).map_err(pillars::refusal).unwrap();
        let found = run.analyze(&ticket).unwrap();
        let plan =
            pillars::propose(&found.analysis, &PlanRequest::new(Method::Votes, Amount::LayerRatio(0.5))).unwrap();
        let moments = found.moments.unwrap();
        let wanted = RepairSpec { mode: RepairMode::Refit, ..RepairSpec::default() };
        let repair = run.repair(&plan, Some(&moments), &wanted, &ticket).unwrap();
        let [sums, outputs] = ["a.moments.safetensors", "r.safetensors"].map(|name| folder.path().join(name));
        moments.write(&sums).unwrap();
        repair.write(&outputs).unwrap();
        let [moments, repair] = [sums, outputs].map(|path| fs::read(path).unwrap());
        Written { analysis: found.analysis, moments, plan, repair }
    })
}

/// A document of this program: what reads it checks what its numbers say of each other.
fn fuzz_document<D: Document>(target: &str, text: String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("document.json");
    fuzz(target, &[text.into_bytes()], &path, MODERATE_BYTES, || D::read(&path).map(drop));
}

#[test]
fn analyses() {
    fuzz_document::<Analysis>("analysis", written().analysis.to_json().unwrap());
}

#[test]
fn workspaces() {
    let workspace = Workspace { analysis: Some(written().analysis.clone().into()), ..Workspace::default() };
    fuzz_document::<Workspace>("workspace", workspace.to_json().unwrap());
}

/// What reads also serves: a plan is applied to the shape of the model it is for.
#[test]
fn plans() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plan.json");
    let mask = serde_json::to_string(&written().plan.kept).unwrap();
    let seeds = [written().plan.to_json().unwrap(), mask].map(String::into_bytes);
    let model = Model::open(fixtures().join("llama")).unwrap();
    fuzz("plan", &seeds, &path, MODERATE_BYTES, || {
        let plan = Plan::read_any(&path)?;
        snap(model.spec(), &plan).map(drop)
    });
}

#[test]
fn moments_and_repairs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    fuzz("moments", &[written().moments.clone()], &path, MODERATE_BYTES, || Moments::read(&path).map(drop));
    fuzz("repair", &[written().repair.clone()], &path, MODERATE_BYTES, || Repair::read(&path).map(drop));
}

/// A copy of a checkpoint of which one file is damaged: what opens also computes.
fn fuzz_model(target: &str, source: PathBuf, file: &str) {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(&source).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_file() && entry.file_name() != "reference.safetensors" {
            fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
        }
    }
    let seed = fs::read(source.join(file)).unwrap();
    let input = batch(&reference(&fixtures().join("llama/reference.safetensors")));
    fuzz(target, &[seed], &folder.path().join(file), MODERATE_BYTES, || {
        let model = Model::open(folder.path())?;
        // Values of no meaning may give no meaning, but no panic.
        model.network(&Device::Cpu, DType::F32)?.run(&input).map(drop)
    });
}

#[test]
fn weights_and_configurations() {
    fuzz_model("safetensors", fixtures().join("llama"), "model.safetensors");
    fuzz_model("config", fixtures().join("llama"), "config.json");
    fuzz_model("pickle", test_data().join("pickled/single"), "pytorch_model.bin");
    fuzz_model("index", test_data().join("pickled/sharded"), "pytorch_model.bin.index.json");
}

#[test]
fn gguf_files() {
    let folder = tempfile::tempdir().unwrap();
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample_models/austen-plain");
    let (model, out) = (Model::open(&sample).unwrap(), folder.path().join("out"));
    let options = EngineOptions::default();
    export(Engine::Gguf, &model, &Plan::default(), &out, &options, &Ticket::default()).unwrap();
    let path = out.join("model.gguf");
    let seed = fs::read(&path).unwrap();
    fuzz("gguf", &[seed], &path, MODERATE_BYTES, || {
        let file = GgufFile::open(&path)?;
        // The tensors that lie last are cut first.
        file.names().into_iter().try_for_each(|name| file.rows(name, 0, 1).map(drop))
    });
}

#[test]
fn tokenizers() {
    let folder = tempfile::tempdir().unwrap();
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample_models/austen-plain");
    for name in ["config.json", "tokenizer_config.json"] {
        fs::copy(sample.join(name), folder.path().join(name)).unwrap();
    }
    for name in ["tokenizer.json", "tokenizer_config.json"] {
        fs::copy(sample.join("tokenizer.json"), folder.path().join("tokenizer.json")).unwrap();
        let seed = fs::read(sample.join(name)).unwrap();
        fuzz(name, &[seed], &folder.path().join(name), MODERATE_BYTES, || {
            TextTokenizer::load(folder.path())?.encode("It is a truth universally acknowledged \u{1f600} 42.").map(drop)
        });
    }
}

/// Reads an input to its end.
fn read_all(model: &Model, input: &Input) -> pillars::Result<()> {
    let settings = CorpusSettings { batch_size: 4, ..CorpusSettings::default() };
    let folder = model.checkpoint().folder();
    let corpus = Corpus::open(input, folder, &Intake::of(model)?, &settings, &Ticket::default())?;
    corpus.batches(&Device::Cpu).try_for_each(|batch| batch.map(drop))
}

#[test]
fn inputs() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let model = Model::open(fixtures().join("bert")).unwrap();
    let file = path("tokens.jsonl");
    fuzz("tokens", &[tokens()], &file, MODERATE_BYTES, || read_all(&model, &Input::Tokens(file.clone())));
    let file = path("inputs.safetensors");
    let seed = fs::read(fixtures().join("bert/reference.safetensors")).unwrap();
    fuzz("inputs", &[seed], &file, MODERATE_BYTES, || read_all(&model, &Input::Inputs(file.clone())));
    let sample = Model::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("sample_models/austen-plain")).unwrap();
    let text = "It is a truth universally acknowledged, that a single man must be in want of a wife.\n".repeat(8);
    let file = path("text.txt");
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(text.as_bytes()).unwrap();
    let seeds = [text.into_bytes(), packed.finish().unwrap()];
    fuzz("text", &seeds, &file, MODERATE_BYTES, || read_all(&sample, &Input::Text(file.clone())));
}

#[test]
fn images() {
    let folder = tempfile::tempdir().unwrap();
    let model = Model::open(fixtures().join("vit")).unwrap();
    let data = test_data();
    for (name, source) in [("a.png", "images/a_small.png"), ("b.jpg", "photos/photo.jpg")] {
        let pictures = folder.path().join(name);
        fs::create_dir(&pictures).unwrap();
        let seed = fs::read(data.join(source)).unwrap();
        fuzz(name, &[seed], &pictures.join(name), PICTURE_BYTES, || read_all(&model, &Input::Images(pictures.clone())));
    }
}
