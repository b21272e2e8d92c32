//! Rows of Parquet files.

use std::collections::HashMap;
use std::path::Path;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row};
use serde_json::{Map, Number, Value};

use super::guard::guarded;
use crate::checkpoint::open_file;
use crate::error::{Error, Result};

/// Most bytes of a column of one row group, which is unpacked at once.
const LARGEST_COLUMN: i64 = 1 << 31;

/// Reads rows one after the other.
pub(super) struct ParquetRows {
    rows: RowIter<'static>,
    /// Names of the columns.
    pub(super) columns: Vec<String>,
    /// What the numbers of a column of classes are called, where the file says so.
    pub(super) classes: HashMap<String, Vec<String>>,
    is_broken: bool,
}

fn unreadable(error: impl std::fmt::Display) -> Error {
    Error::new(format!("not a Parquet file that can be read: {error}"))
        .hint("write it as JSON Lines (.jsonl), CSV or TSV")
}

impl ParquetRows {
    /// Opens a file and holds what it claims against its size.
    ///
    /// # Errors
    /// Where it is no Parquet file.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = open_file(path).map_err(|e| Error::from(e).at(path))?;
        let size = i64::try_from(file.metadata()?.len()).unwrap_or(i64::MAX);
        guarded(
            |why| unreadable(why),
            || {
                let reader = SerializedFileReader::new(file).map_err(unreadable)?;
                let about = reader.metadata();
                let chunks = about.row_groups().iter().flat_map(|group| group.columns());
                for chunk in chunks {
                    let (packed, whole) = (chunk.compressed_size(), chunk.uncompressed_size());
                    if !(0..=size).contains(&packed) || !(0..=LARGEST_COLUMN).contains(&whole) {
                        return Err(unreadable(format!("it claims a column of {packed} bytes, {whole} unpacked")));
                    }
                }
                let root = about.file_metadata().schema_descr().root_schema();
                let columns = root.get_fields().iter().map(|field| field.name().to_owned()).collect();
                let notes = about.file_metadata().key_value_metadata();
                let note = notes.into_iter().flatten().find(|note| note.key == "huggingface");
                let features = note.and_then(|note| serde_json::from_str::<Value>(note.value.as_deref()?).ok());
                let classes = features.as_ref().and_then(|f| f.pointer("/info/features")?.as_object()).map(class_names);
                let rows = RowIter::from_file_into(Box::new(reader));
                Ok(Self { rows, columns, classes: classes.unwrap_or_default(), is_broken: false })
            },
        )
    }

    /// The cells of the next row; `None` at the end of the file.
    pub(super) fn read(&mut self) -> Result<Option<Map<String, Value>>> {
        if self.is_broken {
            return Ok(None);
        }
        let row = guarded(|why| unreadable(why), || self.rows.next().transpose().map_err(unreadable));
        self.is_broken = row.is_err();
        Ok(row?.map(cells))
    }
}

/// Names of classes by column, as data sets of the hub note them.
fn class_names(features: &Map<String, Value>) -> HashMap<String, Vec<String>> {
    let names = |feature: &Value| -> Option<Vec<String>> {
        let inner = feature.get("feature").or_else(|| feature.get(0)).unwrap_or(feature);
        let names = inner.get("names").or_else(|| inner.pointer("/class_label/names"))?.as_array()?;
        names.iter().map(|name| name.as_str().map(str::to_owned)).collect()
    };
    features.iter().filter_map(|(column, feature)| Some((column.clone(), names(feature)?))).collect()
}

fn cells(row: Row) -> Map<String, Value> {
    row.into_columns().into_iter().map(|(name, field)| (name, value(field))).collect()
}

fn value(field: Field) -> Value {
    let real = |x: f64| Number::from_f64(x).map_or(Value::Null, Value::Number);
    match field {
        Field::Null => Value::Null,
        Field::Bool(yes) => Value::Bool(yes),
        Field::Byte(n) => n.into(),
        Field::Short(n) => n.into(),
        Field::Int(n) | Field::Date(n) | Field::TimeMillis(n) => n.into(),
        Field::Long(n) | Field::TimeMicros(n) | Field::TimestampMillis(n) | Field::TimestampMicros(n) => n.into(),
        Field::UByte(n) => n.into(),
        Field::UShort(n) => n.into(),
        Field::UInt(n) => n.into(),
        Field::ULong(n) => n.into(),
        Field::Float16(x) => real(x.to_f64()),
        Field::Float(x) => real(f64::from(x)),
        Field::Double(x) => real(x),
        Field::Str(text) => Value::String(text),
        // Older writers leave out that bytes are text.
        Field::Bytes(bytes) => String::from_utf8(bytes.data().to_vec()).map_or(Value::Null, Value::String),
        Field::Decimal(_) => Value::Null,
        Field::Group(row) => Value::Object(cells(row)),
        Field::ListInternal(list) => list.elements().iter().cloned().map(value).collect(),
        Field::MapInternal(map) => {
            let entry = |(key, item): &(Field, Field)| match value(key.clone()) {
                Value::String(key) => Some((key, value(item.clone()))),
                _ => None,
            };
            Value::Object(map.entries().iter().filter_map(entry).collect())
        }
    }
}
