//! What a family of checkpoints is.

use super::Layout;
use crate::checkpoint::Config;
use crate::error::{Error, Result};
use crate::network::NetworkSpec;

/// A family of checkpoints: how its configuration reads and what its tensors are called.
#[derive(Debug)]
pub struct Family {
    /// `model_type` in `config.json`.
    pub model_type: &'static str,
    /// The name people use.
    pub title: &'static str,
    /// Configuration to spec.
    pub spec: fn(&Reading<'_>) -> Result<NetworkSpec>,
    /// Role, tensor name, layout. `{i}` stands for a layer; both sides name a stem that `.weight` and `.bias` follow,
    /// or a whole name.
    pub names: &'static [(&'static str, &'static str, Layout)],
    /// Prefix that a checkpoint of the base model leaves out, e.g. `bert.`.
    pub prefix: &'static str,
}

/// What a family reads its spec from.
pub struct Reading<'a> {
    /// `config.json`.
    pub config: &'a Config,
    /// Whether the checkpoint holds a tensor of this name.
    pub has: &'a dyn Fn(&str) -> bool,
}

impl Reading<'_> {
    /// False where the first architecture is a bare model such as `GPT2Model`, which has no language-model head.
    pub fn wants_head(&self) -> bool {
        self.config.architecture().is_none_or(|name| !name.ends_with("Model") || name.contains("LMHead"))
    }
}

impl Family {
    /// The family of a configuration; an unknown one is answered with the nearest names.
    pub fn of(config: &Config) -> Result<&'static Self> {
        let Some(model_type) = config.text_opt("model_type")? else {
            return Err(config.unsupported("'model_type' is missing").hint("add the model's type to config.json"));
        };
        super::families::all().find(|f| f.model_type == model_type).ok_or_else(|| {
            let mut near: Vec<_> = super::families::all().map(|f| f.model_type).collect();
            near.sort_by_key(|name| (edit_distance(name, model_type), *name));
            near.truncate(3);
            Error::new(format!("model_type '{model_type}' is not supported"))
                .at(config.path())
                .hint(format!("the nearest supported families are {}", near.join(", ")))
        })
    }

    /// The tensor name and layout of a role, with the family's prefix.
    pub(super) fn name_of(&self, role: &str) -> Option<(String, Layout)> {
        let role_parts: Vec<&str> = role.split('.').collect();
        self.names.iter().find_map(|(pattern, name, layout)| {
            let mut layer = None;
            let mut rest = role_parts.iter();
            for part in pattern.split('.') {
                let given = rest.next()?;
                match part {
                    "{i}" => layer = Some(given.parse::<usize>().ok()?),
                    same if same == *given => {}
                    _ => return None,
                }
            }
            let mut found = match layer {
                Some(layer) => name.replace("{i}", &layer.to_string()),
                None => (*name).to_owned(),
            };
            match (rest.next(), rest.next()) {
                (None, _) => {}
                (Some(suffix @ (&"weight" | &"bias")), None) => {
                    found.push('.');
                    found.push_str(suffix);
                }
                _ => return None,
            }
            Some((found, *layout))
        })
    }
}

/// Levenshtein distance, on bytes.
fn edit_distance(a: &str, b: &str) -> usize {
    let b = b.as_bytes();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let cost = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edit_distances() {
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("llama", "llama"), 0);
    }
}
