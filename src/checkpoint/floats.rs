//! Numbers of stored tensors, converted on all cores while they are read.
//!
//! Files are read at a position and never mapped: a file that shrinks is an error and not a crash, and what was read
//! is held once, in the type that was asked for, however large the file.

use std::ops::Range;

use candle_core::{DType, Device, Tensor, WithDType};
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use half::{bf16, f16};
use rayon::prelude::*;

use super::{Checkpoint, Stored};
use crate::error::{Error, Result};

/// Numbers read at a time by one thread.
const PIECE: usize = 1 << 18;

impl Checkpoint {
    /// Numbers of a tensor of floats, range after range (counted in numbers, row-major), as one vector in the type
    /// wanted on the processor.
    pub fn floats(&self, name: &str, ranges: &[Range<usize>], dtype: DType) -> Result<Tensor> {
        match dtype {
            DType::F64 => self.converted::<f64>(name, ranges),
            DType::F32 => self.converted::<f32>(name, ranges),
            DType::F16 => self.converted::<f16>(name, ranges),
            DType::BF16 => self.converted::<bf16>(name, ranges),
            other => Err(Error::new(format!("weights are not read as {}", other.as_str()))),
        }
    }

    fn converted<T: Number>(&self, name: &str, ranges: &[Range<usize>]) -> Result<Tensor> {
        let stored = self.required(name)?.stored;
        if !stored.dtype().is_float() {
            return Err(Error::new(format!("tensor '{name}' holds {}, not floats", stored.name())).at(self.place()));
        }
        let count: usize = ranges.iter().map(Range::len).sum();
        let mut numbers = vec![T::zero(); count];
        let mut pieces = Vec::new();
        let mut rest = numbers.as_mut_slice();
        for range in ranges {
            for from in range.clone().step_by(PIECE) {
                let (piece, after) = rest.split_at_mut(PIECE.min(range.end - from));
                rest = after;
                pieces.push((from, piece));
            }
        }
        let width = stored.bytes();
        let is_matrix = self.required(name)?.shape.len() > 1;
        pieces.into_par_iter().try_for_each_init(Vec::new, |bytes, (from, piece)| {
            bytes.resize(piece.len() * width, 0);
            self.read_into(name, from * width, bytes)?;
            convert(stored, bytes, piece);
            self.check_finite(name, piece, is_matrix)
        })?;
        Ok(Tensor::from_vec(numbers, count, &Device::Cpu)?)
    }

    /// Refuses what makes every result of a network NaN: NaN anywhere, infinities in matrices. A bias may be infinite to
    /// rule a class out; where that spreads, results tell.
    fn check_finite<T: Number>(&self, name: &str, piece: &[T], is_matrix: bool) -> Result<()> {
        // No early end: whole blocks are compared at once.
        if piece.iter().fold(true, |all, x| all & x.is_finite()) {
            return Ok(());
        }
        let what = match piece.iter().any(|x| x.is_nan()) {
            true => "NaN",
            false if !is_matrix => return Ok(()),
            false => "a number that is infinite or too large for the type to compute in",
        };
        let path = self.file_of(name)?;
        Err(Error::new(format!("tensor '{name}' holds {what}"))
            .at(path)
            .hint("no result of such a model means anything: download it again, or train it anew"))
    }
}

/// A float type that weights are held in.
trait Number: WithDType {
    fn is_finite(self) -> bool;
    fn is_nan(self) -> bool;
    fn of_f32(value: f32) -> Self;
    fn of_f64(value: f64) -> Self;
}

macro_rules! number {
    ($type:ty, $of_f32:expr, $of_f64:expr) => {
        impl Number for $type {
            fn is_finite(self) -> bool {
                <$type>::is_finite(self)
            }
            fn is_nan(self) -> bool {
                <$type>::is_nan(self)
            }
            fn of_f32(value: f32) -> Self {
                $of_f32(value)
            }
            fn of_f64(value: f64) -> Self {
                $of_f64(value)
            }
        }
    };
}

number!(f64, f64::from, |x| x);
number!(f32, |x| x, |x| x as f32);
number!(f16, f16::from_f32, f16::from_f64);
number!(bf16, bf16::from_f32, bf16::from_f64);

/// Little-endian numbers as `T`.
fn convert<T: Number>(stored: Stored, bytes: &[u8], to: &mut [T]) {
    match stored {
        Stored::F64 => fill(bytes, to, |b| T::of_f64(f64::from_le_bytes(b))),
        Stored::F16 => halves(bytes, to, |bits, wide| bits.reinterpret_cast::<f16>().convert_to_f32_slice(wide)),
        Stored::BF16 => halves(bytes, to, |bits, wide| bits.reinterpret_cast::<bf16>().convert_to_f32_slice(wide)),
        _ => fill(bytes, to, |b| T::of_f32(f32::from_le_bytes(b))),
    }
}

fn fill<const W: usize, T>(bytes: &[u8], to: &mut [T], read: impl Fn([u8; W]) -> T) {
    for (to, bytes) in to.iter_mut().zip(bytes.as_chunks::<W>().0) {
        *to = read(*bytes);
    }
}

