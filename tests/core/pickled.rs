//! Checkpoints as `torch.save` writes them, made by `tests/data/pickled/make.py` with Python's own pickle.
use std::path::PathBuf;

use crate::common::{batch, fixtures, reference, test_data};
use candle_core::{DType, Device};
use pillars::Ticket;
use pillars::checkpoint::Stored;
use pillars::model::Model;
use pillars::plan::Plan;
use pillars::pruning::{self, ExportFormat, ExportOptions};

fn made(name: &str) -> PathBuf {
    test_data().join("pickled").join(name)
}

#[test]
fn every_shape_of_them_holds_the_tensors_of_the_fixture() {
    let want = Model::open(fixtures().join("llama")).unwrap();
    for name in ["single", "sharded", "nested"] {
        let model = Model::open(made(name)).unwrap();
        for tensor in want.checkpoint().names() {
            let (got, info) = (model.checkpoint().read(tensor).unwrap(), want.checkpoint().info(tensor).unwrap());
            assert_eq!(got, want.checkpoint().read(tensor).unwrap(), "{name} {tensor}");
            let found = model.checkpoint().info(tensor).unwrap();
            assert_eq!((&found.shape, found.stored), (&info.shape, info.stored), "{name} {tensor}");
        }
    }
    let single = Model::open(made("single")).unwrap();
    assert_eq!(single.unused(), ["model.rotary.mask", "model.position_ids"]);
    assert_eq!(single.checkpoint().info("model.rotary.mask").unwrap().stored, Stored::Bool);
    assert_eq!(single.checkpoint().info("model.position_ids").unwrap().stored, Stored::I64);
}

#[test]
fn one_is_pruned_into_safetensors() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let model = Model::open(made("single")).unwrap();
    let plan = Plan::parse_any(r#"{"decoder.0": [2, 3]}"#).unwrap();
    let options = ExportOptions::default();
    let format = ExportFormat::Compact;
    pruning::export(&model, &plan, format, &out, &options, None, &Ticket::default()).unwrap();
    assert!(out.join("model.safetensors").is_file() && !out.join("pytorch_model.bin").exists());
    let input = batch(&reference(&fixtures().join("llama/reference.safetensors")));
    let run = |model: &Model| {
        let network = model.network(&Device::Cpu, DType::F32).unwrap();
        network.run(&input).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    let other = folder.path().join("other");
    let same = Model::open(fixtures().join("llama")).unwrap();
    pruning::export(&same, &plan, format, &other, &options, None, &Ticket::default()).unwrap();
    assert_eq!(run(&Model::open(&out).unwrap()), run(&Model::open(&other).unwrap()));
}

/// The archive `single` with `change` made to its bytes, opened.
fn spoiled(change: impl Fn(&mut Vec<u8>)) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(made("single").join("config.json"), folder.path().join("config.json")).unwrap();
    let mut bytes = std::fs::read(made("single").join("pytorch_model.bin")).unwrap();
    change(&mut bytes);
    std::fs::write(folder.path().join("pytorch_model.bin"), bytes).unwrap();
    Model::open(folder.path()).map(|_| String::new()).unwrap_or_else(|e| e.to_string())
}

/// Every place of `part` in `bytes`.
fn places(bytes: &[u8], part: &[u8]) -> Vec<usize> {
    (0..bytes.len() - part.len()).filter(|at| bytes[*at..].starts_with(part)).collect()
}

fn replace(bytes: &mut [u8], part: &[u8], with: &[u8]) {
    assert_eq!(part.len(), with.len());
    for at in places(bytes, part) {
        bytes[at..at + part.len()].copy_from_slice(with);
    }
}

#[test]
fn what_would_be_passed_over_is_an_error() {
    assert_eq!(spoiled(|_| {}), "");
    let cases: [(&[u8], &[u8], &str); 5] = [
        (
            b"_rebuild_tensor_v2",
            b"_rebuild_tensor_v9",
            "is made by torch._utils._rebuild_tensor_v9, which is not known",
        ),
        (b"torch\nLongStorage", b"torch\nLoveStorage", "is stored as LoveStorage, which is not known"),
        // Rows and columns of a matrix of 96 rows change places.
        (b"K K\x01\x86", b"K\x01K\x60\x86", "is a transposed or strided view"),
        // A length that the storage does not have.
        (b"K\x60K \x86", b"K\xffK \x86", "bytes of a storage of"),
        (b"archive/byteorder", b"archive/byteordes", ""),
    ];
    for (part, with, why) in cases {
        let error = spoiled(|bytes| replace(bytes, part, with));
        assert!(error.contains(why), "{why}: {error}");
        assert!(why.is_empty() || error.contains("convert the model to safetensors"), "{error}");
    }
    let big = spoiled(|bytes| replace(bytes, b"little", b"bigbig"));
    assert!(big.contains("big-endian"), "{big}");
}

#[test]
fn claims_of_gigabytes_are_refused_before_memory_is_asked_for() {
    let directory = |bytes: &[u8]| *places(bytes, b"PK\x01\x02").first().unwrap();
    // Sizes of the first entry, the pickle.
    let entry = spoiled(|bytes| {
        let at = directory(bytes) + 20;
        bytes[at..at + 8].copy_from_slice(&[0xf0, 0xff, 0xff, 0x7f, 0xf0, 0xff, 0xff, 0x7f]);
    });
    assert!(entry.contains("claims 2147483632 bytes of 98020"), "{entry}");
    let packed = spoiled(|bytes| {
        let at = directory(bytes) + 10;
        bytes[at] = 8;
    });
    assert!(packed.contains("is compressed"), "{packed}");
    let whole = spoiled(|bytes| {
        let at = *places(bytes, b"PK\x05\x06").last().unwrap();
        bytes[at + 12..at + 16].copy_from_slice(&[0xff, 0xff, 0xff, 0x7f]);
    });
    assert!(whole.contains("its directory claims"), "{whole}");
    // A text in the pickle that claims to be long.
    let text = spoiled(|bytes| replace(bytes, b"X\x0e\x00\x00\x00lm_head.weight", b"X\xff\xff\xff\xfflm_head.weight"));
    assert!(text.contains("ends inside an instruction"), "{text}");
}

#[test]
fn no_damage_makes_it_panic() {
    let whole = std::fs::read(made("single").join("pytorch_model.bin")).unwrap();
    let pickle = places(&whole, b"\x80\x02ccoll")[0];
    for at in (pickle..pickle + 1200).step_by(7) {
        for byte in [0u8, 0x2e, 0x52, 0x71, 0xff] {
            let _ = spoiled(|bytes| bytes[at] = byte);
        }
    }
    let directory = places(&whole, b"PK\x01\x02")[0];
    for at in directory..(directory + 200).min(whole.len()) {
        let _ = spoiled(|bytes| bytes[at] = 0xff);
    }
    for keep in [0, 3, 4, 30, pickle, directory, whole.len() - 22, whole.len() - 1] {
        assert_ne!(spoiled(|bytes| bytes.truncate(keep)), "", "{keep}");
    }
}

#[test]
fn files_before_release_1_6_say_so() {
    let error = spoiled(|bytes| *bytes = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.".to_vec());
    assert!(error.contains("since release 1.6") && error.contains("save it again"), "{error}");
}
