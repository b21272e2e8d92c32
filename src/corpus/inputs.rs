//! A safetensors file that holds the model's inputs by their names.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use half::{bf16, f16};

use super::example::{Example, SourceContent, TokenRow};
use super::intake::{ImageSizes, Intake, PositionIds, SourceKind};
use super::labels::GivenLabel;
use super::origin::{Examples, Origin, Total};
use super::tokens::{decoder_row, unused_note};
use crate::checkpoint::{Stored, TensorEntry, open_file, read_header};
use crate::error::{Error, Result};
use crate::network::{Objective, TaskKind};
use crate::task::Ticket;

/// Named tensors whose first axis counts sequences. Rows are read one at a time.
pub(super) struct NamedTensors {
    path: PathBuf,
    intake: Intake,
    layout: NamedEntries,
}

/// Where the tensors lie in the file.
#[derive(Clone)]
struct NamedEntries {
    sequences: usize,
    /// `pixel_values`, `input_features`, `input_values` or `input_ids`.
    source: TensorEntry,
    attention_mask: Option<TensorEntry>,
    token_type_ids: Option<TensorEntry>,
    position_ids: Option<TensorEntry>,
    decoder_input_ids: Option<TensorEntry>,
    decoder_attention_mask: Option<TensorEntry>,
    labels: Option<TensorEntry>,
    /// First and last positions of answers.
    span: Option<[TensorEntry; 2]>,
    /// Sequences of each item: the endings of a question, else 1.
    choices: usize,
    /// Tensors that the model has no use for.
    unused: BTreeSet<String>,
}

impl NamedTensors {
    /// Checks the header against the file and, for token ids, every row.
    pub(super) fn open(path: &Path, intake: &Intake, ticket: &Ticket) -> Result<Self> {
        let layout = NamedEntries::read(path, intake).map_err(|e| e.at(path))?;
        let origin = Self { path: path.to_path_buf(), intake: intake.clone(), layout };
        if matches!(intake.source, SourceKind::Tokens(_)) {
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
        let mut file = open_file(&self.path).map_err(|e| Error::from(e).at(&self.path))?;
        let (layout, intake, path) = (self.layout.clone(), self.intake.clone(), self.path.clone());
        Ok(Box::new((0..layout.sequences).map(move |row| {
            layout.example(&mut file, row, &intake).map_err(|e| e.within(format_args!("row {row}")).at(&path))
        })))
    }

    fn sequences(&self) -> Option<Total> {
        Some(Total::Exact(self.layout.sequences as u64))
    }

    fn longest(&self) -> usize {
        self.layout.longest()
    }

    fn choices(&self) -> usize {
        self.layout.choices
    }

    fn files(&self) -> Vec<PathBuf> {
        vec![self.path.clone()]
    }

    fn describe(&self) -> String {
        format!("{} {:?}", self.layout.source.name, self.layout.source.shape)
    }

    fn notes(&self) -> Vec<String> {
        unused_note(&self.layout.unused).into_iter().collect()
    }

    fn image(&self) -> Option<[usize; 3]> {
        match self.layout.source.shape.as_slice() {
            [_, channels, height, width] => Some([*channels, *height, *width]),
            _ => None,
        }
    }
}

impl NamedEntries {
    fn read(path: &Path, intake: &Intake) -> Result<Self> {
        let entries = read_header(path)?;
        let place = |name: &str| entries.iter().find(|entry| entry.name == name).cloned();
        let (name, rank) = match &intake.source {
            SourceKind::Tokens(_) if chooses(intake) => ("input_ids", 3),
            SourceKind::Tokens(_) => ("input_ids", 2),
            SourceKind::Pixels { .. } => ("pixel_values", 4),
            SourceKind::Frames { .. } => ("input_features", 3),
            SourceKind::Samples { .. } => ("input_values", 2),
        };
        let missing = || {
            let held = entries.iter().map(|e| e.name.as_str()).collect::<Vec<_>>().join(", ");
            Error::new(format!("the model reads {name}, which this file does not hold"))
                .hint(format!("it holds {held}"))
        };
        let source = place(name).ok_or_else(missing)?;
        let wanted: &[usize] = match &intake.source {
            SourceKind::Tokens(_) | SourceKind::Samples { .. } => &[],
            // Where the model reads any size, that of the file.
            SourceKind::Pixels { sizes: ImageSizes::Any | ImageSizes::Stretched, .. } => &[],
            SourceKind::Pixels { shape, .. } => shape,
            SourceKind::Frames { shape } => shape,
        };
        let inner = source.shape.get(1..).unwrap_or(&[]);
        if source.shape.len() != rank || (!wanted.is_empty() && inner != wanted) {
            let shape = match (wanted.is_empty(), rank) {
                (true, 2) if name == "input_values" => "[N, samples]".to_owned(),
                (true, 2) => "[N, T]".to_owned(),
                (true, 3) => "[questions, endings, T]".to_owned(),
                (true, _) => "[N, channels, height, width]".to_owned(),
                (false, _) => format!("[N, ..{wanted:?}]"),
            };
            return Err(Error::new(format!("{name} has shape {:?}, but the model reads {shape}", source.shape)));
        }
        let words = matches!(intake.source, SourceKind::Tokens(_));
        let masked = words || matches!(intake.source, SourceKind::Samples { .. });
        let asks = intake.task.as_ref().map(|task| task.kind);
        let span = place("start_positions").zip(place("end_positions")).map(|(start, end)| [start, end]);
        let layout = Self {
            sequences: source.shape.first().copied().unwrap_or(0),
            choices: if chooses(intake) { source.shape.get(1).copied().unwrap_or(0) } else { 1 },
            attention_mask: place("attention_mask").filter(|_| masked),
            token_type_ids: place("token_type_ids").filter(|_| words && intake.types > 0),
            position_ids: place("position_ids").filter(|_| words && intake.positions != PositionIds::Unused),
            decoder_input_ids: place("decoder_input_ids"),
            decoder_attention_mask: place("decoder_attention_mask"),
            // Texts that are spoken have no positions.
            labels: place("labels")
                .filter(|labels| asks.is_some() || labels.shape.len() == 2 && intake.objective != Some(Objective::Ctc)),
            span: span.filter(|_| asks == Some(TaskKind::QuestionAnswering)),
            unused: BTreeSet::new(),
            source,
        };
        let mut layout = layout;
        let used: Vec<&String> = layout.rows().map(|entry| &entry.name).chain([&layout.source.name]).collect();
        let unused = entries.iter().map(|entry| &entry.name).filter(|name| !used.contains(name));
        layout.unused = unused.cloned().collect();
        if layout.source.shape.contains(&0) {
            return Err(Error::new(format!("{name} holds no sequence")));
        }
        for place in layout.rows() {
            if !layout.fits(place, intake) {
                let what = format!(
                    "{} has shape {:?}, but {name} holds {} sequences",
                    place.name, place.shape, layout.sequences
                );
                return Err(Error::new(what));
            }
        }
        Ok(layout)
    }

