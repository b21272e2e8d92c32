//! A safetensors file that holds the model's inputs by their names.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use super::example::{Content, Example, Row};
use super::origin::{Examples, Origin, Total};
use super::reading::{Reading, SourceKind};
use super::tokens::decoder_row;
use crate::error::{Error, Result};
use crate::task::Ticket;

/// Longest header that is believed, as the format says.
const LONGEST_HEADER: u64 = 100_000_000;

/// Named tensors whose first axis counts sequences. Rows are read one at a time.
pub(super) struct NamedTensors {
    path: PathBuf,
    reading: Reading,
    layout: Layout,
}

/// Where the tensors lie in the file.
#[derive(Clone)]
struct Layout {
    sequences: usize,
    /// `pixel_values`, `input_features` or `input_ids`.
    source: Place,
    attention_mask: Option<Place>,
    decoder_input_ids: Option<Place>,
    decoder_attention_mask: Option<Place>,
    labels: Option<Place>,
}

/// One tensor `[N, ..]`.
#[derive(Clone)]
struct Place {
    name: &'static str,
    dtype: Dtype,
    shape: Vec<usize>,
    /// Byte of the file at which the first row begins.
    start: u64,
}

impl NamedTensors {
    /// Checks the header against the file and, for token ids, every row.
    pub fn open(path: &Path, reading: &Reading, ticket: &Ticket) -> Result<Self> {
        let layout = Layout::read(path, reading).map_err(|e| e.at(path))?;
        let origin = Self { path: path.to_path_buf(), reading: reading.clone(), layout };
        if matches!(reading.source, SourceKind::Tokens(_)) {
            ticket.stage("check inputs", Some(origin.layout.sequences as u64), "sequences");
            for example in origin.examples()? {
                example?;
                ticket.advance(1)?;
            }
        }
        Ok(origin)
    }
}

impl Origin for NamedTensors {
    fn examples(&self) -> Result<Examples> {
        let mut file = File::open(&self.path).map_err(|e| Error::from(e).at(&self.path))?;
        let (layout, reading, path) = (self.layout.clone(), self.reading.clone(), self.path.clone());
        Ok(Box::new((0..layout.sequences).map(move |row| {
            layout.example(&mut file, row, &reading).map_err(|e| e.within(format_args!("row {row}")).at(&path))
        })))
    }

    fn sequences(&self) -> Option<Total> {
        Some(Total::Exact(self.layout.sequences as u64))
    }

    fn files(&self) -> Vec<PathBuf> {
        vec![self.path.clone()]
    }

    fn describe(&self) -> String {
        format!("{} {:?}", self.layout.source.name, self.layout.source.shape)
    }
}

impl Layout {
    fn read(path: &Path, reading: &Reading) -> Result<Self> {
        let (start, metadata) = header(path)?;
        let place = |name: &'static str| metadata.info(name).map(|info| Place::new(name, info, start)).transpose();
        let (name, rank) = match &reading.source {
            SourceKind::Tokens(_) => ("input_ids", 2),
            SourceKind::Pixels { .. } => ("pixel_values", 4),
            SourceKind::Frames { .. } => ("input_features", 3),
        };
        let missing = || {
            let held = metadata.offset_keys().join(", ");
            Error::new(format!("the model reads {name}, which this file does not hold"))
                .hint(format!("it holds {held}"))
        };
        let source = place(name)?.ok_or_else(missing)?;
        let wanted: &[usize] = match &reading.source {
            SourceKind::Tokens(_) => &[],
            SourceKind::Pixels { shape } => shape,
            SourceKind::Frames { shape } => shape,
        };
        let inner = source.shape.get(1..).unwrap_or(&[]);
        if source.shape.len() != rank || (!wanted.is_empty() && inner != wanted) {
            let shape = if wanted.is_empty() { "[N, T]".to_owned() } else { format!("[N, ..{wanted:?}]") };
            return Err(Error::new(format!("{name} has shape {:?}, but the model reads {shape}", source.shape)));
        }
        let layout = Self {
            sequences: source.shape.first().copied().unwrap_or(0),
            attention_mask: place("attention_mask")?.filter(|_| rank == 2),
            decoder_input_ids: place("decoder_input_ids")?,
            decoder_attention_mask: place("decoder_attention_mask")?,
            labels: place("labels")?.filter(|labels| labels.shape.len() == 2),
            source,
        };
        if layout.sequences == 0 {
            return Err(Error::new(format!("{name} holds no sequence")));
        }
        let rest = [&layout.attention_mask, &layout.decoder_input_ids, &layout.decoder_attention_mask, &layout.labels];
        for place in rest.into_iter().flatten() {
            if place.shape.len() != 2 || place.shape.first() != Some(&layout.sequences) {
                let what = format!(
                    "{} has shape {:?}, but {name} holds {} sequences",
                    place.name, place.shape, layout.sequences
                );
                return Err(Error::new(what));
            }
        }
        Ok(layout)
    }

