//! No work on padding: what happens to every position alone happens to real ones only.

use candle_core::{Device, Tensor};

use super::TokenMask;
use crate::error::Result;
use crate::tensor::RowMove;

/// Real positions of a batch side by side. Where little is padding, everything stays as it is: moving would cost more.
#[derive(Clone, Debug)]
pub(super) struct Packing {
    sequences: usize,
    length: usize,
    moves: Option<[RowMove; 2]>,
}

impl Packing {
    /// Of the positions of `mask`, for tensors on `device`.
    pub(super) fn new(mask: &TokenMask, device: &Device) -> Result<Self> {
        let (sequences, length, real) = (mask.sequences(), mask.length(), mask.count());
        // A twentieth; and something has to be left.
        let worth = real > 0 && 20 * real < 19 * mask.real().len();
        let moves = if worth { Some(RowMove::of(mask.real(), device)?) } else { None };
        Ok(Self { sequences, length, moves })
    }

    /// Places of the real positions in `[N T]`, in their order, where packing is worth while.
    pub(super) fn places(&self) -> Option<Vec<u32>> {
        self.moves.as_ref().map(|[out, _]| out.origins().flatten().collect())
    }

    /// `[N, T, D]` to `[1, R, D]`, the real positions in their order, where that is worth while.
    pub(super) fn pack(&self, x: Tensor) -> Result<Tensor> {
        match &self.moves {
            Some([out, _]) => Ok(out.apply(&x.flatten_to(1)?)?.unsqueeze(0)?),
            None => Ok(x),
        }
    }

    /// The way back to `[N, T, D]`; padding holds zeros.
    pub(super) fn unpack(&self, x: Tensor) -> Result<Tensor> {
        match &self.moves {
            Some([_, back]) => Ok(back.apply(&x.squeeze(0)?)?.reshape((self.sequences, self.length, ()))?),
            None => Ok(x),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_padded_moves() {
        let x = Tensor::arange(0f32, 30.0, &Device::Cpu).unwrap().reshape((2, 5, 3)).unwrap();
        let pass = |real: Vec<bool>| {
            let packing = Packing::new(&TokenMask::new(2, 5, real).unwrap(), &Device::Cpu).unwrap();
            let packed = packing.pack(x.clone()).unwrap();
            if let Some(places) = packing.places() {
                let places = Tensor::new(places, &Device::Cpu).unwrap();
                let rows = x.flatten_to(1).unwrap().index_select(&places, 0).unwrap().unsqueeze(0).unwrap();
                assert_eq!(packed.to_vec3::<f32>().unwrap(), rows.to_vec3::<f32>().unwrap());
            }
            (packed.dims().to_vec(), packing.unpack(packed).unwrap())
        };
        let (shape, back) = pass([true, true, true, true, false, false, true, true, false, false].to_vec());
        assert_eq!(shape, [1, 6, 3]);
        let rows = back.sum(2).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(rows, [[3.0, 12.0, 21.0, 30.0, 0.0], [0.0, 57.0, 66.0, 0.0, 0.0]]);
        for all in [true, false] {
            assert_eq!(pass(vec![all; 10]).0, [2, 5, 3]);
        }
    }
}
