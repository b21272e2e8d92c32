//! Images come out as transformers' own image processors (4.57.6, Pillow 12) make them.
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use pillars::corpus::{Corpus, CorpusSettings, ImageSizes, Input, Intake, SourceKind};
use pillars::network::Source;
use pillars::task::Ticket;
use serde_json::{Value, json};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn intake(height: usize, width: usize) -> Intake {
    Intake {
        source: SourceKind::Pixels { shape: [3, height, width], sizes: ImageSizes::One },
        target: None,
        decoder_only: false,
        objective: None,
        classes: 0,
        task: None,
        types: 0,
        positions: pillars::corpus::PositionIds::Unused,
        keeps_apart: false,
        pad: 0,
        decoder_start: None,
        end: None,
    }
}

/// Reads a folder of images with a processor's configuration.
fn read(folder: &Path, processor: Option<&Value>, intake: &Intake) -> pillars::Result<Tensor> {
    let model = tempfile::tempdir().unwrap();
    if let Some(processor) = processor {
        std::fs::write(model.path().join("preprocessor_config.json"), processor.to_string()).unwrap();
    }
    let input = Input::Images(folder.to_path_buf());
    let settings = CorpusSettings { batch_size: 3, ..CorpusSettings::default() };
    let corpus = Corpus::open(&input, model.path(), intake, &settings, &Ticket::default())?;
    // The references lie beside the images, and are not read as such; names of folders say nothing to such a model.
    let is_class = |note: &str| note.contains("names of folders are not used as labels: the model has no head");
    let has_classes = std::fs::read_dir(folder)?.flatten().any(|entry| entry.path().join("b_tall.png").is_file());
    assert_eq!(corpus.notes().iter().any(|note| is_class(note)), has_classes);
    let stretches = |note: &str| note.contains("made for 32 x 32 are interpolated");
    let is_other = |note: &&String| !note.contains("of other endings") && !is_class(note) && !stretches(note);
    assert_eq!(corpus.notes().iter().filter(is_other).count(), usize::from(processor.is_none()));
    let mut told = corpus.notes().into_iter().filter(|note| stretches(note));
    let is_stretched = matches!(intake.source, SourceKind::Pixels { sizes: ImageSizes::Stretched, .. });
    assert_eq!(told.next().is_some(), is_stretched && processor.is_some_and(|p| p.get("size").is_some()));
    let mut parts = Vec::new();
    for batch in corpus.batches(&Device::Cpu) {
        let Source::Pixels(pixels) = batch?.source else { panic!("not pixels") };
        parts.push(pixels);
    }
    Ok(Tensor::cat(&parts, 0).unwrap())
}

