//! safetensors files that are written piece by piece, whatever their size.

use std::collections::BTreeMap;
#[cfg(unix)]
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};

use super::hidden::{file_beside, finish_file};
use super::{Stored, TensorPlan, folder_of, safetensors_header};
use crate::error::{Error, Result};
use crate::words::bytes_in_words;

/// A file of f32 tensors whose first axis, or first axes taken as one, comes in pieces, those of all tensors in any order. Dropped unfinished, it
/// leaves nothing.
#[derive(Debug)]
pub struct TensorFile {
    path: PathBuf,
    file: tempfile::NamedTempFile,
    tensors: BTreeMap<String, TensorSpan>,
}

/// Where a tensor stands in the file, and how much of it is there.
#[derive(Debug)]
struct TensorSpan {
    begin: u64,
    shape: Vec<usize>,
    /// Numbers that are there.
    written: usize,
}

impl TensorFile {
    /// Begins the file at `path`, which appears on [`TensorFile::finish`].
    ///
    /// # Errors
    /// Where the disk has no room for it.
    pub fn create(
        path: &Path,
        shapes: &BTreeMap<String, Vec<usize>>,
        metadata: &BTreeMap<&str, String>,
    ) -> Result<Self> {
        let place = |e: Error| e.at(path);
        let plans: Vec<TensorPlan> = shapes
            .iter()
            .map(|(name, shape)| TensorPlan { name: name.clone(), stored: Stored::F32, shape: shape.clone() })
            .collect();
        let header = safetensors_header(&plans, metadata)?;
        let mut begin = header.len() as u64;
        let mut tensors = BTreeMap::new();
        for plan in plans {
            let bytes = plan.bytes() as u64;
            tensors.insert(plan.name, TensorSpan { begin, shape: plan.shape, written: 0 });
            begin += bytes;
        }
        let folder = folder_of(path);
        if let Some(free) = free_bytes(folder).filter(|free| *free < begin) {
            let (size, free) = (bytes_in_words(begin), bytes_in_words(free));
            return Err(place(Error::new(format!("the result takes {size}, and {free} are free on the disk"))));
        }
        let mut file = file_beside(path)?;
        file.write_all(&header).map_err(|e| place(e.into()))?;
        Ok(Self { path: path.to_path_buf(), file, tensors })
    }

    /// Adds the next rows of the tensor `name`. Axes after the first may be shorter than the tensor's; what is missing
    /// is 0. A piece of fewer axes than the tensor adds rows of its last axes: `[3, V]` three positions to `[N, T, V]`.
    ///
    /// # Errors
    /// Where the rows do not fit the shape that was announced, or cannot be written.
    pub fn append(&mut self, name: &str, piece: &Tensor) -> Result<()> {
        let wrong = || Error::new(format!("a piece {:?} does not fit tensor '{name}'", piece.dims()));
        let Some(TensorSpan { begin, shape, written }) = self.tensors.get_mut(name) else { return Err(wrong()) };
        let Some((count, inner)) = piece.dims().split_first() else { return Err(wrong()) };
        let Some((outer, full)) = shape.split_at_checked(shape.len().saturating_sub(inner.len())) else {
            return Err(wrong());
        };
        let (all, row_numbers) = (outer.iter().product::<usize>(), full.iter().product::<usize>());
        let is_short = inner.iter().zip(full).all(|(i, f)| i <= f);
        if outer.is_empty() || !is_short || *written + count * row_numbers > all * row_numbers {
            return Err(wrong());
        }
        let numbers = piece.to_dtype(DType::F32)?.to_device(&Device::Cpu)?.contiguous()?;
        let (storage, layout) = numbers.storage_and_layout();
        let candle_core::Storage::Cpu(storage) = &*storage else { return Err(wrong()) };
        let numbers = &storage.as_slice::<f32>()?[layout.start_offset()..layout.start_offset() + piece.elem_count()];
        let mut out = BufWriter::with_capacity(1 << 20, self.file.as_file_mut());
        let outcome = (|| {
            out.seek(SeekFrom::Start(*begin + 4 * *written as u64))?;
            // Rows of the first axis follow each other in the file.
            let row: usize = inner.iter().product();
            for index in 0..*count {
                padded(&mut out, &numbers[index * row..(index + 1) * row], inner, full)?;
            }
            out.flush()
        })();
        outcome.map_err(|e: std::io::Error| Error::from(e).at(&self.path))?;
        *written += count * row_numbers;
        Ok(())
    }

