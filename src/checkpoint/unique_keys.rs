//! JSON in which every key of an object stands once.

use std::fmt;

use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// An object in which, and in whose values, no key stands twice: of two the last would win without a word.
pub(crate) struct UniqueKeys(pub(crate) Map<String, Value>);

impl<'de> Deserialize<'de> for UniqueKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = UniqueKeys;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<UniqueKeys, A::Error> {
                entries(map).map(UniqueKeys)
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// The entries of an object, of which no key stands twice.
fn entries<'de, A: MapAccess<'de>>(mut map: A) -> Result<Map<String, Value>, A::Error> {
    let mut found = Map::new();
    while let Some(key) = map.next_key::<String>()? {
        if found.contains_key(&key) {
            return Err(A::Error::custom(twice(&key)));
        }
        let UniqueValue(value) = map.next_value()?;
        found.insert(key, value);
    }
    Ok(found)
}

/// Any value in whose objects no key stands twice.
struct UniqueValue(Value);

impl<'de> Deserialize<'de> for UniqueValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = UniqueValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }

            fn visit_unit<E>(self) -> Result<UniqueValue, E> {
                Ok(UniqueValue(Value::Null))
            }

            fn visit_bool<E>(self, value: bool) -> Result<UniqueValue, E> {
                Ok(UniqueValue(value.into()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<UniqueValue, E> {
                Ok(UniqueValue(value.into()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<UniqueValue, E> {
                Ok(UniqueValue(value.into()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<UniqueValue, E> {
                Ok(UniqueValue(value.into()))
            }

            fn visit_str<E>(self, value: &str) -> Result<UniqueValue, E> {
                Ok(UniqueValue(value.into()))
            }

            fn visit_string<E>(self, value: String) -> Result<UniqueValue, E> {
                Ok(UniqueValue(value.into()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<UniqueValue, A::Error> {
                let mut found = Vec::new();
                while let Some(UniqueValue(value)) = list.next_element()? {
                    found.push(value);
                }
                Ok(UniqueValue(Value::Array(found)))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<UniqueValue, A::Error> {
                entries(map).map(|found| UniqueValue(Value::Object(found)))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// What to say of a key that stands twice.
pub(crate) fn twice(key: &str) -> String {
    format!("the key '{key}' stands twice")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_as_it_stands_and_no_key_is_there_twice_however_deep() {
        let text = r#"{"a": [1, -2, 0.5, 1e300, 18446744073709551615, true, null, "x\n", {"a": {}}], "b": {"a": []}}"#;
        let UniqueKeys(found) = serde_json::from_str(text).unwrap();
        assert_eq!(Value::Object(found), serde_json::from_str::<Value>(text).unwrap());
        for text in [r#"{"a": 1, "a": 1}"#, r#"{"b": {"a": 1, "c": 2, "a": 3}}"#, r#"{"b": [[{"a": 1, "a": []}]]}"#] {
            let error = serde_json::from_str::<UniqueKeys>(text).err().unwrap().to_string();
            assert!(error.contains("the key 'a' stands twice"), "{text}: {error}");
        }
        for text in ["[]", "1", "{\"a\": }"] {
            assert!(serde_json::from_str::<UniqueKeys>(text).is_err(), "{text}");
        }
    }
}