    /// Whether a tensor has a row for each sequence, of the form that it must have.
    fn fits(&self, place: &TensorEntry, intake: &Intake) -> bool {
        let ranks: &[usize] = match place.name.as_str() {
            "labels" if intake.task.is_some() => &[1, 2],
            "start_positions" | "end_positions" => &[1],
            name if name.starts_with("decoder") => &[2],
            _ if self.choices > 1 || chooses(intake) => &[3],
            _ => &[2],
        };
        let alike = place.shape.len() < 3 || place.shape.get(1) == Some(&self.choices);
        let is_full = !place.shape.contains(&0);
        is_full && ranks.contains(&place.shape.len()) && place.shape.first() == Some(&self.sequences) && alike
    }

    /// Tensors of one row per sequence besides the source.
    fn rows(&self) -> impl Iterator<Item = &TensorEntry> {
        let Self { attention_mask, token_type_ids, position_ids, decoder_input_ids, .. } = self;
        let named = [attention_mask, token_type_ids, position_ids, decoder_input_ids];
        let named = named.into_iter().chain([&self.decoder_attention_mask, &self.labels]).flatten();
        named.chain(self.span.iter().flatten())
    }

    /// Tokens of a row, of the source or of what the decoder reads.
    fn longest(&self) -> usize {
        let rows = [Some(&self.source), self.decoder_input_ids.as_ref(), self.labels.as_ref()];
        let lengths = rows.into_iter().flatten().filter(|entry| (2..=3).contains(&entry.shape.len()));
        lengths.filter_map(|entry| entry.shape.last().copied()).max().unwrap_or(0)
    }

