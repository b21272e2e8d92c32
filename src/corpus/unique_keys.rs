//! Objects of JSON in which every key stands once.

use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// An object in which no key stands twice: of two the last would win without a word.
pub(super) struct UniqueKeys(pub(super) Map<String, Value>);

impl<'de> Deserialize<'de> for UniqueKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = UniqueKeys;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<UniqueKeys, A::Error> {
                let mut found = Map::new();
                while let Some((key, value)) = map.next_entry::<String, Value>()? {
                    if found.contains_key(&key) {
                        return Err(A::Error::custom(twice(&key)));
                    }
                    found.insert(key, value);
                }
                Ok(UniqueKeys(found))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// What to say of a key that stands twice.
pub(super) fn twice(key: &str) -> String {
    format!("the key '{key}' stands twice")
}
