//! `pillars models` and `pillars download`: what lies in the hub's cache, and more of it.

use serde_json::{Value, json};

use super::args::{DownloadArgs, ModelsArgs};
use super::console::Console;
use crate::checkpoint::Config;
use crate::error::Result;
use crate::hub::{CachedModel, HubCache, fetch};
use crate::words::bytes_in_words;

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
    let widest = models.iter().map(|model| model.name.len()).max().unwrap_or_default();
    let line = |model: &CachedModel| {
        let kind = model_type(model).unwrap_or_default();
        let state = model.state().map_or(String::new(), |state| format!("  {state}"));
        format!("{:<widest$}  {:>8}  {kind}{state}", model.name, bytes_in_words(model.bytes)).trim_end().to_owned()
    };
    console.print(&models.iter().map(line).collect::<Vec<_>>().join("\n"))
}

/// `pillars download`.
pub(super) fn download(args: &DownloadArgs, console: &Console) -> Result<()> {
    let cache = HubCache::of_user();
    let place = console.watch(|ticket| fetch(&args.name, &cache, ticket))?;
    console.print(&format!("{} is in the hub's cache: {}", args.name, place.display()))
}

fn document(model: &CachedModel) -> Value {
    let CachedModel { name, place, bytes, missing, is_unfinished } = model;
    let kind = model_type(model);
    json!({"name": name, "path": place, "bytes": bytes, "model_type": kind, "missing": missing, "unfinished": is_unfinished})
}

/// `model_type` of its configuration, where that is there.
fn model_type(model: &CachedModel) -> Option<String> {
    let config = Config::read(&model.place.join("config.json")).ok()?;
    config.text_opt("model_type").ok().flatten().map(str::to_owned)
}
