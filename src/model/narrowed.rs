//! Weights without some heads, cut in memory.

use candle_core::Tensor;

use super::stored::attention_of_role;
use crate::error::{Error, Result};
use crate::network::{HeadAxis, Kept, NetworkSpec, Projection, Role, Weights};

/// Hands out the weights of a whole network cut to its kept heads: what the spec that
/// [`apply_kept`](super::apply_kept) leaves asks for. Nothing is written, so that a plan can be timed or analyzed
/// before it is carried out.
pub struct NarrowedWeights<'a> {
    whole: &'a dyn Weights,
    spec: &'a NetworkSpec,
    kept: &'a Kept,
}

impl<'a> NarrowedWeights<'a> {
    /// `kept` are heads of `spec`, which `whole` belongs to; sites that are not named keep all.
    pub fn new(whole: &'a dyn Weights, spec: &'a NetworkSpec, kept: &'a Kept) -> Self {
        Self { whole, spec, kept }
    }
}

impl Weights for NarrowedWeights<'_> {
    fn get(&self, role: Role) -> Result<Tensor> {
        let tensor = self.whole.get(role)?;
        let Some((sites, attention, module)) = attention_of_role(self.spec, role) else { return Ok(tensor) };
        let Some(queries) = sites.first().and_then(|site| self.kept.get(*site)) else { return Ok(tensor) };
        let axis = match attention.head_axis(module, role.term) {
            HeadAxis::None => return Ok(tensor),
            HeadAxis::Rows => 0,
            HeadAxis::Columns => 1,
            HeadAxis::Joint if queries.len() == attention.heads => return Ok(tensor),
            HeadAxis::Joint => return Err(Error::new(format!("no head can be cut out of '{role}'"))),
        };
        let mut heads = queries.to_vec();
        let projection = module.heads_of();
        if matches!(projection, Projection::Key | Projection::Value) {
            heads = heads.iter().map(|h| h / attention.queries_per_kv()).collect();
            heads.dedup();
        }
        // Numbers of a head along the axis.
        let d = tensor.dim(axis)? / attention.heads_of(projection);
        let indices: Vec<u32> = heads.iter().flat_map(|h| h * d..(h + 1) * d).map(|i| i as u32).collect();
        if indices.is_empty() {
            return Ok(tensor.narrow(axis, 0, 0)?.contiguous()?);
        }
        let count = indices.len();
        Ok(tensor.index_select(&Tensor::from_vec(indices, count, tensor.device())?, axis)?)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use candle_core::{DType, Device};

    use super::super::{Model, apply_kept};
    use super::*;
    use crate::network::{Batch, Gates, Network, NoProbe, Tokens};

    #[test]
    fn a_network_without_heads_computes_what_the_masked_one_does() {
        for (family, kept) in [("bert", vec![0, 3]), ("gpt2", vec![1]), ("llama", vec![0, 2]), ("bart", vec![2, 3])] {
            let model = Model::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(family)).unwrap();
            let spec = model.spec();
            let kept: Kept = spec.sites().iter().skip(1).map(|(site, _)| (*site, kept.clone())).collect();
            let weights = model.weights(&Device::Cpu, DType::F64);
            let mut left = spec.clone();
            apply_kept(&mut left, &kept).unwrap();
            let network = Network::load(&left, &NarrowedWeights::new(&weights, spec, &kept)).unwrap();
            let whole = Network::load(spec, &weights).unwrap();
            let gates = Gates::keep(spec, &kept, DType::F64, &Device::Cpu).unwrap();
            let rows = [(vec![3, 5, 7, 9, 11], vec![true; 5])];
            let tokens = || Tokens::pad(&rows, 0, &Device::Cpu).unwrap();
            let mut batch = Batch::tokens(tokens());
            if spec.encoder.is_some() && spec.decoder.is_some() {
                batch.target = Some(tokens());
            }
            let run = |network: &Network, gates: &Gates| network.hidden(&batch, gates, &mut NoProbe).unwrap().states;
            let difference = (run(&network, &Gates::open()) - run(&whole, &gates)).unwrap().abs().unwrap();
            let most = difference.flatten_all().unwrap().max(0).unwrap().to_scalar::<f64>().unwrap();
            assert!(most < 1e-9, "{family}: {most}");
        }
    }
}
