//! Repair in the stream: layer after layer on what the pruned model hands it.
//!
//! Two streams advance together through the same network, the whole model's and the pruned one's. At each attention
//! layer the regressors are what the kept heads put out in the pruned stream, `o'_K`, and the target is what brings it
//! back to the whole one: `(x + o W + b) - x'`, so that later layers mend what earlier ones lost. Where a norm stands
//! between the branch and the stream the target is the branch's own result. Each batch passes every layer once for each
//! stream, whatever the depth, and weights that are not held are read once a layer.

use std::collections::BTreeMap;

use candle_core::{DType, Tensor};
use faer::{Mat, MatRef};

use super::dense::{Factor, add_products, add_square, block, mirror, product, rows};
use super::document::{Repair, RepairMode, RepairRecord};
use super::order::{improve, stays};
use super::projection::{Basis, OutputProjection, Ridge, fit_and_judge, new_output};
use super::regression::{Fit, Regression, pull};
use super::sweep::Sweep;
use crate::analysis::{FittedLayer, ModelInfo, doubts};
use crate::error::{Error, Result};
use crate::model::NewOutput;
use crate::network::{Batch, Network, Site, SiteState, Walk, WalkStep, Weights};
use crate::plan::Plan;
use crate::task::Ticket;
use crate::tensor::{doubles, linear};

/// The ridge under which heads are chosen in the stream.
const RIDGE: f64 = 1e-4;

/// What a repair in the stream is asked to do.
#[derive(Clone, Copy, Debug)]
pub struct StreamRequest<'a> {
    /// Which heads stay, or how many of each layer.
    pub plan: &'a Plan,
    /// Whether the heads of each layer are chosen anew, as many as `plan` keeps.
    pub choose: bool,
    /// How the ridge of a layer is found.
    pub ridge: Ridge,
    /// Which batches a fit rests on; all of them pass.
    pub basis: Basis,
    /// Whether hidden states wait in a temporary file: slower, in the memory of a few batches.
    pub spills: bool,
}

/// Bytes of the hidden states that a repair in the stream of `batches` holds where it does not spill them: two streams,
/// before a layer and within it, and what the heads of one put out.
pub fn held_bytes(network: &Network, batches: &[Batch]) -> Result<u64> {
    let spec = network.spec();
    let heads = spec.sites().iter().map(|(_, a)| a.heads * a.head_dim).max().unwrap_or(0);
    let width = spec.encoder.iter().chain(&spec.decoder).map(|stack| stack.width).max().unwrap_or(0);
    let tokens = batches.iter().map(Batch::token_count).sum::<Result<usize>>()?;
    let numbers = (tokens as u64).saturating_mul(4 * width as u64 + heads as u64);
    Ok(numbers.saturating_mul(network.dtype().size_in_bytes() as u64))
}

/// Repairs `network` of `model` in the stream of `batches`, which `input` names; `weights` are those of the network.
/// Hidden states of all batches are held, or spilled.
///
/// # Errors
///
/// Layers share their weights, so that none can be repaired for itself; the plan does not fit; there is no batch.
pub fn stream(
    network: &Network,
    weights: &dyn Weights,
    model: ModelInfo,
    batches: &[Batch],
    input: &str,
    request: &StreamRequest<'_>,
    ticket: &Ticket,
) -> Result<Repair> {
    let spec = network.spec();
    request.plan.validate(spec)?;
    if crate::plan::Shape::from(spec).shared().iter().any(|class| class.len() > 1) {
        return Err(Error::usage("layers that share their weights cannot be repaired one after the other")
            .hint("use the mode refit"));
    }
    if batches.is_empty() {
        return Err(Error::new("there is no batch to repair on"));
    }
    let mut repair = Repair::new(RepairRecord {
        mode: RepairMode::Stream,
        model,
        input: input.to_owned(),
        readings: Vec::new(),
        tokens: batches.iter().map(|b| Ok(b.token_count()? as u64)).sum::<Result<u64>>()?,
        kept: request.plan.kept.clone(),
        method: request.plan.method.clone(),
        sites: BTreeMap::new(),
        measured: Vec::new(),
        notes: Vec::new(),
    });
    ticket.stage("repair in the stream", Some(spec.sites().len() as u64), "layers");
    // Those of the whole model first, then those of the pruned one.
    let both: Vec<Batch> = batches.iter().chain(batches).cloned().collect();
    let mut walk = network.walk(&both, request.spills)?;
    loop {
        ticket.check()?;
        let site = walk.site();
        let old = OutputProjection::read(spec, weights, site)?;
        pass(&mut walk, batches.len(), &old, request, &mut repair, ticket)?;
        ticket.advance(1)?;
        match walk.step()? {
            WalkStep::On(next) => walk = *next,
            WalkStep::Done(_) => break,
        }
    }
    let outputs = |site: &Site| spec.attention(*site).map_or(0, |a| a.heads * a.head_dim);
    let read: Vec<FittedLayer> =
        repair.record.sites.iter().map(|(site, found)| found.of_layer(*site, outputs(site))).collect();
    repair.record.notes.extend(doubts(&read));
    Ok(repair)
}

