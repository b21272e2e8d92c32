//! What dependencies bring with them.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// The licenses that `.deny.toml` allows.
fn allowed() -> Vec<String> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(".deny.toml")).unwrap();
    let list = text.split("allow = [").nth(1).unwrap().split(']').next().unwrap();
    list.split(',').map(|name| name.trim().trim_matches('"').to_owned()).filter(|name| !name.is_empty()).collect()
}

/// Whether an SPDX expression of this shape, alternatives of requirements or requirements of alternatives, can be met
/// by `allowed` licenses alone.
fn is_met(expression: &str, allowed: &[String]) -> bool {
    let expression = expression.replace(" / ", " OR ").replace('/', " OR ");
    if let Some((alternatives, required)) = expression.strip_prefix('(').and_then(|inner| inner.split_once(") AND ")) {
        return is_met(alternatives, allowed) && is_met(required, allowed);
    }
    expression.split(" OR ").any(|one| one.split(" AND ").all(|name| allowed.iter().any(|a| a == name.trim())))
}

#[test]
fn every_dependency_has_an_allowed_license() {
    let allowed = allowed();
    let platform = "x86_64-unknown-linux-gnu";
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", platform])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 100);
    let refused: Vec<String> = packages
        .iter()
        .filter(|p| !is_met(p["license"].as_str().unwrap_or_default(), &allowed))
        .map(|p| format!("{} {}", p["name"], p["license"]))
        .collect();
    assert!(refused.is_empty(), "{refused:#?}");
}

/// Packages hold the licenses of the crates that are linked. They are made where Python is, which tests do without.
#[test]
fn the_licenses_of_linked_crates_are_gathered() {
    let (root, folder) = (Path::new(env!("CARGO_MANIFEST_DIR")), tempfile::tempdir().unwrap());
    let out = folder.path().join("licenses.txt");
    let run = Command::new("python3")
        .arg(root.join("assets/packaging/licenses.py"))
        .arg(&out)
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .env("CARGO", env!("CARGO"))
        .output();
    let Ok(output) = run else { return };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(&out).unwrap();
    for linked in ["candle-core", "egui", "libmimalloc-sys"] {
        assert!(text.contains(&format!("\n{linked} ")), "{linked}");
    }
    // What tests or writes code is in no package.
    assert!(!text.contains("\ncriterion ") && !text.contains("\nserde_derive "));
    assert!(text.contains("Permission is hereby granted") && text.contains("Apache License"));
}

#[test]
fn expressions_are_met_by_one_alternative() {
    let allowed: Vec<String> = ["MIT", "Unicode-3.0"].map(str::to_owned).to_vec();
    for (expression, met) in [
        ("MIT", true),
        ("GPL-3.0-only", false),
        ("GPL-3.0-only OR MIT", true),
        ("GPL-3.0-only/MIT", true),
        ("GPL-3.0-only AND MIT", false),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
        ("(GPL-3.0-only OR Apache-2.0) AND Unicode-3.0", false),
        ("", false),
    ] {
        assert_eq!(is_met(expression, &allowed), met, "{expression}");
    }
}

/// What `cargo deny check bans sources` asks, without that program.
#[test]
fn every_dependency_comes_from_the_registry_in_a_version_that_is_named() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let lock = std::fs::read_to_string(root.join("Cargo.lock")).unwrap();
    let packages: Vec<&str> = lock.split("[[package]]").skip(1).collect();
    assert!(packages.len() > 100);
    for package in packages.into_iter().filter(|p| !p.contains("name = \"pillars\"")) {
        let source = package.lines().find_map(|line| line.strip_prefix("source = "));
        assert_eq!(source, Some("\"registry+https://github.com/rust-lang/crates.io-index\""), "{package}");
        assert!(package.contains("checksum = \""), "{package}");
    }
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
    assert!(!manifest.contains("= \"*\"") && !manifest.contains("git ="), "a dependency without a version");
}

#[test]
fn the_package_holds_what_its_source_embeds_and_a_sample_to_open() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output =
        Command::new(env!("CARGO")).args(["package", "--list", "--allow-dirty"]).current_dir(root).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let listed = String::from_utf8(output.stdout).unwrap();
    let packaged: Vec<&str> = listed.lines().collect();
    let mut wanted: Vec<String> = ["config.json", "model.safetensors", "tokenizer.json"]
        .map(|name| format!("sample_models/austen-plain/{name}"))
        .to_vec();
    wanted.push("sample_models/austen.txt".to_owned());
    for file in packaged.iter().filter(|p| p.starts_with("src/") && p.ends_with(".rs")) {
        let text = std::fs::read_to_string(root.join(file)).unwrap();
        // What only tests embed comes after them.
        let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        for path in ["include_str!(\"", "include_bytes!(\""].iter().flat_map(|open| text.split(open).skip(1)) {
            let path = root.join(file).parent().unwrap().join(path.split('"').next().unwrap());
            let inside = path.canonicalize().unwrap();
            wanted.push(inside.strip_prefix(root.canonicalize().unwrap()).unwrap().to_str().unwrap().to_owned());
        }
    }
    assert!(wanted.len() > 12, "{wanted:?}");
    for path in &wanted {
        assert!(packaged.contains(&path.as_str()), "{path}");
    }
    // A registry takes packages of 10 MB; weights compress badly, text and code well.
    let bytes: u64 = packaged.iter().filter_map(|p| std::fs::metadata(root.join(p)).ok()).map(|m| m.len()).sum();
    assert!(bytes < 20_000_000, "{bytes}");
}
