//! A type name has one meaning in the whole crate.

use std::collections::BTreeMap;
use std::path::Path;

/// The name that a line gives to a type of its own; associated types stand further in.
fn type_name(line: &str) -> Option<&str> {
    let code = line.trim_start();
    let code = match code.strip_prefix("pub(") {
        Some(rest) => rest.split_once(')')?.1.trim_start(),
        None => code.strip_prefix("pub ").unwrap_or(code),
    };
    let (kind, rest) = code.split_once(' ')?;
    let is_type = matches!(kind, "struct" | "enum" | "trait" | "union") || kind == "type" && !line.starts_with(' ');
    let name = rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().filter(|name| !name.is_empty());
    name.filter(|_| is_type)
}

#[test]
fn no_type_name_means_two_things() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    crate::architecture::sources(&root.join("src"), &mut files);
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        for name in code.lines().filter_map(type_name) {
            let place = path.strip_prefix(root).unwrap().display().to_string();
            places.entry(name.to_owned()).or_default().push(place);
        }
    }
    assert!(places.len() > 400, "{} types", places.len());
    places.retain(|_, found| found.len() > 1);
    assert!(places.is_empty(), "{places:#?}");
}

#[test]
fn names_of_types_are_found() {
    let found =
        ["pub struct A<T> {", "    pub(super) enum B {", "type C = u32;", "    type Item = u32;", "let struct_d = 1;"]
            .map(type_name);
    assert_eq!(found, [Some("A"), Some("B"), Some("C"), None, None]);
}
