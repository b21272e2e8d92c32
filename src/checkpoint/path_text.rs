//! Paths in JSON: as text where they are text, else as the list of their bytes, so that every path comes back as it was.
//!
//! For `#[serde(with = "path_text")]`, and `path_text::option` where there may be none.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Writes a path.
///
/// # Errors
/// Where the writer fails, or this system's paths are neither text nor bytes and this one is no text.
pub(crate) fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    match path.to_str() {
        Some(text) => serializer.serialize_str(text),
        #[cfg(unix)]
        None => std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()).serialize(serializer),
        #[cfg(not(unix))]
        None => Err(serde::ser::Error::custom(format!("the path {} is no text", path.display()))),
    }
}

/// Reads a path.
///
/// # Errors
/// Where it is neither text nor, on systems whose paths are bytes, a list of them.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a path: text, or a list of bytes")]
    enum Spelling {
        Text(PathBuf),
        Bytes(Vec<u8>),
    }
    match Spelling::deserialize(deserializer)? {
        Spelling::Text(path) => Ok(path),
        #[cfg(unix)]
        Spelling::Bytes(bytes) => {
            Ok(PathBuf::from(<std::ffi::OsString as std::os::unix::ffi::OsStringExt>::from_vec(bytes)))
        }
        #[cfg(not(unix))]
        Spelling::Bytes(_) => Err(serde::de::Error::custom("a path of bytes, as this system has none")),
    }
}

/// A path among others.
#[derive(Serialize, Deserialize)]
pub(crate) struct Spelled(#[serde(with = "self")] pub(crate) PathBuf);

/// For a path that may be absent.
pub(crate) mod option {
    use super::{Deserialize, Deserializer, PathBuf, Serialize, Serializer, Spelled};

    /// Writes a path or null.
    ///
    /// # Errors
    /// As [`super::serialize`].
    pub(crate) fn serialize<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
        path.clone().map(Spelled).serialize(serializer)
    }

    /// Reads a path or null.
    ///
    /// # Errors
    /// As [`super::deserialize`].
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
        Ok(Option::<Spelled>::deserialize(deserializer)?.map(|spelled| spelled.0))
    }
}

/// Writes paths in their order; read them as [`Spelled`].
///
/// # Errors
/// As [`serialize`].
pub(crate) fn serialize_all<S: Serializer>(paths: &[PathBuf], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(paths.iter().cloned().map(Spelled))
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    #[test]
    fn every_path_comes_back() {
        #[derive(Serialize, Deserialize)]
        struct Spellings {
            #[serde(with = "super")]
            one: PathBuf,
            #[serde(default, with = "super::option")]
            none: Option<PathBuf>,
            many: Vec<Spelled>,
        }
        let odd =
            PathBuf::from(<std::ffi::OsString as std::os::unix::ffi::OsStringExt>::from_vec(vec![b'/', 0xff, b'a']));
        let held = Spellings { one: "a/b".into(), none: None, many: vec![Spelled(odd.clone()), Spelled("c".into())] };
        let text = serde_json::to_string(&held).unwrap();
        assert_eq!(text, r#"{"one":"a/b","none":null,"many":[[47,255,97],"c"]}"#);
        let back: Spellings = serde_json::from_str(&text).unwrap();
        assert_eq!((back.one, back.none), (held.one, held.none));
        assert!(back.many.iter().map(|spelled| &spelled.0).eq([&odd, &PathBuf::from("c")]));
        let held = Spellings { one: odd.clone(), none: Some(odd.clone()), many: Vec::new() };
        let back: Spellings = serde_json::from_value(serde_json::to_value(&held).unwrap()).unwrap();
        assert_eq!((&back.one, back.none.as_ref()), (&odd, Some(&odd)));
        assert!(
            serde_json::from_str::<Spellings>(r#"{"one":3,"many":[]}"#).err().unwrap().to_string().contains("a path")
        );
    }
}
