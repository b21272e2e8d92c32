//! Files made to harm: code beside a checkpoint, headers that claim gigabytes, archives that unpack to them.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::Duration;

use candle_core::{DType, Device};
use pillars::corpus::{Input, Purpose, TextTokenizer};
use pillars::model::Model;
use serde_json::json;

use crate::common::words::model_of;
use crate::common::{batch, fixtures, reference};
use crate::memory::{largest, largest_anywhere};
use crate::targets::{alone, inputs::read_all};
use crate::{MODEST_BYTES, assert_one_line, keys_of};

/// What lies beside a checkpoint cannot be read without waiting for ever: pipes that nobody writes to.
#[cfg(unix)]
#[test]
fn code_beside_a_checkpoint_is_neither_read_nor_run() {
    let (folder, _) = model_of(&fixtures().join("llama"));
    let codes = ["modeling_llama.py", "configuration_llama.py", "tokenization_llama.py", "__init__.py", "setup.py"];
    for name in codes {
        let pipe = folder.path().join(name);
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    }
    let map = json!({
        "AutoConfig": "configuration_llama.Evil", "AutoModelForCausalLM": "modeling_llama.Evil",
        "AutoTokenizer": ["tokenization_llama.Evil", null],
    });
    let mut keys = keys_of(folder.path());
    keys.extend([("auto_map".to_owned(), map.clone()), ("trust_remote_code".to_owned(), json!(true))]);
    fs::write(folder.path().join("config.json"), json!(keys).to_string()).unwrap();
    let tokenizer =
        json!({"tokenizer_class": "Evil", "auto_map": {"AutoTokenizer": ["tokenization_llama.Evil", null]}});
    fs::write(folder.path().join("tokenizer_config.json"), tokenizer.to_string()).unwrap();
    let input = batch(&reference(&fixtures().join("llama/reference.safetensors")));
    let place = folder.path().to_path_buf();
    let (send, receive) = channel();
    std::thread::spawn(move || {
        let work = || -> pillars::Result<_> {
            let model = Model::open(&place)?;
            TextTokenizer::load(&place)?.encode("w10 w11")?;
            model.network(&Device::Cpu, DType::F32)?.run(&input)
        };
        send.send(work().map(|logits| logits.flatten_all().unwrap().to_vec1::<f32>().unwrap()))
    });
    let got = receive.recv_timeout(Duration::from_secs(120)).expect("something waits for code").unwrap();
    let plain = Model::open(fixtures().join("llama")).unwrap().network(&Device::Cpu, DType::F32).unwrap();
    let input = batch(&reference(&fixtures().join("llama/reference.safetensors")));
    assert_eq!(got, plain.run(&input).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap());
    // A family that only its own code knows is refused.
    keys.insert("model_type".to_owned(), json!("evil"));
    fs::write(folder.path().join("config.json"), json!(keys).to_string()).unwrap();
    assert!(assert_one_line(&Model::open(folder.path()).unwrap_err()).contains("'evil'"));
}

/// A chunk of a PNG file.
fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let body = [kind.as_slice(), data].concat();
    let sum = crc32fast::hash(&body);
    [(data.len() as u32).to_be_bytes().as_slice(), &body, &sum.to_be_bytes()].concat()
}

#[test]
fn pictures_that_claim_gigabytes_are_refused_before_memory_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let model = Model::open(fixtures().join("vit")).unwrap();
    for side in [60_000u32, 0x7fff_ffff] {
        let header = [side.to_be_bytes().as_slice(), &side.to_be_bytes(), &[8, 2, 0, 0, 0]].concat();
        let mut packer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        packer.write_all(&[0; 1 << 16]).unwrap();
        let data = packer.finish().unwrap();
        let chunks = [chunk(b"IHDR", &header), chunk(b"IDAT", &data), chunk(b"IEND", &[])].concat();
        fs::write(folder.path().join("a.png"), [b"\x89PNG\r\n\x1a\n".as_slice(), &chunks].concat()).unwrap();
        assert_modest("a.png", || read_all(&model, &Input::Images(folder.path().to_path_buf()), Purpose::Observe));
    }
}

/// Refused in one line that names the file, without asking for much.
fn assert_modest(name: &str, read: impl FnOnce() -> pillars::Result<()>) {
    let _alone = alone();
    largest();
    largest_anywhere();
    let text = assert_one_line(&read().unwrap_err());
    let asked = largest().max(largest_anywhere());
    assert!(text.contains(name), "{text}");
    assert!(asked < MODEST_BYTES, "{asked} bytes for: {text}");
}

/// An archive of one entry, `size` zeros that are packed to a thousandth; it may stand in the directory many times.
fn bomb(path: &Path, size: u32, times: u16) {
    let mut packer = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    (0..size >> 16).for_each(|_| packer.write_all(&[0; 1 << 16]).unwrap());
    let packed = packer.finish().unwrap();
    let name = b"archive/data.pkl";
    let two = u16::to_le_bytes;
    let four = u32::to_le_bytes;
    // Version, flags, method (deflate), time, date, sum, sizes, length of the name, no extra field.
    let about = [
        [two(20), two(0), two(8), two(0), two(0)].concat(),
        [four(0), four(packed.len() as u32), four(size)].concat(),
        [two(name.len() as u16), two(0)].concat(),
    ]
    .concat();
    let local = [b"PK\x03\x04".as_slice(), &about, name, &packed].concat();
    let entry = [b"PK\x01\x02".as_slice(), &two(20), &about, &[0; 14], name].concat();
    let directory = entry.repeat(usize::from(times));
    let sizes = [four(directory.len() as u32), four(local.len() as u32)].concat();
    let end = [b"PK\x05\x06".as_slice(), &[0; 4], &two(times), &two(times), &sizes, &two(0)].concat();
    fs::write(path, [local, directory, end].concat()).unwrap();
}

#[test]
fn archives_that_unpack_to_gigabytes_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(fixtures().join("llama/config.json"), folder.path().join("config.json")).unwrap();
    let path = folder.path().join("pytorch_model.bin");
    for (size, times) in [(256 << 20, 1), (1 << 20, 60_000)] {
        bomb(&path, size, times);
        assert_modest("pytorch_model.bin", || Model::open(folder.path()).map(drop));
    }
}
