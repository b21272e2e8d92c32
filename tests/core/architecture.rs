//! Arrows between rooms point one way, and only the window knows egui.
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// From the ground up; a room may use those before it. The crate's own docs draw the same map.
const ROOMS: &[&str] = &[
    "error",
    "words",
    "task",
    "tensor",
    "checkpoint",
    "hub",
    "network",
    "model",
    "corpus",
    "analysis",
    "plan",
    "repair",
    "evaluation",
    "pruning",
    "engines",
    "training",
    "chart",
    "figure",
    "experiment",
    "run",
    "workspace",
    "cli",
    "gui",
];

/// Files that are in no room: the door to the library, and what the program has beside it.
const OUTSIDE: [&str; 3] = ["lib", "main", "process"];

/// Crates that draw or ask for windows.
const WINDOW: [&str; 6] = ["egui", "eframe", "egui_plot", "egui_extras", "egui_tiles", "rfd"];

pub fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// Every source file under `src` with the room it is in and its text without comments.
fn rooms() -> Vec<(PathBuf, String, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    files
        .into_iter()
        .map(|path| {
            let inside = path.strip_prefix(&src).unwrap();
            let room =
                inside.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            let code: Vec<&str> = text.lines().filter(|l| !l.trim_start().starts_with("//")).collect();
            (path, room, code.join("\n"))
        })
        .collect()
}

/// Names that follow `prefix` in `code`, also those inside a `prefix{a, b}` list.
fn names_after(code: &str, prefix: &str) -> BTreeSet<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut names = BTreeSet::new();
    for (at, _) in code.match_indices(prefix) {
        let rest = &code[at + prefix.len()..];
        if let Some(list) = rest.strip_prefix('{') {
            let mut depth = 0usize;
            let mut start = true;
            for (i, c) in list.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => start = true,
                    c if c.is_whitespace() => {}
                    _ if start => {
                        names.insert(word(&list[i..]));
                        start = false;
                    }
                    _ => {}
                }
            }
        } else {
            names.insert(word(rest));
        }
    }
    names
}

#[test]
fn rooms_use_only_rooms_before_them() {
    let rank = |name: &str| ROOMS.iter().position(|r| *r == name);
    let mut wrong = Vec::new();
    for (path, room, code) in rooms() {
        if OUTSIDE.contains(&room.as_str()) {
            continue;
        }
        let own = rank(&room).unwrap_or_else(|| panic!("{} is in no known room", path.display()));
        for used in names_after(&code, "crate::") {
            // The command line opens the window; nothing else reaches up.
            let door = room == "cli" && used == "gui";
            if rank(&used).is_some_and(|r| r > own) && !door {
                wrong.push(format!("{} uses {used}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn only_the_window_knows_egui() {
    let mut wrong = Vec::new();
    for (path, room, code) in rooms() {
        for name in WINDOW.iter().filter(|_| room != "gui") {
            if code.contains(&format!("{name}::")) {
                wrong.push(format!("{} uses {name}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_file_is_too_long_to_know() {
    let long: Vec<_> = rooms()
        .into_iter()
        .map(|(path, _, _)| (std::fs::read_to_string(&path).unwrap().lines().count(), path))
        .filter(|(lines, _)| *lines > 600)
        .collect();
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn the_map_in_the_crate_docs_names_every_room() {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let map: Vec<&str> = text.lines().filter(|l| l.starts_with("//! |")).collect();
    // In the order in which they may use one another.
    let first_cell = |line: &&str| line.split('|').nth(1).unwrap_or_default().to_owned();
    let named: Vec<String> = map.iter().map(first_cell).collect();
    let named: Vec<&str> = named.iter().flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    assert_eq!(named, ROOMS);
    let folders: BTreeSet<String> =
        rooms().into_iter().map(|(_, room, _)| room).filter(|r| !OUTSIDE.contains(&r.as_str())).collect();
    for room in folders {
        assert!(map.iter().any(|l| l.contains(&format!("`{room}`"))), "{room} is not on the map");
        assert!(text.contains(&format!("pub mod {room};")), "{room} is not public");
    }
}

#[test]
fn what_the_guide_for_contributors_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("CONTRIBUTING.md")).unwrap();
    let code: String = rooms().into_iter().map(|(_, _, code)| code).collect();
    let mut found = 0;
    for word in text.split('`').skip(1).step_by(2) {
        let is_there = if ["src/", "tests/", "benches/", ".ci/"].iter().any(|start| word.starts_with(start)) {
            root.join(word.split('<').next().unwrap()).exists()
        } else if let Some((binary, module)) =
            word.split_once(' ').filter(|(b, _)| ["core", "cli", "window"].contains(b))
        {
            root.join(format!("tests/{binary}/{module}.rs")).is_file()
        } else if let Some((_, name)) = word.rsplit_once("::") {
            ["fn ", "struct ", "enum ", "pub "].iter().any(|kind| code.contains(&format!("{kind}{name}")))
        } else {
            continue;
        };
        assert!(is_there, "CONTRIBUTING.md names {word}, which is not there");
        found += 1;
    }
    assert!(found > 15, "{found}");
}

#[test]
fn the_search_sees_nested_imports() {
    let code = "use crate::{error::{Error, Result}, gui, task::Ticket};\nuse crate::plan::Plan;";
    let seen = names_after(code, "crate::");
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["error", "gui", "plan", "task"]);
}