    fn example(&self, file: &mut File, row: usize, reading: &Reading) -> Result<Example> {
        let mut ids = |place: &Option<Place>| place.as_ref().map(|p| p.integers(file, row)).transpose();
        let mask = ids(&self.attention_mask)?;
        let decoder = ids(&self.decoder_input_ids)?;
        let decoder_mask = ids(&self.decoder_attention_mask)?;
        let labels = ids(&self.labels)?;
        let content = match &reading.source {
            SourceKind::Tokens(limits) => {
                let ids = self.source.integers(file, row)?;
                Content::Tokens(Row::checked("input_ids", &ids, mask.as_deref(), limits)?)
            }
            _ => Content::Values(self.source.floats(file, row)?),
        };
        let target = decoder_row(decoder.as_deref(), decoder_mask.as_deref(), labels.as_deref(), reading)?;
        let mut example = Example { content, target, labels: None };
        if let Some(labels) = labels {
            example.set_labels(&labels, reading)?;
        }
        Ok(example)
    }
}

/// The header of a safetensors file whose length agrees with it, and the byte where the data begins.
fn header(path: &Path) -> Result<(u64, Metadata)> {
    let broken = |what: String| Error::new(what).hint("write the file again, with safetensors.torch.save_file");
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut size = [0u8; 8];
    file.read_exact(&mut size).map_err(|_| broken("the file is too short for safetensors".to_owned()))?;
    let size = u64::from_le_bytes(size);
    if size > LONGEST_HEADER || size + 8 > length {
        return Err(broken(format!("a header of {size} bytes does not fit a file of {length} bytes")));
    }
    let mut text = vec![0u8; usize::try_from(size).unwrap_or(0)];
    file.read_exact(&mut text)?;
    let metadata: Metadata =
        serde_json::from_slice(&text).map_err(|e| broken(format!("the safetensors header is not valid: {e}")))?;
    let expected = 8 + size + metadata.data_len() as u64;
    if expected != length {
        return Err(broken(format!("the header describes {expected} bytes, but the file has {length}")));
    }
    Ok((8 + size, metadata))
}

impl Place {
    fn new(name: &'static str, info: &TensorInfo, data: u64) -> Result<Self> {
        let start = data + info.data_offsets.0 as u64;
        Ok(Self { name, dtype: info.dtype, shape: info.shape.clone(), start })
    }

    /// Bytes of one row.
    fn bytes(&self, file: &mut File, row: usize) -> Result<Vec<u8>> {
        let numbers: usize = self.shape.get(1..).unwrap_or(&[]).iter().product();
        let width = numbers * self.dtype.bitsize() / 8;
        let mut bytes = vec![0u8; width];
        file.seek(SeekFrom::Start(self.start + row as u64 * width as u64))?;
        file.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn integers(&self, file: &mut File, row: usize) -> Result<Vec<i64>> {
        let bytes = self.bytes(file, row)?;
        let bytes = bytes.as_slice();
        Ok(match self.dtype {
            Dtype::I64 => numbers(bytes, i64::from_le_bytes).collect(),
            // Ids beyond the signed range are no ids: they are caught as outside the vocabulary.
            Dtype::U64 => numbers(bytes, u64::from_le_bytes).map(|v| i64::try_from(v).unwrap_or(i64::MAX)).collect(),
            Dtype::I32 => numbers(bytes, i32::from_le_bytes).map(i64::from).collect(),
            Dtype::U32 => numbers(bytes, u32::from_le_bytes).map(i64::from).collect(),
            Dtype::I16 => numbers(bytes, i16::from_le_bytes).map(i64::from).collect(),
            Dtype::U16 => numbers(bytes, u16::from_le_bytes).map(i64::from).collect(),
            Dtype::I8 => numbers(bytes, i8::from_le_bytes).map(i64::from).collect(),
            Dtype::U8 | Dtype::BOOL => bytes.iter().map(|v| i64::from(*v)).collect(),
            other => return Err(Error::new(format!("{} is {other}, but integers are needed", self.name))),
        })
    }

    fn floats(&self, file: &mut File, row: usize) -> Result<Vec<f32>> {
        let bytes = self.bytes(file, row)?;
        let bytes = bytes.as_slice();
        let values: Vec<f32> = match self.dtype {
            Dtype::F32 => numbers(bytes, f32::from_le_bytes).collect(),
            Dtype::F16 => numbers(bytes, f16::from_le_bytes).map(f32::from).collect(),
            Dtype::BF16 => numbers(bytes, bf16::from_le_bytes).map(f32::from).collect(),
            Dtype::F64 => numbers(bytes, f64::from_le_bytes).map(|v| v as f32).collect(),
            other => return Err(Error::new(format!("{} is {other}, but floating-point values are needed", self.name))),
        };
        if values.iter().all(|v| v.is_finite()) {
            Ok(values)
        } else {
            Err(Error::new(format!("{} holds a value that is not finite", self.name)))
        }
    }
}

fn numbers<const W: usize, T>(bytes: &[u8], read: impl Fn([u8; W]) -> T) -> impl Iterator<Item = T> {
    bytes.as_chunks::<W>().0.iter().map(move |chunk| read(*chunk))
}