fn farthest(a: &Tensor, b: &Tensor) -> f32 {
    (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap()
}

#[test]
fn every_processor_gives_its_reference() {
    let processors: Value = serde_json::from_slice(&std::fs::read(data("images/processors.json")).unwrap()).unwrap();
    let reference = candle_core::safetensors::load(data("images/reference.safetensors"), &Device::Cpu).unwrap();
    assert_eq!(processors.as_object().unwrap().len(), 10);
    for (name, processor) in processors.as_object().unwrap() {
        let found = read(&data("images"), Some(processor), &intake(16, 16)).unwrap();
        assert_eq!(found.dims(), reference[name].dims(), "{name}");
        // One level of 255 would be 0.004 to 0.017 after normalizing.
        assert!(farthest(&found, &reference[name]) < 1e-6, "{name}: {}", farthest(&found, &reference[name]));
    }
    // A model without a configuration for its images is read as ViT's is written.
    let plain = read(&data("images"), None, &intake(16, 16)).unwrap();
    assert!(farthest(&plain, &reference["vit"]) < 1e-6);
    // Older files give the size as one number.
    let old = json!({"feature_extractor_type": "ViTFeatureExtractor", "size": 16, "resample": 2});
    assert!(farthest(&read(&data("images"), Some(&old), &intake(16, 16)).unwrap(), &reference["vit"]) < 1e-6);
}

#[test]
fn a_jpeg_is_decoded_as_pillow_does_within_rounding() {
    let keep = json!({"do_resize": false, "do_rescale": false, "do_normalize": false});
    let found = read(&data("photos"), Some(&keep), &intake(24, 32)).unwrap();
    let pixels: Vec<Vec<Vec<f32>>> = found.squeeze(0).unwrap().to_vec3().unwrap();
    // Every eighth pixel of every eighth row, by Pillow.
    let expected = [
        [[127, 184, 81], [148, 101, 135], [40, 125, 118], [208, 154, 177]],
        [[131, 156, 236], [138, 109, 5], [196, 97, 216], [49, 178, 96]],
        [[151, 43, 101], [111, 148, 167], [141, 120, 67], [60, 75, 142]],
    ];
    for (y, row) in expected.iter().enumerate() {
        for (x, pixel) in row.iter().enumerate() {
            for (channel, value) in pixel.iter().enumerate() {
                let got = pixels[channel][y * 8][x * 8];
                assert!((got - *value as f32).abs() <= 3.0, "{y} {x} {channel}: {got} for {value}");
            }
        }
    }
}

#[test]
fn faults_name_their_file() {
    let folder = tempfile::tempdir().unwrap();
    let fault =
        |processor: &Value, intake: &Intake| read(folder.path(), Some(processor), intake).unwrap_err().to_string();
    assert!(fault(&json!({}), &intake(16, 16)).contains("no PNG or JPEG"));
    let good = std::fs::read(data("images/b_tall.png")).unwrap();
    std::fs::write(folder.path().join("a.png"), &good).unwrap();
    // The configuration: a size that the model does not read, and nonsense.
    let error = fault(&json!({"size": {"height": 8, "width": 8}}), &intake(16, 16));
    assert!(error.contains("8 x 8, but the model reads 16 x 16") && error.contains("a.png"), "{error}");
    for (wrong, expected) in [
        (json!({"size": {"longest_edge": 8}}), "'size'"),
        (json!({"resample": 9}), "'resample' is 9"),
        (json!({"image_mean": [0.5]}), "'image_mean'"),
        (json!({"image_std": [0.5, 0, 0.5]}), "'image_std'"),
        (json!({"do_center_crop": true, "crop_size": "x"}), "'crop_size'"),
    ] {
        let error = fault(&wrong, &intake(16, 16));
        assert!(error.contains(expected) && error.contains("preprocessor_config.json"), "{error}");
    }
    let words = Intake { source: SourceKind::Frames { shape: [2, 2] }, ..intake(1, 1) };
    assert!(fault(&json!({}), &words).contains("vision models"));
    // A file whose beginning is right is found out when it is read, one that is no image at once.
    std::fs::write(folder.path().join("b.png"), &good[..good.len() / 2]).unwrap();
    assert!(fault(&json!({"size": 16}), &intake(16, 16)).contains("b.png"));
    std::fs::write(folder.path().join("b.png"), b"no image").unwrap();
    assert!(fault(&json!({"size": 16}), &intake(16, 16)).contains("b.png"));
}

/// The shape of what a model of any image size reads of a photo.
fn shape(processor: &Value) -> Vec<usize> {
    let any = Intake { source: SourceKind::Pixels { shape: [3, 518, 518], sizes: ImageSizes::Any }, ..intake(1, 1) };
    read(&data("photos"), Some(processor), &any).unwrap().dims().to_vec()
}

#[test]
fn the_preprocessor_decides_the_size_where_the_model_reads_any() {
    // Every published DINOv2 was made for 518 and crops to 224.
    let meta = json!({"crop_size": {"height": 224, "width": 224}, "do_center_crop": true, "do_resize": true,
        "image_processor_type": "BitImageProcessor", "resample": 3, "size": {"shortest_edge": 256}});
    assert_eq!(shape(&meta), [1, 3, 224, 224]);
    // What the class has where the file says nothing.
    assert_eq!(shape(&json!({"image_processor_type": "BitImageProcessor"})), [1, 3, 224, 224]);
    let wide = json!({"image_processor_type": "BitImageProcessor", "do_center_crop": false, "size": {"height": 28, "width": 42}});
    assert_eq!(shape(&wide), [1, 3, 28, 42]);
    assert_eq!(shape(&json!({"image_processor_type": "ViTImageProcessor", "size": 56})), [1, 3, 56, 56]);
}

#[test]
fn a_model_whose_positions_can_be_interpolated_reads_what_its_preprocessor_says() {
    let sizes = ImageSizes::Stretched;
    let vit = Intake { source: SourceKind::Pixels { shape: [3, 32, 32], sizes }, ..intake(1, 1) };
    let of = |processor: Value| read(&data("photos"), Some(&processor), &vit).unwrap().dims().to_vec();
    assert_eq!(of(json!({"image_processor_type": "ViTImageProcessor", "size": 56})), [1, 3, 56, 56]);
    // What it was made for where the file says nothing.
    assert_eq!(of(json!({"image_processor_type": "ViTImageProcessor"})), [1, 3, 32, 32]);
    assert_eq!(read(&data("photos"), None, &vit).unwrap().dims(), [1, 3, 32, 32]);
}

#[test]
fn folders_of_classes_are_read_and_photos_cut_short_are_not() {
    let folder = tempfile::tempdir().unwrap();
    for (class, file) in [("cats", "b_tall.png"), ("dogs", "b_tall.png"), (".hidden", "b_tall.png")] {
        std::fs::create_dir(folder.path().join(class)).unwrap();
        std::fs::copy(data("images").join(file), folder.path().join(class).join(file)).unwrap();
    }
    let found = read(folder.path(), Some(&json!({"size": 16})), &intake(16, 16)).unwrap();
    assert_eq!(found.dims(), [2, 3, 16, 16]);
    // Half of a JPEG is refused at once, a whole one is not, whatever follows its end.
    let cut = read(&data("cut-photo"), Some(&json!({"size": 16})), &intake(16, 16)).unwrap_err().to_string();
    assert!(cut.contains("cut short") && cut.contains("half.jpg"), "{cut}");
    let photo = std::fs::read_dir(data("photos")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&photo).unwrap();
    bytes.extend_from_slice(b"what a camera adds");
    std::fs::write(folder.path().join("a.jpg"), &bytes).unwrap();
    assert_eq!(read(folder.path(), Some(&json!({"size": 16})), &intake(16, 16)).unwrap().dims(), [3, 3, 16, 16]);
    for part in [bytes.len() / 3, bytes.len() / 2, bytes.len() - 30] {
        std::fs::write(folder.path().join("a.jpg"), &bytes[..part]).unwrap();
        assert!(read(folder.path(), Some(&json!({"size": 16})), &intake(16, 16)).is_err(), "{part}");
    }
}
