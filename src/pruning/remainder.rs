//! The network that a plan leaves, in memory: what an engine's file is written from.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Tensor;

use super::alignment::renumber_alignment;
use super::slots::{self, SiteSlots, Slot, Slots, each_site, least};
use super::surgery::check_removal;
use crate::error::{Error, Result};
use crate::model::{Model, attention_of_role};
use crate::network::{HeadAxis, Kept, NetworkSpec, Projection, Role, Site, Weights};
use crate::plan::Plan;

/// A network without the heads that a plan removes. Zero heads, which add nothing, stand where a shape needs more heads
/// than stay.
#[derive(Clone, Debug)]
pub struct Remainder {
    whole: NetworkSpec,
    spec: NetworkSpec,
    slots: Slots,
}

impl Remainder {
    /// Every layer with its kept heads alone; zero heads only where query heads would serve key/value heads unequally.
    ///
    /// # Errors
    /// Where the plan does not fit the model, or heads cannot be removed from it; `format` is what the message calls what
    /// was to be written.
    pub fn exact(model: &Model, plan: &Plan, format: &str) -> Result<Self> {
        plan.validate(model.spec())?;
        Self::new(model, slots::compact(model.spec(), plan), format)
    }

    /// Every layer with the same number of heads, those that the layer with the most heads needs.
    ///
    /// # Errors
    /// As of [`Remainder::exact`].
    pub fn even(model: &Model, plan: &Plan, format: &str) -> Result<Self> {
        Self::even_among(model, plan, format, |_, _| true)
    }

    /// Every layer of a stack with the same number of heads, cross attention with the decoder's.
    ///
    /// # Errors
    /// As of [`Remainder::exact`].
    pub fn even_in_stacks(model: &Model, plan: &Plan, format: &str) -> Result<Self> {
        Self::even_among(model, plan, format, in_one_stack)
    }

    /// Every layer with as many heads as those that are `alike` need.
    fn even_among(model: &Model, plan: &Plan, format: &str, alike: fn(Site, Site) -> bool) -> Result<Self> {
        let spec = model.spec();
        plan.validate(spec)?;
        let shape = |of: Site| {
            let others = spec.sites().into_iter().filter(|(site, _)| alike(of, *site));
            let shapes = others.map(|(site, a)| least(a, &plan.kept_at(site, a.heads)));
            shapes.fold((1, 1), |(keys, each), (k, e)| (keys.max(k), each.max(e)))
        };
        Self::new(model, each_site(spec, plan, |site, _, _| shape(site)), format)
    }

    fn new(model: &Model, slots: Slots, format: &str) -> Result<Self> {
        check_removal(model, &slots, format)?;
        let whole = model.spec().clone();
        let mut spec = whole.clone();
        for (site, slots) in &slots {
            if let Some(attention) = spec.attention_mut(*site) {
                let heads = slots.queries.iter().filter_map(|slot| attention.origin.get(slot.head()).copied());
                attention.origin = heads.collect();
                attention.heads = slots.queries.len();
                attention.kv_heads = slots.keys.len();
            }
        }
        Ok(Self { whole, spec, slots })
    }

    pub fn spec(&self) -> &NetworkSpec {
        &self.spec
    }

    /// Whether all attention layers have the same number of heads.
    pub fn is_even(&self) -> bool {
        self.is_even_among(|_, _| true)
    }

    /// Whether all attention layers of a stack have the same number of heads.
    pub fn is_even_in_stacks(&self) -> bool {
        self.is_even_among(in_one_stack)
    }

    fn is_even_among(&self, alike: fn(Site, Site) -> bool) -> bool {
        let shape = |slots: &SiteSlots| (slots.queries.len(), slots.keys.len());
        let first = |of: Site| self.slots.iter().find(|(site, _)| alike(of, **site)).map(|(_, slots)| shape(slots));
        self.slots.iter().all(|(site, slots)| first(*site) == Some(shape(slots)))
    }

    /// Original heads of every layer that has other heads than the original model.
    pub fn kept(&self) -> Kept {
        slots::origins(&self.whole, &self.slots)
    }

    /// The original head of every head, none where it is there for the shape alone, of every layer where these are not simply
    /// all heads of the original.
    pub fn places(&self) -> BTreeMap<Site, Vec<Option<usize>>> {
        slots::places(&self.whole, &self.slots)
    }

    /// Gives the heads that side files in `folder` name by number those that they have here; says what changed.
    ///
    /// # Errors
    /// Where a file cannot be written.
    pub fn renumber(&self, folder: &Path) -> Result<Option<String>> {
        renumber_alignment(folder, &self.slots)
    }

    /// Heads that are there for the shape alone, by site.
    pub fn zero_heads(&self) -> BTreeMap<Site, usize> {
        self.slots.iter().map(|(site, slots)| (*site, slots.padded())).filter(|(_, zeros)| *zeros > 0).collect()
    }

    /// The weights of what is left, from those of the whole model.
    pub fn weights<'a>(&'a self, whole: &'a dyn Weights) -> RemainingWeights<'a> {
        RemainingWeights { remainder: self, whole }
    }
}

fn in_one_stack(one: Site, other: Site) -> bool {
    one.kind.stack() == other.kind.stack()
}

/// Hands out the weights of a whole network cut to the heads of a [`Remainder`].
pub struct RemainingWeights<'a> {
    remainder: &'a Remainder,
    whole: &'a dyn Weights,
}

