//! Means of stored numbers.

use half::{bf16, f16};

use crate::checkpoint::Stored;
use crate::error::{Error, Result};

/// The element-wise mean of parts of one type and length, summed in double precision and rounded once.
pub(super) fn mean(stored: Stored, parts: &[&[u8]]) -> Result<Vec<u8>> {
    Ok(match stored {
        Stored::F64 => by(parts, f64::from_le_bytes, f64::to_le_bytes),
        Stored::F32 => by(parts, |b| f64::from(f32::from_le_bytes(b)), |x| (x as f32).to_le_bytes()),
        Stored::F16 => by(parts, |b| f16::from_le_bytes(b).to_f64(), |x| f16::from_f64(x).to_le_bytes()),
        Stored::BF16 => by(parts, |b| bf16::from_le_bytes(b).to_f64(), |x| bf16::from_f64(x).to_le_bytes()),
        other => return Err(Error::new(format!("numbers of type {} have no mean", other.name()))),
    })
}

fn by<const N: usize>(parts: &[&[u8]], read: fn([u8; N]) -> f64, write: fn(f64) -> [u8; N]) -> Vec<u8> {
    let length = parts.first().map_or(0, |part| part.len());
    let element = |i: usize| {
        let values = parts.iter().filter_map(|part| part.get(i..i + N)?.try_into().ok()).map(read);
        write(values.sum::<f64>() / parts.len() as f64)
    };
    (0..length).step_by(N).flat_map(element).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_in_every_type() {
        let values = [[1.0, 4.0], [2.0, -8.0]];
        let want = [1.5, -2.0];
        let f32s = values.map(|v| v.map(|x| (x as f32).to_le_bytes()).concat());
        let got = mean(Stored::F32, &[&f32s[0], &f32s[1]]).unwrap();
        assert_eq!(got, want.map(|x| (x as f32).to_le_bytes()).concat());
        let halves = values.map(|v| v.map(|x| bf16::from_f64(x).to_le_bytes()).concat());
        let got = mean(Stored::BF16, &[&halves[0], &halves[1]]).unwrap();
        assert_eq!(got, want.map(|x| bf16::from_f64(x).to_le_bytes()).concat());
        let halves = values.map(|v| v.map(|x| f16::from_f64(x).to_le_bytes()).concat());
        assert_eq!(
            mean(Stored::F16, &[&halves[0], &halves[1]]).unwrap(),
            want.map(|x| f16::from_f64(x).to_le_bytes()).concat()
        );
        let doubles = values.map(|v| v.map(f64::to_le_bytes).concat());
        assert_eq!(mean(Stored::F64, &[&doubles[0], &doubles[1]]).unwrap(), want.map(f64::to_le_bytes).concat());
        assert!(mean(Stored::I64, &[&[0; 8]]).is_err());
    }
}
