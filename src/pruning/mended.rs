//! New output projections on their way into a checkpoint.

use std::collections::{BTreeMap, HashMap};

use candle_core::{DType, Tensor};

use super::{ExportFormat, OutputFormat};
use crate::checkpoint::tensor_bytes;
use crate::error::{Error, Result};
use crate::model::{Model, NewOutput, output_module};
use crate::network::Site;
use crate::plan::Plan;
use crate::repair::Repair;

/// Stored tensors that hold new output projections.
pub(super) struct Mended<'a> {
    model: &'a Model,
    outputs: BTreeMap<Site, NewOutput>,
    /// By stored name: the layer, and whether it is the bias.
    places: HashMap<String, MendedTensor>,
}

#[derive(Clone, Copy, Debug)]
struct MendedTensor {
    site: Site,
    is_bias: bool,
    transposed: bool,
}

/// Refuses a repair in a format that keeps heads that it does not speak for.
pub fn check_repairable(format: impl Into<OutputFormat>) -> Result<()> {
    match format.into() {
        OutputFormat::Folder(ExportFormat::Gqa) => {
            Err(Error::usage("the format gqa keeps every query head, so there is nothing to repair")
                .hint("choose another format, or leave the repair out (--repair none)"))
        }
        _ => Ok(()),
    }
}

impl<'a> Mended<'a> {
    /// Of `repair` for `plan` on `model`; nothing is mended without a repair.
    ///
    /// # Errors
    ///
    /// The repair is for another model or plan, or the format keeps heads that it does not speak for.
    pub(super) fn new(model: &'a Model, plan: &Plan, repair: Option<&Repair>, format: ExportFormat) -> Result<Self> {
        let mut own = Self { model, outputs: BTreeMap::new(), places: HashMap::new() };
        let Some(repair) = repair else { return Ok(own) };
        check_repairable(format)?;
        let checkpoint = model.checkpoint();
        repair.check(model.spec(), &checkpoint.fingerprint()?, plan)?;
        for (site, output) in &repair.outputs {
            let module = output_module(model.spec(), *site);
            let mut stored = output.clone();
            for (role, is_bias) in [(module.weight(), false), (module.bias(), true)] {
                if is_bias && output.bias.is_none() {
                    continue;
                }
                let found = model.stored_as(role);
                let (name, layout) = found
                    .ok_or_else(|| Error::new(format!("the output projection of {site} is not stored by itself")))?;
                let dtype = checkpoint.info(name).map_or(DType::F32, |info| info.stored.dtype());
                // What is compared with the written numbers is rounded as they are.
                let round = |x: &Tensor| x.to_dtype(dtype)?.to_dtype(DType::F32);
                if is_bias {
                    stored.bias = stored.bias.as_ref().map(round).transpose()?;
                } else {
                    stored.weight = round(&stored.weight)?;
                }
                let place = MendedTensor { site: *site, is_bias, transposed: layout.transposed };
                own.places.insert(name.to_owned(), place);
            }
            own.outputs.insert(*site, stored);
        }
        Ok(own)
    }

    /// The projections as they are stored, by layer.
    pub(super) fn outputs(&self) -> &BTreeMap<Site, NewOutput> {
        &self.outputs
    }

    /// Bytes that new projections take beside the network that they go into: as they came, as they are stored, and whole.
    pub(super) fn bytes_beside(&self) -> u64 {
        let numbers = |(site, output): (&Site, &NewOutput)| {
            let heads = self.model.spec().attention(*site).map_or(0, |a| a.heads * a.head_dim);
            let width = output.weight.dims().first().copied().unwrap_or(0);
            2 * output.weight.elem_count() + width * heads
        };
        (self.outputs.iter().map(numbers).sum::<usize>() * size_of::<f32>()) as u64
    }

    /// The bytes of the whole tensor `name`, before it is cut, where it is new.
    pub(super) fn bytes(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let Some(MendedTensor { site, is_bias, transposed }) = self.places.get(name).copied() else { return Ok(None) };
        let Some((output, info)) = self.outputs.get(&site).zip(self.model.checkpoint().info(name)) else {
            return Ok(None);
        };
        let heads = self.model.spec().attention(site).map_or(0, |a| a.heads);
        let whole = match (&output.bias, is_bias) {
            (Some(bias), true) => bias.clone(),
            (None, true) => return Ok(None),
            // A layer without heads keeps no column.
            (_, false) if output.kept.is_empty() => return Ok(None),
            (_, false) if transposed => output.whole(heads)?.t()?.contiguous()?,
            (_, false) => output.whole(heads)?,
        };
        if whole.dims() != info.shape {
            let what = format!("the repair of tensor '{name}' is {:?}, it has {:?}", whole.dims(), info.shape);
            return Err(Error::new(what));
        }
        tensor_bytes(&whole.to_dtype(info.stored.dtype())?).map(Some)
    }
}
