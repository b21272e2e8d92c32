//! Models of which a part is opened: one of two encoders, or the language model beside what reads images.
use std::path::Path;

use crate::common::{Compared, compare, fixtures, reference};
use pillars::model::Model;
use pillars::plan::Plan;
use pillars::pruning::{ExportFormat, ExportOptions, export};
use pillars::task::Ticket;

/// Prunes `model` by the mask at `kept` and opens what was written.
fn pruned(model: &Model, kept: &Path, format: ExportFormat, out: &Path) -> Model {
    let plan = Plan::parse_any(&std::fs::read_to_string(kept).unwrap()).unwrap();
    let options = ExportOptions { timing: None, ..ExportOptions::default() };
    export(model, &plan, format, out, &options, None, &Ticket::default()).unwrap();
    Model::open(out).unwrap()
}

/// Every tensor that `model` does not read is the same in `written`.
fn is_carried(model: &Model, written: &Model) -> usize {
    let unused = model.unused();
    assert_eq!(unused, written.unused());
    for name in &unused {
        assert_eq!(model.checkpoint().read(name).unwrap(), written.checkpoint().read(name).unwrap(), "{name}");
    }
    unused.len()
}

#[test]
fn the_text_encoder_of_two_computes_what_transformers_computes() {
    for family in ["clip", "siglip"] {
        let folder = fixtures().join(family);
        let model = Model::open(folder.join("text_model")).unwrap();
        assert!(model.notes()[0].starts_with("text_model is read; vision_model, which FOLDER/vision_model opens"));
        let reference = reference(&folder.join("reference.text_model.safetensors"));
        let kept = serde_json::from_slice(&std::fs::read(folder.join("mask.text_model.json")).unwrap()).unwrap();
        let Compared { worst, compared } = compare(&model, &reference, Some(&kept));
        assert_eq!(compared, 6);
        assert!(worst.0 < 1e-4, "{family} differs by {:.1e} at {}", worst.0, worst.1);
    }
}

#[test]
fn the_other_encoder_is_carried_through_and_the_pruned_one_opens_again() {
    for family in ["clip", "siglip"] {
        let folder = fixtures().join(family);
        for (tower, other, end) in [("text_model", "vision_model", ".text_model"), ("vision_model", "text_model", "")] {
            let model = Model::open(folder.join(tower)).unwrap();
            let kept = folder.join(format!("mask{end}.json"));
            for format in [ExportFormat::Compact, ExportFormat::Masked] {
                let out = tempfile::tempdir().unwrap();
                let out = out.path().join("out");
                let written = pruned(&model, &kept, format, &out);
                assert!(written.notes()[0].starts_with(tower), "{:?}", written.notes());
                assert!(is_carried(&model, &written) > 30);
                let heads = |model: &Model| model.spec().sites().iter().map(|(_, a)| a.heads).sum::<usize>();
                let shrinks = format == ExportFormat::Compact;
                assert_eq!(heads(&written) < heads(&model), shrinks);
                match Model::open(out.join(other)) {
                    Ok(other) => assert!(!shrinks && heads(&other) > 0),
                    Err(error) => {
                        assert!(shrinks && error.to_string().contains(&format!("heads of its {tower} were removed")));
                    }
                }
            }
        }
    }
    let error = Model::open(fixtures().join("bert/text_model")).unwrap_err().to_string();
    assert!(error.contains("no such model folder"), "{error}");
}

#[test]
fn what_reads_images_is_carried_through_untouched() {
    for family in ["gemma3", "qwen2_vl", "qwen2_5_vl", "llava"] {
        let folder = fixtures().join(family);
        let model = Model::open(&folder).unwrap();
        assert!(model.notes().iter().any(|note| note.contains("only the language model is read")), "{family}");
        for format in [ExportFormat::Compact, ExportFormat::Masked] {
            let out = tempfile::tempdir().unwrap();
            let written = pruned(&model, &folder.join("mask.json"), format, &out.path().join("out"));
            assert!(is_carried(&model, &written) > 5, "{family}");
            assert_eq!(written.config().get("vision_config"), model.config().get("vision_config"));
        }
    }
}
