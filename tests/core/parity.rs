//! Every family against values that Hugging Face transformers computed.
use std::collections::BTreeSet;
use std::path::Path;

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
    check_table(&report);
    for (family, difference) in &report {
        assert!(*difference < CLOSE, "{family} differs by {difference:.1e}");
    }
}

/// Where the differences are written down: `UPDATE_TABLE=1 cargo test --test core parity` makes the table anew.
const TABLE: &str = "tests/fixtures/README.md";

/// Every family has its line in the table, with the number of lines that its row takes. Differences are as large as on the
/// machine that wrote them, so they are shown and not compared.
fn check_table(report: &[(&str, f64)]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let rows: String = files_in(&root.join("src/model/families")).concat();
    let lines_of = |family: &str| {
        let at = rows.find(&format!("model_type: \"{family}\"")).unwrap_or_else(|| panic!("{family} has no row"));
        let start = rows[..at].rfind("    Family {").unwrap();
        rows[start..].lines().take_while(|line| *line != "    },").count() + 1
    };
    let path = root.join(TABLE);
    let text = std::fs::read_to_string(&path).unwrap();
    let (head, old) = text.split_once("| --- | --- | --- |\n").expect("a table");
    let line = |family: &str, worst: &str| format!("| `{family}` | {worst} | {} |", lines_of(family));
    if std::env::var_os("UPDATE_TABLE").is_some() {
        let table: Vec<String> =
            report.iter().map(|(family, worst)| line(family, &format!("{worst:.1e}")) + "\n").collect();
        std::fs::write(&path, format!("{head}| --- | --- | --- |\n{}", table.concat())).unwrap();
        return;
    }
    let lines: Vec<&str> = old.lines().collect();
    assert_eq!(lines.len(), report.len(), "{TABLE} is not up to date: UPDATE_TABLE=1 cargo test --test core parity");
    for ((family, _), found) in report.iter().zip(lines) {
        let worst = found.split('|').nth(2).unwrap_or_default().trim();
        assert!(worst.parse::<f64>().is_ok_and(|worst| worst < CLOSE), "{found}");
        assert_eq!(found, line(family, worst), "{TABLE} is not up to date");
    }
}

/// The texts of the files in a folder, by name.
fn files_in(folder: &Path) -> Vec<String> {
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect()
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
