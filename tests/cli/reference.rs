//! The reference page of the crate docs is the help of every command. Set `UPDATE_REFERENCE=1` to write it anew.
use std::path::Path;

use crate::contract::pillars;

/// The help of `command`, of the program itself where it is empty.
fn help(command: &str) -> String {
    let arguments: Vec<&str> = [command, "--help"].into_iter().filter(|word| !word.is_empty()).collect();
    let output = pillars(&arguments);
    assert!(output.status.success(), "{command}");
    String::from_utf8(output.stdout).unwrap()
}

/// The page: a heading and the help for each command, in the order of the program's own list.
fn page() -> String {
    let whole = help("");
    let list = whole.lines().skip_while(|line| !line.starts_with("Commands:")).skip(1);
    let names: Vec<&str> =
        list.take_while(|line| !line.is_empty()).filter_map(|line| line.split_whitespace().next()).collect();
    let mut page = "Every command with its options, as `pillars COMMAND --help` prints them.\n".to_owned();
    let commands = names.iter().filter(|name| **name != "help");
    for (title, text) in std::iter::once(("pillars".to_owned(), whole.clone()))
        .chain(commands.map(|name| (format!("pillars {name}"), help(name))))
    {
        let lines: Vec<&str> = text.trim_end().lines().map(str::trim_end).collect();
        page.push_str(&format!("\n# {title}\n\n```text\n{}\n```\n", lines.join("\n")));
    }
    page
}

#[test]
fn the_reference_page_is_the_help_of_every_command() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/reference.md");
    let page = page();
    assert!(page.matches("\n# pillars ").count() >= 15, "{page}");
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        return std::fs::write(&path, &page).unwrap();
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(stored == page, "the help has changed: UPDATE_REFERENCE=1 cargo test --test cli reference");
}
