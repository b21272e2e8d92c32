//! Modules inside a room use each other one way: no module needs one that needs it.
//!
//! A name that a module passes on (`pub use`) counts for the module that it comes from, so a room's facade ties nothing.
//! Tests inside a module do not count.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

type Module = Vec<String>;

/// Every module under `src` with its text, without comments and without its own tests.
fn modules() -> BTreeMap<Module, String> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    crate::architecture::sources(&src, &mut files);
    let module = |path: &Path| -> Module {
        let inside = path.strip_prefix(&src).unwrap().with_extension("");
        let mut parts: Module = inside.iter().map(|p| p.to_str().unwrap().to_owned()).collect();
        if parts.last().is_some_and(|last| last == "mod") {
            parts.pop();
        }
        parts
    };
    let code = |path: &Path| {
        let text = std::fs::read_to_string(path).unwrap();
        let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default().to_owned();
        text.lines().filter(|l| !l.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
    };
    files.iter().map(|path| (module(path), code(path))).collect()
}

/// The paths that `text`, what stands between `use` and `;`, names.
fn paths(prefix: &[String], text: &str, found: &mut Vec<Module>) {
    let words = |text: &str| -> Module {
        let text = text.split(" as ").next().unwrap_or_default();
        text.split("::").map(|w| w.trim().to_owned()).filter(|w| !w.is_empty()).collect()
    };
    let Some((head, list)) = text.split_once('{') else {
        found.push([prefix, &words(text)].concat());
        return;
    };
    let prefix = [prefix, &words(head)].concat();
    let list = &list[..list.rfind('}').unwrap_or(list.len())];
    let (mut depth, mut start) = (0, 0);
    for (at, c) in list.char_indices().chain([(list.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                if !list[start..at].trim().is_empty() {
                    paths(&prefix, &list[start..at], found);
                }
                start = at + 1;
            }
            _ => {}
        }
    }
}

/// What stands in `code` between `use` and `;`, with whether it is passed on; and the code without it.
fn uses(code: &str) -> (Vec<(bool, &str)>, String) {
    let (mut found, mut rest, mut open) = (Vec::new(), String::new(), code);
    while let Some(at) = open.find("use ") {
        let is_word = open[..at].ends_with(['\n', ' ', '\t']) || at == 0;
        let Some(end) = open[at..].find(';').filter(|_| is_word) else {
            rest.push_str(&open[..at + 4]);
            open = &open[at + 4..];
            continue;
        };
        let line = open[..at].rsplit('\n').next().unwrap_or_default();
        found.push((line.trim_start().starts_with("pub"), &open[at + 4..at + end]));
        rest.push_str(&open[..at]);
        open = &open[at + end + 1..];
    }
    rest.push_str(open);
    (found, rest)
}

struct Graph {
    modules: BTreeMap<Module, String>,
    /// Names that a module passes on, and where they come from.
    passed_on: BTreeMap<(Module, String), Module>,
}

impl Graph {
    fn new() -> Self {
        let mut graph = Self { modules: modules(), passed_on: BTreeMap::new() };
        let mut passed_on = BTreeMap::new();
        for (module, code) in &graph.modules {
            for (_, text) in uses(code).0.into_iter().filter(|(is_passed_on, _)| *is_passed_on) {
                let mut all = Vec::new();
                paths(&[], text, &mut all);
                for path in all {
                    if let (Some(name), Some(from)) = (path.last().cloned(), graph.absolute(module, &path)) {
                        passed_on.insert((module.clone(), name), from);
                    }
                }
            }
        }
        graph.passed_on = passed_on;
        graph
    }

    /// A path from the crate's root; `None` where it leads to another crate.
    fn absolute(&self, module: &Module, path: &[String]) -> Option<Module> {
        let up = path.iter().take_while(|w| *w == "super").count();
        match path.first()?.as_str() {
            "crate" => Some(path[1..].to_vec()),
            "self" => Some([module.as_slice(), &path[1..]].concat()),
            "super" => Some([&module[..module.len().checked_sub(up)?], &path[up..]].concat()),
            first => {
                let child = [module.as_slice(), &[first.to_owned()]].concat();
                self.modules.contains_key(&child).then(|| [module.as_slice(), path].concat())
            }
        }
    }

    /// The module in which what `path` names stands.
    fn home(&self, path: &[String]) -> Option<Module> {
        let (mut path, mut left) = (path.to_vec(), 8);
        loop {
            let deepest = (1..=path.len()).rev().find(|n| self.modules.contains_key(&path[..*n]))?;
            let (module, rest) = (path[..deepest].to_vec(), &path[deepest..]);
            let from = rest.first().and_then(|name| self.passed_on.get(&(module.clone(), name.clone())));
            match from.filter(|_| left > 0) {
                Some(from) => path = [from.as_slice(), &rest[1..]].concat(),
                None => return Some(module),
            }
            left -= 1;
        }
    }

    /// Modules of the same room that `module` needs.
    fn needs(&self, module: &Module) -> BTreeSet<Module> {
        let (uses, rest) = uses(&self.modules[module]);
        let mut all = Vec::new();
        for (_, text) in uses.into_iter().filter(|(is_passed_on, _)| !*is_passed_on) {
            paths(&[], text, &mut all);
        }
        let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
        for word in rest.split(|c| !is_path(c)).filter(|w| w.contains("::")) {
            all.push(word.split("::").filter(|w| !w.is_empty()).map(str::to_owned).collect());
        }
        let homes = all.iter().filter_map(|path| self.home(&self.absolute(module, path)?));
        homes.filter(|home| home != module && home.first() == module.first()).collect()
    }

    /// Modules from which `start` can be reached again.
    fn circle(&self, start: &Module, needs: &BTreeMap<&Module, BTreeSet<Module>>) -> bool {
        let mut open: Vec<&Module> = needs[start].iter().collect();
        let mut seen = BTreeSet::new();
        while let Some(module) = open.pop() {
            if module == start {
                return true;
            }
            if seen.insert(module) {
                open.extend(needs.get(module).into_iter().flatten());
            }
        }
        false
    }
}

#[test]
fn modules_of_a_room_form_no_circle() {
    let graph = Graph::new();
    let needs: BTreeMap<&Module, BTreeSet<Module>> =
        graph.modules.keys().map(|module| (module, graph.needs(module))).collect();
    let circles: BTreeMap<&str, Vec<String>> =
        graph.modules.keys().filter(|module| graph.circle(module, &needs)).fold(BTreeMap::new(), |mut all, module| {
            all.entry(module[0].as_str()).or_insert_with(Vec::new).push(module.join("::"));
            all
        });
    assert!(circles.is_empty(), "{circles:#?}");
}

#[test]
fn names_lead_to_where_they_stand() {
    let graph = Graph::new();
    let module = |path: &str| path.split("::").map(str::to_owned).collect::<Module>();
    // The facade of a room passes names on.
    assert_eq!(graph.home(&module("chart::Picture")), Some(module("chart::picture")));
    let mut found = Vec::new();
    paths(&[], "crate::{a::{B, C as D}, e::f}", &mut found);
    assert_eq!(found, ["crate::a::B", "crate::a::C", "crate::e::f"].map(module));
    assert!(graph.needs(&module("chart::picture")).contains(&module("chart::lens")));
}