    /// Puts the file in place.
    ///
    /// # Errors
    /// Where rows are missing.
    pub fn finish(self) -> Result<()> {
        if let Some((name, _)) = self.tensors.iter().find(|(_, t)| t.written < t.shape.iter().product()) {
            return Err(Error::new(format!("tensor '{name}' was not written to its end")).at(&self.path));
        }
        let (file, hidden) = self.file.into_parts();
        finish_file(&file, hidden, &self.path)
    }
}

/// Writes numbers of shape `inner` as one of shape `full`, zeros behind them along every axis.
fn padded(out: &mut impl Write, numbers: &[f32], inner: &[usize], full: &[usize]) -> std::io::Result<()> {
    let (Some((length, inner)), Some((whole, full))) = (inner.split_first(), full.split_first()) else {
        return numbers.iter().try_for_each(|x| out.write_all(&x.to_le_bytes()));
    };
    let step: usize = inner.iter().product();
    for index in 0..*length {
        padded(out, &numbers[index * step..(index + 1) * step], inner, full)?;
    }
    zeros(out, (whole - length) * full.iter().product::<usize>())
}

fn zeros(out: &mut impl Write, count: usize) -> std::io::Result<()> {
    const NONE: [u8; 4096] = [0; 4096];
    let mut left = 4 * count;
    while left > 0 {
        let now = left.min(NONE.len());
        out.write_all(&NONE[..now])?;
        left -= now;
    }
    Ok(())
}

/// Bytes that may still be written in `folder`, where the system says.
pub(crate) fn free_bytes(folder: &Path) -> Option<u64> {
    #[cfg(unix)]
    {
        let found = rustix::fs::statvfs(folder).ok()?;
        Some(found.f_bavail.saturating_mul(found.f_frsize))
    }
    #[cfg(not(unix))]
    {
        let _ = folder;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_padded_to_the_longest_and_stand_in_their_rows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.safetensors");
        let shapes = BTreeMap::from([("a".to_owned(), vec![3, 2, 3]), ("b".to_owned(), vec![3, 1])]);
        let tensor = |values: &[f32], shape: &[usize]| Tensor::from_slice(values, shape, &Device::Cpu).unwrap();
        let mut file = TensorFile::create(&path, &shapes, &BTreeMap::from([("pillars", "x".to_owned())])).unwrap();
        file.append("a", &tensor(&[1., 2., 3., 4.], &[2, 1, 2])).unwrap();
        file.append("b", &tensor(&[7., 8.], &[2, 1])).unwrap();
        assert!(file.append("a", &tensor(&[0.; 12], &[2, 2, 3])).is_err(), "more rows than announced");
        assert!(file.append("a", &tensor(&[0.; 4], &[1, 1, 4])).is_err(), "longer than announced");
        assert!(!path.exists());
        // Positions of a sequence one by one.
        file.append("a", &tensor(&[1., 2., 3.], &[1, 3])).unwrap();
        file.append("a", &tensor(&[4., 5., 6.], &[1, 3])).unwrap();
        file.append("b", &tensor(&[9.], &[1])).unwrap();
        assert!(file.append("b", &tensor(&[9.], &[1])).is_err(), "more numbers than announced");
        file.finish().unwrap();
        let found = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
        assert_eq!(
            found["a"].to_vec3::<f32>().unwrap(),
            [[[1., 2., 0.], [0., 0., 0.]], [[3., 4., 0.], [0., 0., 0.]], [[1., 2., 3.], [4., 5., 6.]]]
        );
        assert_eq!(found["b"].to_vec2::<f32>().unwrap(), [[7.], [8.], [9.]]);
        let short = TensorFile::create(&path, &shapes, &BTreeMap::new()).unwrap();
        assert!(short.finish().unwrap_err().to_string().contains("not written to its end"));
    }

    #[cfg(unix)]
    #[test]
    fn what_the_disk_has_no_room_for_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let shapes = BTreeMap::from([("a".to_owned(), vec![1 << 20, 1 << 30])]);
        let error = TensorFile::create(&folder.path().join("f"), &shapes, &BTreeMap::new()).unwrap_err().to_string();
        assert!(error.starts_with("the result takes 4.50 PB, and "), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
