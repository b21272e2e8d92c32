//! `pillars features`: raw maps and logits, for notebooks and checks.

use std::collections::BTreeMap;

use candle_core::{DType, Tensor};

use super::args::FeaturesArgs;
use super::console::Console;
use super::open::Session;
use crate::checkpoint::{Stored, TensorPlan, tensor_bytes, write_safetensors};
use crate::corpus::Purpose;
use crate::error::{Error, Result};
use crate::network::{FeatureMap, Gates, Kept, Probe, Site, SiteMaps};
use crate::task::Ticket;

pub(super) fn run(args: &FeaturesArgs, console: &Console) -> Result<()> {
    let session = Session::open(&args.model, &args.common, console)?;
    let kept = session.kept(args.mask.as_deref())?;
    let tensors = console.watch(|ticket| collect(&session, args, &kept, ticket))?;
    write(args, &tensors)?;
    if args.common.json {
        let shapes: BTreeMap<&String, &[usize]> = tensors.iter().map(|(name, t)| (name, t.dims())).collect();
        console.print_json(&shapes)
    } else {
        console.print(&format!("{} tensors in {}", tensors.len(), args.out.display()))
    }
}

fn collect(session: &Session, args: &FeaturesArgs, kept: &Kept, ticket: &Ticket) -> Result<BTreeMap<String, Tensor>> {
    let corpus = session.corpus(&args.input, &args.common, Purpose::Observe, ticket)?;
    ticket.stage("load weights", None, "");
    let network = session.model.network(&session.device, session.dtype)?;
    let gates = Gates::keep(session.model.spec(), kept, session.dtype, &session.device)?;
    let mut keeper = Keeper { wanted: &args.features, batches: BTreeMap::new() };
    let result = if network.spec().output.is_some() { "logits" } else { "last_hidden_state" };
    ticket.stage("forward pass", corpus.total().map(|t| t.value()), "batches");
    for batch in corpus.batches(&session.device) {
        let output = network.forward(&batch?, &gates, &mut keeper)?;
        keeper.keep(result.to_owned(), &output)?;
        ticket.advance(1)?;
    }
    if keeper.batches.is_empty() {
        return Err(Error::new("the input holds nothing to read").at(args.input.chosen()?.path()));
    }
    keeper.batches.into_iter().map(|(name, parts)| Ok((name, join(&parts)?))).collect()
}

/// Gathers maps batch by batch, on the processor in f32.
struct Keeper<'a> {
    wanted: &'a [FeatureMap],
    batches: BTreeMap<String, Vec<Tensor>>,
}

impl Keeper<'_> {
    fn keep(&mut self, name: String, tensor: &Tensor) -> Result<()> {
        let tensor = tensor.to_dtype(DType::F32)?.to_device(&candle_core::Device::Cpu)?.contiguous()?;
        self.batches.entry(name).or_default().push(tensor);
        Ok(())
    }
}

impl Probe for Keeper<'_> {
    fn wants_attention(&self, _site: Site) -> bool {
        true
    }

    fn see(&mut self, maps: &SiteMaps<'_>) -> Result<()> {
        let site = maps.site;
        self.keep(format!("attn.{site}"), &maps.map(FeatureMap::Attention)?)?;
        let output = maps.map(FeatureMap::Output)?.transpose(1, 2)?;
        let (n, t, h, d) = output.dims4()?;
        self.keep(format!("out.{site}"), &output.reshape((n, t, h * d))?)?;
        for map in self.wanted.iter().filter(|m| !matches!(m, FeatureMap::Attention | FeatureMap::Output)) {
            self.keep(format!("{map}.{site}"), &maps.map(*map)?)?;
        }
        Ok(())
    }
}

/// Batches along the first axis; every other axis is padded with zeros to the longest.
fn join(parts: &[Tensor]) -> Result<Tensor> {
    let rank = parts.first().map_or(0, Tensor::rank);
    let mut longest = vec![0usize; rank];
    for part in parts {
        for (axis, length) in part.dims().iter().enumerate() {
            longest[axis] = longest[axis].max(*length);
        }
    }
    let padded = parts
        .iter()
        .map(|part| {
            let mut part = part.clone();
            for (axis, length) in longest.iter().enumerate().skip(1) {
                let missing = length - part.dim(axis)?;
                if missing > 0 {
                    part = part.pad_with_zeros(axis, 0, missing)?;
                }
            }
            Ok(part)
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(Tensor::cat(&padded, 0)?.contiguous()?)
}

fn write(args: &FeaturesArgs, tensors: &BTreeMap<String, Tensor>) -> Result<()> {
    let plans: Vec<TensorPlan> = tensors
        .iter()
        .map(|(name, t)| TensorPlan { name: name.clone(), stored: Stored::F32, shape: t.dims().to_vec() })
        .collect();
    write_safetensors(&args.out, &plans, |plan| {
        let tensor = tensors.get(&plan.name).ok_or_else(|| Error::new("a tensor vanished"))?;
        tensor_bytes(tensor)
    })
}
