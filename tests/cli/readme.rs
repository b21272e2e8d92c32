//! What the README lists comes from the code. Set `UPDATE_README=1` to write the lists anew.
use std::path::Path;
use std::process::Command;

use pillars::model::families;

/// The README with the lines between `<!-- NAME -->` and `<!-- /NAME -->` replaced.
fn with(readme: &str, name: &str, lines: &str) -> String {
    let (open, close) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let (before, rest) = readme.split_once(&open).unwrap_or_else(|| panic!("the README has no {open}"));
    let (_, after) = rest.split_once(&close).unwrap_or_else(|| panic!("the README has no {close}"));
    format!("{before}{open}{lines}{close}{after}")
}

/// Families by their `model_type`, in the order of the table, wrapped.
fn list_of_families() -> String {
    let names: Vec<String> = families::all().map(|f| format!("`{}`", f.model_type)).collect();
    let mut lines = vec![String::new()];
    for (index, name) in names.iter().enumerate() {
        let word = if index + 1 == names.len() { name.clone() } else { format!("{name},") };
        let line = lines.last_mut().unwrap();
        if line.len() + word.len() > 118 {
            lines.push(word);
        } else {
            line.push_str(if line.is_empty() { "" } else { " " });
            line.push_str(&word);
        }
    }
    lines.join("\n") + "\n"
}

#[test]
fn families_are_those_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(&path).unwrap();
    let expected = with(&readme, "families", &list_of_families());
    if std::env::var_os("UPDATE_README").is_some() {
        std::fs::write(&path, &expected).unwrap();
        return;
    }
    assert!(
        readme == expected,
        "the README's families differ from the code's: UPDATE_README=1 cargo test --test cli readme"
    );
}

#[test]
fn every_command_is_described() {
    let readme = include_str!("../../README.md");
    let help = Command::new(env!("CARGO_BIN_EXE_pillars")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let commands = help.lines().skip_while(|l| !l.starts_with("Commands:")).skip(1).take_while(|l| !l.is_empty());
    let names: Vec<&str> = commands.filter_map(|l| l.split_whitespace().next()).filter(|n| *n != "help").collect();
    assert!(names.contains(&"analyze") && names.len() >= 9, "{names:?}");
    for name in names {
        assert!(readme.contains(&format!("| `pillars {name} ")), "the README does not describe `pillars {name}`");
    }
}
