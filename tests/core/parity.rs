//! Every family against values that Hugging Face transformers computed.
use std::collections::BTreeSet;

use crate::common::{Compared, compare, fixture_folders, folders_in, mask, reference, test_data};
use pillars::model::{Model, families};

/// Agreement that float rounding allows, relative to the largest reference value.
const CLOSE: f64 = 1e-4;

#[test]
fn every_family_computes_what_transformers_computes() {
    let mut report = Vec::new();
    for folder in fixture_folders() {
        let model = Model::open(&folder).unwrap_or_else(|e| panic!("{e}"));
        let reference = reference(&folder.join("reference.safetensors"));
        let Compared { worst, compared } = compare(&model, &reference, Some(&mask(&folder)));
        let family = model.family().model_type;
        assert_eq!(compared, 2 + 2 * model.spec().sites().len(), "{family}");
        eprintln!("{family:<12} {:.1e} at {}", worst.0, worst.1);
        report.push((family, worst.0));
    }
    // Every folder is read and every family has one, so none is supported without proof.
    let tested: BTreeSet<&str> = report.iter().map(|(family, _)| *family).collect();
    let supported: BTreeSet<&str> = families::all().map(|f| f.model_type).collect();
    assert_eq!(tested, supported);
    assert_eq!(report.len(), tested.len());
    assert!(report.len() >= 29);
    for (family, difference) in &report {
        assert!(*difference < CLOSE, "{family} differs by {difference:.1e}");
    }
}

#[test]
fn attention_that_fixtures_do_not_have_is_that_of_transformers() {
    // A classifier, whose head is not compared: DeBERTa that projects distances as contents and normalizes them.
    let folders = folders_in(&test_data().join("attention"));
    assert_eq!(folders.len(), 1);
    for folder in folders {
        let model = Model::open(&folder).unwrap_or_else(|e| panic!("{e}"));
        let reference = reference(&folder.join("reference.safetensors"));
        let Compared { worst, compared } = compare(&model, &reference, None);
        assert_eq!(compared, 2 * model.spec().sites().len(), "{folder:?}");
        assert!(worst.0 < CLOSE, "{folder:?} differs by {:.1e} at {}", worst.0, worst.1);
    }
}
