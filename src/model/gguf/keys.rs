//! What a GGUF file says of itself.

use candle_core::quantized::gguf_file::Value;

use crate::checkpoint::GgufFile;
use crate::error::{Error, Result};

/// The values of a file, those of its architecture by their short names.
pub(super) struct GgufKeys<'a> {
    pub(super) file: &'a GgufFile,
    architecture: String,
}

impl<'a> GgufKeys<'a> {
    pub(super) fn new(file: &'a GgufFile) -> Result<Self> {
        let Some(Value::String(architecture)) = file.value("general.architecture") else {
            return Err(Error::new("the file names no architecture").at(file.path()));
        };
        if file.value("split.count").and_then(whole).is_some_and(|parts| parts > 1) {
            return Err(Error::new("the model is split over several files")
                .at(file.path())
                .hint("put them together with llama.cpp's llama-gguf-split --merge"));
        }
        Ok(Self { file, architecture: architecture.clone() })
    }

    /// What `general.architecture` says.
    pub(super) fn name(&self) -> &str {
        &self.architecture
    }

    /// The value under a key of the architecture.
    pub(super) fn value(&self, key: &str) -> Option<&'a Value> {
        self.file.value(&format!("{}.{key}", self.architecture))
    }

    /// An error about a key.
    pub(super) fn wrong(&self, key: &str, wanted: &str) -> Error {
        let what = match self.value(key) {
            Some(_) => format!("'{}.{key}' is not {wanted}", self.architecture),
            None => format!("'{}.{key}' is missing", self.architecture),
        };
        Error::new(what).at(self.file.path())
    }

    /// A size, where present.
    pub(super) fn size_opt(&self, key: &str) -> Result<Option<usize>> {
        const LARGEST: u64 = 1 << 26;
        let Some(value) = self.value(key) else { return Ok(None) };
        let size = whole(value).filter(|size| *size <= LARGEST).map(|size| size as usize);
        size.map(Some).ok_or_else(|| self.wrong(key, "a reasonable whole number"))
    }

    pub(super) fn size(&self, key: &str) -> Result<usize> {
        self.size_opt(key)?.ok_or_else(|| self.wrong(key, "a number"))
    }

    /// A size of each of `layers` layers: one number for all, or a list.
    pub(super) fn sizes(&self, key: &str, layers: usize) -> Result<Option<Vec<usize>>> {
        match self.value(key) {
            Some(Value::Array(list)) if list.len() == layers => {
                let sizes: Option<Vec<usize>> = list.iter().map(|n| usize::try_from(whole(n)?).ok()).collect();
                sizes.map(Some).ok_or_else(|| self.wrong(key, "a list of whole numbers"))
            }
            Some(Value::Array(_)) => Err(self.wrong(key, &format!("a list of {layers} numbers"))),
            _ => Ok(self.size_opt(key)?.map(|size| vec![size; layers])),
        }
    }

    /// A number, where present. What was written in 32 bits is the number with the fewest digits that gives them.
    pub(super) fn number_opt(&self, key: &str) -> Result<Option<f64>> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let number = match value {
            Value::F32(number) => number.to_string().parse().ok(),
            Value::F64(number) => Some(*number),
            other => whole(other).map(|number| number as f64),
        };
        number.filter(|number: &f64| number.is_finite()).map(Some).ok_or_else(|| self.wrong(key, "a number"))
    }

    /// A text, where present.
    pub(super) fn text_opt(&self, key: &str) -> Result<Option<&'a str>> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(key, "a text")),
        }
    }

    /// Whether the file holds a tensor.
    pub(super) fn has(&self, tensor: &str) -> bool {
        self.file.info(tensor).is_some()
    }
}

/// A whole number of any type.
pub(super) fn whole(value: &Value) -> Option<u64> {
    match value {
        Value::U8(n) => Some(u64::from(*n)),
        Value::U16(n) => Some(u64::from(*n)),
        Value::U32(n) => Some(u64::from(*n)),
        Value::U64(n) => Some(*n),
        Value::I8(n) => u64::try_from(*n).ok(),
        Value::I16(n) => u64::try_from(*n).ok(),
        Value::I32(n) => u64::try_from(*n).ok(),
        Value::I64(n) => u64::try_from(*n).ok(),
        _ => None,
    }
}
