//! What the classes of a model are called.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::checkpoint::Config;

/// What the classes of a model are called.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LabelNames {
    names: Vec<String>,
    /// Other spellings of them, from `label2id`.
    others: BTreeMap<String, u32>,
}

impl LabelNames {
    /// The names of `count` classes by `id2label` and `label2id`; `LABEL_n` where neither says anything.
    pub fn of(config: &Config, count: usize) -> Self {
        let mut names: Vec<Option<String>> = vec![None; count];
        for (number, name) in config.get("id2label").and_then(|v| v.as_object()).into_iter().flatten() {
            if let (Some(place), Some(name)) =
                (number.parse().ok().and_then(|n: usize| names.get_mut(n)), name.as_str())
            {
                *place = Some(name.to_owned());
            }
        }
        let mut others = BTreeMap::new();
        for (name, number) in config.get("label2id").and_then(|v| v.as_object()).into_iter().flatten() {
            let number = number.as_u64().or_else(|| number.as_str()?.parse().ok());
            let Some(number) = number.and_then(|n| u32::try_from(n).ok()) else { continue };
            let Some(place) = names.get_mut(number as usize) else { continue };
            place.get_or_insert_with(|| name.clone());
            others.insert(name.clone(), number);
        }
        let named = |(number, name): (usize, Option<String>)| name.unwrap_or_else(|| format!("LABEL_{number}"));
        Self { names: names.into_iter().enumerate().map(named).collect(), others }
    }

    /// The names in the order of the classes.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The name of a class.
    pub fn name(&self, class: u32) -> Option<&str> {
        self.names.get(class as usize).map(String::as_str)
    }

    /// The class of this name: as `id2label` spells it, as `label2id` does, or, where that is no other class, in other
    /// letter case or by one of several names with commas between them.
    pub fn find(&self, name: &str) -> Option<u32> {
        let place = |at: usize| u32::try_from(at).ok();
        if let Some(at) = self.names.iter().position(|own| own == name) {
            return place(at);
        }
        if let Some(number) = self.others.get(name) {
            return Some(*number);
        }
        let name = name.to_lowercase();
        let only = |is_it: &dyn Fn(&str) -> bool| {
            let mut found = self.names.iter().enumerate().filter(|(_, own)| is_it(&own.to_lowercase()));
            match (found.next(), found.next()) {
                (Some((at, _)), None) => place(at),
                _ => None,
            }
        };
        // ImageNet names classes by several words with commas between them.
        only(&|own| own == name).or_else(|| only(&|own| own.split(',').any(|word| word.trim() == name)))
    }

    /// Whether no class has a name of its own.
    pub fn are_numbers(&self) -> bool {
        self.names.iter().enumerate().all(|(number, name)| *name == format!("LABEL_{number}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_found_by_name_and_never_by_order() {
        let keys = serde_json::json!({
            "id2label": {"1": "entailment", "0": "contradiction", "2": "NEUTRAL"},
            "label2id": {"CONTRADICTION": 0, "entailment": 1, "maybe": "2"},
        });
        let labels = LabelNames::of(&Config::new("config.json", keys.as_object().cloned().unwrap()), 3);
        assert_eq!(labels.names(), ["contradiction", "entailment", "NEUTRAL"]);
        assert_eq!(
            ["contradiction", "entailment", "neutral", "maybe"].map(|l| labels.find(l)),
            [Some(0), Some(1), Some(2), Some(2)]
        );
        assert_eq!((labels.find("other"), labels.find("CONTRADICTION")), (None, Some(0)));
        assert!(!labels.are_numbers());
        let nothing = LabelNames::of(&Config::new("config.json", Default::default()), 2);
        assert_eq!((nothing.names(), nothing.are_numbers()), (&["LABEL_0".to_owned(), "LABEL_1".to_owned()][..], true));
        let keys = serde_json::json!({"id2label": {"0": "tench, Tinca tinca", "1": "crane", "2": "crane, bird"}});
        let labels = LabelNames::of(&Config::new("config.json", keys.as_object().cloned().unwrap()), 3);
        assert_eq!(
            [labels.find("Tinca tinca"), labels.find("bird"), labels.find("crane")],
            [Some(0), Some(2), Some(1)]
        );
        // Two classes that differ in letter case alone are told apart by it.
        let keys = serde_json::json!({"id2label": {"0": "us", "1": "US"}});
        let labels = LabelNames::of(&Config::new("config.json", keys.as_object().cloned().unwrap()), 2);
        assert_eq!((labels.find("US"), labels.find("us"), labels.find("Us")), (Some(1), Some(0), None));
    }
}
