//! `pillars models` and `pillars download`: what lies in the hub's cache, and more of it.

use serde_json::{Value, json};

use super::args::{DownloadArgs, ModelsArgs};
use super::console::Console;
use crate::checkpoint::Config;
use crate::error::Result;
use crate::hub::{CachedModel, HubCache, fetch};
use crate::model::Model;
use crate::words::{bytes_in_words, counted};

pub(super) fn run(args: &ModelsArgs, console: &Console) -> Result<()> {
    let cache = HubCache::of_user();
    let models = cache.models()?;
    if args.json {
        let models: Vec<Value> = models.iter().map(document).collect();
        return console.print_json(&json!({"cache": cache.root(), "models": models}));
    }
    if models.is_empty() {
        console.warn(&format!("no model lies in the hub's cache: {}", cache.root().display()));
        return Ok(());
    }
    const TYPE: &str = "type";
    let found: Vec<(&CachedModel, CachedOutlook)> =
        models.iter().map(|model| (model, CachedOutlook::of(model))).collect();
    let width = |of: &dyn Fn(&(&CachedModel, CachedOutlook)) -> usize, least: usize| {
        found.iter().map(of).fold(least, usize::max)
    };
    let (name, kind) = (width(&|(model, _)| model.name.len(), 4), width(&|(_, found)| found.kind().len(), TYPE.len()));
    let line = |(model, found): &(&CachedModel, CachedOutlook)| {
        let state = found.state(model);
        format!("{:<name$}  {:>8}  {:<kind$}  {state}", model.name, bytes_in_words(model.bytes), found.kind())
    };
    let head = format!("{:<name$}  {:>8}  {TYPE:<kind$}  opens", "name", "size");
    console.print(&std::iter::once(head).chain(found.iter().map(line)).collect::<Vec<_>>().join("\n"))
}

/// What comes of opening a model: its headers are read, no weights.
struct CachedOutlook {
    model_type: Option<String>,
    opened: Result<Model>,
}

impl CachedOutlook {
    fn of(cached: &CachedModel) -> Self {
        let opened = Model::open(&cached.place);
        let known = opened.as_ref().ok().map(|model| model.family().model_type.to_owned());
        Self { model_type: known.or_else(|| model_type(cached)), opened }
    }

    /// `model_type` in the list.
    fn kind(&self) -> &str {
        self.model_type.as_deref().unwrap_or("-")
    }

    /// Whether it opens: as what, or why not.
    fn state(&self, cached: &CachedModel) -> String {
        let state = match (&cached.missing, &self.opened) {
            (Some(missing), _) => format!("no: {missing}"),
            (None, Err(error)) => format!("no: {error}"),
            (None, Ok(model)) => {
                let spec = model.spec();
                let heads: usize = spec.sites().iter().map(|(_, attention)| attention.heads).sum();
                let layers = counted(spec.sites().len(), "attention layers");
                format!("yes: {}, {layers}, {heads} heads, {}", model.family().title, model.in_files())
            }
        };
        match cached.is_unfinished {
            true => format!("{state}; the download of a file was not finished"),
            false => state,
        }
    }
}

/// Runs `pillars download`.
pub(super) fn download(args: &DownloadArgs, console: &Console) -> Result<()> {
    let cache = HubCache::of_user();
    let place = console.watch(|ticket| fetch(&args.name, &cache, ticket))?;
    console.print(&format!("{} is in the hub's cache: {}", args.name, place.display()))
}

fn document(model: &CachedModel) -> Value {
    let CachedModel { name, place, bytes, missing, is_unfinished } = model;
    let found = CachedOutlook::of(model);
    let opened = found.opened.as_ref().ok().filter(|_| missing.is_none());
    let refused = found.opened.as_ref().err().filter(|_| missing.is_none()).map(ToString::to_string);
    json!({
        "name": name, "path": place, "bytes": bytes, "model_type": found.model_type, "missing": missing,
        "unfinished": is_unfinished, "opens": opened.is_some(), "refused": refused,
        "family": opened.map(|model| model.family().title), "dtype": opened.map(|model| model.stored().name()),
    })
}

/// `model_type` of its configuration, where that is there.
fn model_type(model: &CachedModel) -> Option<String> {
    let config = Config::read(&model.place.join("config.json")).ok()?;
    config.text_opt("model_type").ok().flatten().map(str::to_owned)
}