/// The layer ahead of both streams: fits it and takes all batches behind it.
fn pass(
    walk: &mut Walk<'_>,
    count: usize,
    old: &OutputProjection,
    request: &StreamRequest<'_>,
    repair: &mut Repair,
    ticket: &Ticket,
) -> Result<()> {
    let site = walk.site();
    let (width, d) = (old.weight.nrows(), old.head_dim);
    let heads = width / d;
    let planned = request.plan.kept_at(site, heads);
    let mut halves = [0, 1].map(|_| nothing(width, old));
    let mut outputs = Vec::with_capacity(count);
    let mut drifted = false;
    for at in 0..count {
        ticket.check()?;
        let (whole, pruned) = (walk.look(at)?, walk.look(count + at)?);
        let y = walk.project(&whole.heads)?;
        // What the pruned stream lacks already, in the branch's own measure.
        let lack = (&whole.stream - &pruned.stream)?;
        drifted |= lack.abs()?.max_all()?.to_dtype(DType::F32)?.to_scalar::<f32>()? > 0.0;
        let target = match walk.backwards(lack)? {
            Some(lack) => (&y + lack)?,
            None => y.clone(),
        };
        walk.join(at, &y)?;
        // Behind the layer, with every norm and factor that stands between it and the stream.
        let weigh = if drifted && walk.normalizes_later()? { Some(walk.stream(at)?) } else { None };
        add(&mut halves[at % 2], &pruned, &target, weigh.as_ref(), old)?;
        if !request.spills {
            outputs.push(pruned.heads);
        }
    }
    halves.iter_mut().for_each(|half| mirror(&mut half.xx));
    // What is not held is computed again.
    let finish = |walk: &mut Walk<'_>, project: &dyn Fn(&Walk<'_>, &Tensor) -> Result<Tensor>| -> Result<()> {
        for at in 0..count {
            ticket.check()?;
            let y = match outputs.get(at) {
                Some(heads) => project(walk, heads)?,
                None => project(walk, &walk.look(count + at)?.heads)?,
            };
            walk.join(count + at, &y)?;
        }
        Ok(())
    };
    let kept = if request.choose && planned.len() < heads { choose(&halves, old, planned.len())? } else { planned };
    if kept.len() == heads && !drifted {
        // Nothing is lost yet.
        return finish(walk, &|walk, heads| walk.project(heads));
    }
    let columns: Vec<usize> = kept.iter().flat_map(|h| h * d..(h + 1) * d).collect();
    let halves = halves.map(|half| half.columns(&columns));
    let prior = rows(old.weight.as_ref(), &columns);
    let as_it_is = Fit { bias: vec![0.0; prior.ncols()], weight: prior };
    let judged = fit_and_judge(&halves, &as_it_is, request.ridge, request.basis, true);
    let (fit, report) = judged.map_err(|e| e.within(site))?;
    let new = new_output(&kept, &fit, old)?;
    finish(walk, &|_, heads| apply(&new, heads, &columns))?;
    repair.record.kept.set(site, kept);
    repair.record.sites.insert(site, report);
    repair.outputs.insert(site, new);
    Ok(())
}

/// `o'_K W' + b'`.
fn apply(new: &NewOutput, heads: &Tensor, columns: &[usize]) -> Result<Tensor> {
    let (dtype, device) = (heads.dtype(), heads.device());
    let bias = match &new.bias {
        Some(bias) => Some(bias.to_dtype(dtype)?.to_device(device)?),
        None => None,
    };
    if columns.is_empty() {
        let shape = (heads.dim(0)?, new.weight.dim(0)?);
        let zeros = Tensor::zeros(shape, dtype, device)?;
        return Ok(match bias {
            Some(bias) => zeros.broadcast_add(&bias)?,
            None => zeros,
        });
    }
    let columns: Vec<u32> = columns.iter().map(|c| u32::try_from(*c).unwrap_or(u32::MAX)).collect();
    let read = heads.index_select(&Tensor::new(columns, device)?, 1)?;
    Ok(linear(&read, &new.weight.to_dtype(dtype)?.to_device(device)?, bias.as_ref())?)
}

fn nothing(width: usize, old: &OutputProjection) -> Regression<'static> {
    let m = old.weight.ncols();
    Regression {
        tokens: 0.0,
        positions: 0,
        with_bias: old.bias.is_some(),
        x: vec![0.0; width],
        y: vec![0.0; m],
        xx: Mat::zeros(width, width),
        xy: Mat::zeros(width, m),
        yy: 0.0,
        branch: None,
    }
}