    fn example(&self, file: &mut File, row: usize, intake: &Intake) -> Result<Example> {
        let mut ids = |place: &Option<TensorEntry>| place.as_ref().map(|p| integers(p, file, row)).transpose();
        let mask = ids(&self.attention_mask)?;
        let decoder = ids(&self.decoder_input_ids)?;
        let decoder_mask = ids(&self.decoder_attention_mask)?;
        let labels = if intake.task.is_none() { ids(&self.labels)? } else { None };
        let span = self
            .span
            .as_ref()
            .map(|[start, end]| Ok::<_, Error>((integers(start, file, row)?, integers(end, file, row)?)));
        let span = span.transpose()?;
        let mut ids = |place: &Option<TensorEntry>| place.as_ref().map(|p| integers(p, file, row)).transpose();
        let (types, positions) = (ids(&self.token_type_ids)?, ids(&self.position_ids)?);
        let content = match &intake.source {
            SourceKind::Tokens(limits) => {
                let ids = integers(&self.source, file, row)?;
                let length = ids.len() / self.choices;
                let part = |all: &Option<Vec<i64>>, i: usize| -> Option<Vec<i64>> {
                    all.as_ref().and_then(|all| Some(all.chunks(all.len() / self.choices).nth(i)?.to_vec()))
                };
                let mut rows = Vec::with_capacity(self.choices);
                for (i, ids) in ids.chunks(length).enumerate() {
                    let mut row = TokenRow::checked("input_ids", ids, part(&mask, i).as_deref(), limits)?;
                    row.take(part(&types, i).as_deref(), part(&positions, i).as_deref(), intake)?;
                    rows.push(row);
                }
                match rows.pop() {
                    Some(only) if !chooses(intake) => SourceContent::Tokens(only),
                    last => {
                        rows.extend(last);
                        SourceContent::Choices(rows)
                    }
                }
            }
            SourceKind::Samples { fewest, .. } => {
                let values = floats(&self.source, file, row)?;
                SourceContent::samples(values, mask.as_deref(), *fewest)?
            }
            SourceKind::Pixels { .. } | SourceKind::Frames { .. } => {
                SourceContent::Values(floats(&self.source, file, row)?)
            }
        };
        let nothing = TokenRow::default();
        let source = if let SourceContent::Tokens(row) = &content { row } else { &nothing };
        let target = decoder_row((decoder.as_deref(), decoder_mask.as_deref()), labels.as_deref(), source, intake)?;
        let mut example = Example { target, ..Example::new(content) };
        if let Some(labels) = labels {
            example.set_labels(&labels, intake)?;
        }
        if let Some((task, entry)) = intake.task.as_ref().zip(self.labels.as_ref()) {
            let mut numbers = labels_of(entry, file, row)?;
            let given = match numbers.pop() {
                Some(only) if entry.shape.len() == 1 => GivenLabel::Number(only),
                last => {
                    numbers.extend(last);
                    GivenLabel::Numbers(numbers)
                }
            };
            example.set_task_label(&given, task)?;
        }
        if let Some(([start], [end])) = span.as_ref().map(|(start, end)| (start.as_slice(), end.as_slice())) {
            example.set_span(*start, *end)?;
        }
        Ok(example)
    }
}

/// Bytes of one row of a tensor `[N, ..]`, `N` not 0.
fn row_bytes(entry: &TensorEntry, file: &mut File, row: usize) -> Result<Vec<u8>> {
    let width = entry.bytes / entry.shape[0];
    let mut bytes = vec![0u8; width];
    file.seek(SeekFrom::Start(entry.begin + row as u64 * width as u64))?;
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Whether the model chooses between endings, each a sequence.
fn chooses(intake: &Intake) -> bool {
    intake.task.as_ref().is_some_and(|task| task.kind == TaskKind::MultipleChoice)
}

/// Labels of a row, which may be whole numbers or others.
fn labels_of(entry: &TensorEntry, file: &mut File, row: usize) -> Result<Vec<f64>> {
    match entry.stored {
        Stored::I64 | Stored::I32 | Stored::U32 | Stored::U8 | Stored::Bool => {
            Ok(integers(entry, file, row)?.into_iter().map(|n| n as f64).collect())
        }
        _ => Ok(floats(entry, file, row)?.into_iter().map(f64::from).collect()),
    }
}

fn integers(entry: &TensorEntry, file: &mut File, row: usize) -> Result<Vec<i64>> {
    let bytes = row_bytes(entry, file, row)?;
    Ok(match entry.stored {
        Stored::I64 => numbers(&bytes, i64::from_le_bytes).collect(),
        Stored::I32 => numbers(&bytes, i32::from_le_bytes).map(i64::from).collect(),
        Stored::U32 => numbers(&bytes, u32::from_le_bytes).map(i64::from).collect(),
        Stored::U8 | Stored::Bool => bytes.iter().map(|v| i64::from(*v)).collect(),
        other => return Err(Error::new(format!("{} is {}, but integers are needed", entry.name, other.name()))),
    })
}

fn floats(entry: &TensorEntry, file: &mut File, row: usize) -> Result<Vec<f32>> {
    let bytes = row_bytes(entry, file, row)?;
    let values: Vec<f32> = match entry.stored {
        Stored::F32 => numbers(&bytes, f32::from_le_bytes).collect(),
        Stored::F16 => numbers(&bytes, f16::from_le_bytes).map(f32::from).collect(),
        Stored::BF16 => numbers(&bytes, bf16::from_le_bytes).map(f32::from).collect(),
        Stored::F64 => numbers(&bytes, f64::from_le_bytes).map(|v| v as f32).collect(),
        other => return Err(Error::new(format!("{} is {}, but floats are needed", entry.name, other.name()))),
    };
    if values.iter().all(|v| v.is_finite()) {
        Ok(values)
    } else {
        Err(Error::new(format!("{} holds a value that is not finite", entry.name)))
    }
}

fn numbers<const W: usize, T>(bytes: &[u8], read: impl Fn([u8; W]) -> T) -> impl Iterator<Item = T> {
    bytes.as_chunks::<W>().0.iter().map(move |chunk| read(*chunk))
}
