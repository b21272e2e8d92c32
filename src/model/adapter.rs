//! Folders that hold an adapter alone, which is added to a model that is elsewhere.

use std::path::Path;

use crate::checkpoint::Config;
use crate::error::Error;

/// The file that such a folder has.
const FILE: &str = "adapter_config.json";

/// What a folder is that holds an adapter: of which kind, of which model, and how to make a whole model of both.
pub(super) fn refusal(folder: &Path) -> Option<Error> {
    const LONGEST: usize = 200;
    let path = folder.join(FILE);
    if !path.is_file() {
        return None;
    }
    let config = Config::read(&path).ok();
    let text = |key: &str| {
        let text = config.as_ref()?.text_opt(key).ok()?.filter(|text| !text.is_empty())?;
        Some(text.chars().filter(|c| !c.is_control() && *c != '\'').take(LONGEST).collect::<String>())
    };
    let kind = text("peft_type").map_or_else(String::new, |kind| format!(" ({kind})"));
    let base = text("base_model_name_or_path");
    let what = match &base {
        Some(base) => format!("the folder holds an adapter{kind} for '{base}', not a whole model"),
        None => format!("the folder holds an adapter{kind}, not a whole model, and does not name its base model"),
    };
    let base = base.unwrap_or_else(|| "BASE".to_owned());
    Some(Error::new(what).at(path).hint(format!(
        "merge it first, in Python: PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained('{base}'), \
         FOLDER).merge_and_unload().save_pretrained(OUT)"
    )))
}