/// Half precision by way of f32 in blocks, for which there are vector instructions.
fn halves<T: Number>(bytes: &[u8], to: &mut [T], widen: impl Fn(&[u16], &mut [f32])) {
    const BLOCK: usize = 64;
    let (mut bits, mut wide) = ([0u16; BLOCK], [0f32; BLOCK]);
    for (to, bytes) in to.chunks_mut(BLOCK).zip(bytes.chunks(2 * BLOCK)) {
        let (bits, wide) = (&mut bits[..to.len()], &mut wide[..to.len()]);
        fill(bytes, bits, u16::from_le_bytes);
        widen(bits, wide);
        for (to, wide) in to.iter_mut().zip(wide) {
            *to = T::of_f32(*wide);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{TensorPlan, tensor_bytes, write_safetensors};

    /// A checkpoint with one tensor of `count` numbers stored as `dtype`, and that tensor.
    fn stored(dtype: DType, count: usize) -> (tempfile::TempDir, Checkpoint, Tensor) {
        let folder = tempfile::tempdir().unwrap();
        // Numbers that no half type holds exactly, of both signs and many sizes.
        let values: Vec<f64> = (0..count).map(|i| ((i as f64).sin() * 3.0).powi(3) / 7.0).collect();
        let tensor = Tensor::new(values, &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
        let stored = Stored::of(dtype).unwrap();
        let plan = TensorPlan { name: "x".to_owned(), stored, shape: vec![count] };
        let path = folder.path().join("model.safetensors");
        write_safetensors(&path, &[plan], |_| tensor_bytes(&tensor)).unwrap();
        std::fs::write(folder.path().join("config.json"), "{}").unwrap();
        let checkpoint = Checkpoint::open(folder.path()).unwrap();
        (folder, checkpoint, tensor)
    }

    fn bits(tensor: &Tensor) -> Vec<u8> {
        tensor_bytes(tensor).unwrap()
    }

    #[test]
    fn every_type_is_read_as_candle_converts_it() {
        let floats = [DType::F64, DType::F32, DType::F16, DType::BF16];
        for from in floats {
            let count = 2 * PIECE + 77;
            let (_folder, checkpoint, tensor) = stored(from, count);
            for to in floats {
                let whole = std::iter::once(0..count).collect::<Vec<_>>();
                let read = checkpoint.floats("x", &whole, to).unwrap();
                assert_eq!(bits(&read), bits(&tensor.to_dtype(to).unwrap()), "{from:?} as {to:?}");
            }
        }
    }

    #[test]
    fn ranges_come_one_behind_the_other() {
        let (_folder, checkpoint, tensor) = stored(DType::F32, 1000);
        let read = checkpoint.floats("x", &[700..703, 0..2, 5..5, 2..4], DType::F32).unwrap();
        let parts = [tensor.narrow(0, 700, 3).unwrap(), tensor.narrow(0, 0, 4).unwrap()];
        assert_eq!(bits(&read), bits(&Tensor::cat(&parts, 0).unwrap()));
        assert!(checkpoint.floats("x", &[0..1, 999..1001], DType::F32).is_err());
        assert!(checkpoint.floats("y", &[0..1, 2..3], DType::F32).is_err());
    }

    #[test]
    fn what_is_no_number_is_refused_by_the_name_of_its_tensor() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.json"), "{}").unwrap();
        let read = |values: Vec<f32>, shape: &[usize], dtype: DType| {
            let plan = TensorPlan { name: "x.weight".to_owned(), stored: Stored::F32, shape: shape.to_vec() };
            let bytes: Vec<u8> = values.iter().copied().flat_map(f32::to_le_bytes).collect();
            write_safetensors(&folder.path().join("model.safetensors"), &[plan], |_| Ok(bytes.clone())).unwrap();
            let checkpoint = Checkpoint::open(folder.path()).unwrap();
            let all = 0..values.len();
            checkpoint.floats("x.weight", &[all], dtype).map(|_| ()).map_err(|e| e.to_string())
        };
        let nan = read(vec![1.0, f32::NAN, 2.0, 3.0], &[2, 2], DType::F32).unwrap_err();
        assert!(nan.starts_with("tensor 'x.weight' holds NaN: ") && nan.contains("model.safetensors; "), "{nan}");
        assert!(read(vec![1.0, f32::NAN], &[2], DType::F32).is_err());
        assert!(read(vec![1.0, f32::INFINITY], &[1, 2], DType::F32).unwrap_err().contains("infinite or too large"));
        assert!(read(vec![1.0, 1e6], &[1, 2], DType::F16).unwrap_err().contains("too large for the type"));
        assert!(read(vec![1.0, 1e6], &[1, 2], DType::BF16).is_ok());
        // A bias that rules a class out.
        assert!(read(vec![1.0, f32::NEG_INFINITY], &[2], DType::F32).is_ok());
    }
}