/// Adds the real positions of one batch; `target` holds the old bias, which is no part of a fit. Where `weigh` is given,
/// positions count by the inverse of its mean square, as the norm that reads the stream next has it.
fn add(
    sums: &mut Regression<'_>,
    seen: &SiteState,
    target: &Tensor,
    weigh: Option<&Tensor>,
    old: &OutputProjection,
) -> Result<()> {
    let real = |x: &Tensor| -> Result<Vec<f64>> {
        Ok(match &seen.real {
            Some(rows) => doubles(&x.index_select(rows, 0)?)?,
            None => doubles(x)?,
        })
    };
    let (mut x, mut y) = (real(&seen.heads)?, real(target)?);
    let (width, m) = (sums.x.len(), sums.y.len());
    let count = x.len() / width;
    let bias = old.bias.as_deref().unwrap_or_default();
    y.chunks_exact_mut(m).for_each(|y| y.iter_mut().zip(bias).for_each(|(y, b)| *y -= b));
    let weights: Vec<f64> = match weigh {
        Some(stream) => {
            let inverse = |x: &[f64]| {
                let square = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
                (square + f64::MIN_POSITIVE).sqrt().recip()
            };
            real(stream)?.chunks_exact(m).map(inverse).collect()
        }
        None => vec![1.0; count],
    };
    for (at, w) in weights.iter().enumerate() {
        let (x, y) = (&mut x[at * width..(at + 1) * width], &mut y[at * m..(at + 1) * m]);
        for (sum, x) in sums.x.iter_mut().zip(x) {
            *x *= w;
            *sum += w * *x;
        }
        for (sum, y) in sums.y.iter_mut().zip(y) {
            *y *= w;
            *sum += w * *y;
            sums.yy += *y * *y;
        }
        sums.tokens += w * w;
    }
    sums.positions += count as u64;
    let x = MatRef::from_row_major_slice(&x, count, width);
    add_square(&mut sums.xx, x);
    add_products(&mut sums.xy, x, MatRef::from_row_major_slice(&y, count, m));
    Ok(())
}

/// The `number` heads, or fewer where key/value groups ask for it, that can say most of the target.
fn choose(halves: &[Regression<'_>; 2], old: &OutputProjection, number: usize) -> Result<Vec<usize>> {
    let mut all = halves[0].clone();
    all.add(&halves[1]);
    let (mut a, mut xy) = all.moments();
    let pull = pull(&a, RIDGE);
    for i in 0..a.nrows() {
        a[(i, i)] += pull;
    }
    for j in 0..xy.ncols() {
        for i in 0..xy.nrows() {
            xy[(i, j)] += pull * old.weight[(i, j)];
        }
    }
    let best = Factor::new(a.as_ref())?.solve(xy);
    let v = product(best.as_ref(), best.transpose());
    let whole = Sweep::new(&a, v, old.head_dim, 0.0)?;
    let stays = stays(&whole, old.kv_heads, number == 0)?;
    let wanted = stays.into_iter().find(|stay| stay.kept.len() <= number);
    let stay = wanted.ok_or_else(|| Error::new("no choice of heads is small enough"))?;
    Ok(improve(&whole, old.kv_heads, stay)?.kept)
}

impl Regression<'static> {
    /// With the regressors at `columns` alone.
    fn columns(&self, columns: &[usize]) -> Self {
        Self {
            tokens: self.tokens,
            positions: self.positions,
            with_bias: self.with_bias,
            x: columns.iter().map(|c| self.x[*c]).collect(),
            y: self.y.clone(),
            xx: block(self.xx.as_ref(), columns, columns),
            xy: rows(self.xy.as_ref(), columns),
            yy: self.yy,
            branch: None,
        }
    }
}

/// The plan that a repair is for, where it chose heads itself; `plan` as it is where its own heads stay.
pub fn plan_of(repair: &Repair, plan: &Plan) -> Plan {
    let own = &repair.record.kept;
    if repair.record.sites.keys().all(|site| plan.kept.get(*site).is_none_or(|heads| own.get(*site) == Some(heads))) {
        return plan.clone();
    }
    let mut kept = plan.kept.clone();
    for site in repair.record.sites.keys() {
        if let Some(own) = repair.record.kept.get(*site) {
            kept.set(*site, own.iter().copied());
        }
    }
    Plan {
        kept,
        method: "reconstruction in the stream".to_owned(),
        scores: BTreeMap::new(),
        groups: BTreeMap::new(),
        notes: Vec::new(),
        ..plan.clone()
    }
}