impl Weights for RemainingWeights<'_> {
    fn get(&self, role: Role) -> Result<Tensor> {
        let tensor = self.whole.get(role)?;
        let Some((sites, attention, module)) = attention_of_role(&self.remainder.whole, role) else {
            return Ok(tensor);
        };
        let Some(SiteSlots { queries, keys }) = sites.first().and_then(|site| self.remainder.slots.get(site)) else {
            return Ok(tensor);
        };
        let projection = module.heads_of();
        let (slots, adds) = match projection {
            Projection::Query => (queries, false),
            Projection::Output => (queries, true),
            Projection::Key => (keys, false),
            Projection::Value => (keys, true),
        };
        let heads = attention.heads_of(projection);
        if slots.len() == heads && slots.iter().enumerate().all(|(i, slot)| *slot == Slot::Keep(i)) {
            return Ok(tensor);
        }
        let axis = match attention.head_axis(module, role.term) {
            HeadAxis::None => return Ok(tensor),
            HeadAxis::Rows => 0,
            HeadAxis::Columns => 1,
            // Layers whose heads depend on each other lose none.
            HeadAxis::Joint => unreachable!("no head was removed from a layer that couples its heads"),
        };
        let dim = tensor.dim(axis)?.checked_div(heads).unwrap_or(0);
        let mut parts = Vec::with_capacity(slots.len());
        for slot in slots {
            let part = tensor.narrow(axis, slot.head() * dim, dim)?;
            parts.push(match slot {
                Slot::Keep(_) => part,
                Slot::Zero(_) if adds => part.zeros_like()?,
                Slot::Zero(_) => part,
                Slot::Mean(_) => return Err(Error::new(format!("'{role}' is not averaged here"))),
            });
        }
        Ok(Tensor::cat(&parts, axis)?)
    }

    fn rows(&self, role: Role, ranges: &[std::ops::Range<usize>]) -> Result<Tensor> {
        if attention_of_role(&self.remainder.whole, role).is_some() {
            return crate::network::roles::rows_of(&self.get(role)?, ranges);
        }
        self.whole.rows(role, ranges)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::network::{Gates, Network, NoProbe};
    use crate::pruning::sample_batches;

    #[test]
    fn what_is_left_computes_what_the_masked_model_does_even_or_not() {
        let cases = [
            ("bert", r#"{"encoder.0": [0, 3], "encoder.1": [2]}"#),
            ("llama", r#"{"decoder.0": [0, 1, 2], "decoder.1": [3]}"#),
            ("gpt2", r#"{"decoder.1": [1, 2, 3]}"#),
            ("t5", r#"{"encoder.0": [3], "cross.1": [0, 2], "decoder.0": [1, 2, 3]}"#),
            ("cohere", r#"{"decoder.0": [0, 1]}"#),
        ];
        for (family, mask) in cases {
            let model = Model::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(family)).unwrap();
            let plan = Plan::parse_any(mask).unwrap();
            let gates = Gates::keep(model.spec(), &plan.kept, DType::F32, &Device::Cpu).unwrap();
            let batch = sample_batches(model.spec(), 1, 3).unwrap().remove(0);
            let masked = model.network(&Device::Cpu, DType::F32).unwrap();
            let want = masked.forward(&batch, &gates, &mut NoProbe).unwrap();
            let weights = model.weights(&Device::Cpu, DType::F32);
            for left in [Remainder::exact(&model, &plan, "x").unwrap(), Remainder::even(&model, &plan, "x").unwrap()] {
                let network = Network::load(left.spec(), &left.weights(&weights)).unwrap();
                let got = network.forward(&batch, &Gates::open(), &mut NoProbe).unwrap();
                let apart = (got - &want).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap();
                let most = want.abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap();
                let apart = apart.to_scalar::<f32>().unwrap();
                assert!(apart < 1e-5 * most, "{family}: {apart} of {most}");
            }
            assert!(Remainder::even(&model, &plan, "x").unwrap().is_even());
            assert!(Remainder::even_in_stacks(&model, &plan, "x").unwrap().is_even_in_stacks());
        }
    }

    #[test]
    fn stacks_may_have_numbers_of_their_own() {
        let model = Model::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/bart")).unwrap();
        let plan = r#"{"encoder.0": [3], "encoder.1": [0, 1], "cross.0": [0], "cross.1": [0, 2], "decoder.0": [1, 2, 3],
            "decoder.1": [2]}"#;
        let left = Remainder::even_in_stacks(&model, &Plan::parse_any(plan).unwrap(), "x").unwrap();
        assert!(left.is_even_in_stacks() && !left.is_even());
        assert_eq!(left.spec().sites().iter().map(|(_, a)| a.heads).collect::<Vec<_>>(), [2, 2, 3, 3, 3, 3]);
        assert_eq!(left.zero_heads().values().sum::<usize>(), 1 + 2 + 2 + 1);
    }

    #[test]
    fn zero_heads_are_counted_where_shapes_need_them() {
        let model = Model::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/llama")).unwrap();
        let plan = Plan::parse_any(r#"{"decoder.0": [0, 1, 2], "decoder.1": [3]}"#).unwrap();
        let exact = Remainder::exact(&model, &plan, "x").unwrap();
        // Heads 0 and 1 share a key/value head, 2 and 3 the other, which loses one of its two.
        assert_eq!(exact.zero_heads().values().copied().collect::<Vec<_>>(), [1]);
        assert_eq!(
            exact.spec().sites().iter().map(|(_, a)| (a.heads, a.kv_heads)).collect::<Vec<_>>(),
            [(4, 2), (1, 1)]
        );
        assert!(!exact.is_even());
        let even = Remainder::even(&model, &plan, "x").unwrap();
        assert_eq!(
            even.spec().sites().iter().map(|(_, a)| (a.heads, a.kv_heads)).collect::<Vec<_>>(),
            [(4, 2), (4, 2)]
        );
        assert_eq!(even.zero_heads().values().copied().collect::<Vec<_>>(), [1, 3]);
    }
}
