//! First values of weights, as the families' own code draws them.

use std::f64::consts::TAU;

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{RngCore, SeedableRng};

use crate::network::{
    AttentionModule, BranchModule, EmbedModule, MlpModule, Module, NetworkSpec, Projection, Role, Term,
};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Initial {
    /// Normal with this deviation; projections back into the residual stream divided by `sqrt(2 layers)`
    /// (Radford et al. 2019). Decoders and encoders alone.
    Normal(f64),
    /// Projections uniform in `sqrt(6 / (in + out))` (Glorot and Bengio 2010), tables normal with deviation
    /// `width^-0.5` (Vaswani et al. 2017). Encoder-decoders.
    Xavier,
}

impl Initial {
    /// The usual way for a network of this kind.
    pub fn usual(spec: &NetworkSpec) -> Self {
        if spec.encoder.is_some() && spec.decoder.is_some() { Self::Xavier } else { Self::Normal(0.02) }
    }

    /// First values of the tensor `role` of `shape`, row-major; they depend on the role and the seed alone.
    pub(super) fn values(self, spec: &NetworkSpec, role: Role, shape: &[usize], seed: u64) -> Vec<f32> {
        let count = shape.iter().product();
        if role.term == Term::Bias {
            return vec![0.0; count];
        }
        if role.module.is_norm() {
            return vec![if is_plus_one(spec) { 0.0 } else { 1.0 }; count];
        }
        if matches!(role.module, Module::Branch(_, _, BranchModule::Scale)) {
            return vec![1.0; count];
        }
        let mut random = Random::new(seed, &role.to_string());
        let &[out, width] = shape else {
            return (0..count).map(|_| (random.normal() * 0.02) as f32).collect();
        };
        let is_table = match role.module {
            Module::Embed(_, part) => matches!(part, EmbedModule::Tokens | EmbedModule::Positions | EmbedModule::Types),
            Module::Relative(_) | Module::Distances(_) | Module::ProjectOut(_) | Module::Output => true,
            Module::Attention(..)
            | Module::Mlp(..)
            | Module::Router(..)
            | Module::Expert(..)
            | Module::Branch(..)
            | Module::FinalNorm(_)
            | Module::DistanceNorm(_)
            | Module::OutputTransform
            | Module::OutputNorm
            | Module::Task(_) => false,
        };
        match self {
            Self::Normal(deviation) => {
                let back = matches!(
                    role.module,
                    Module::Attention(_, _, AttentionModule::Projection(Projection::Output))
                        | Module::Mlp(_, _, MlpModule::Down)
                        | Module::Expert(_, _, _, MlpModule::Down)
                );
                let layers = [&spec.encoder, &spec.decoder].into_iter().flatten().map(|s| s.layers.len()).max();
                let depth = 2.0 * layers.unwrap_or(1) as f64;
                let deviation = if back { deviation / depth.sqrt() } else { deviation };
                (0..count).map(|_| (random.normal() * deviation) as f32).collect()
            }
            Self::Xavier if is_table => {
                let deviation = (width as f64).powf(-0.5);
                (0..count).map(|_| (random.normal() * deviation) as f32).collect()
            }
            Self::Xavier => {
                let limit = (6.0 / (out + width) as f64).sqrt();
                (0..count).map(|_| ((2.0 * random.uniform() - 1.0) * limit) as f32).collect()
            }
        }
    }
}

/// Whether norms of this network add one to their weight.
fn is_plus_one(spec: &NetworkSpec) -> bool {
    let stacks = [&spec.encoder, &spec.decoder];
    stacks.into_iter().flatten().flat_map(|s| &s.layers).any(|l| l.norm.kind.adds_one())
}

/// A stream of numbers of its own for every role, so that the order of drawing does not matter.
struct Random(Xoshiro256PlusPlus);

impl Random {
    fn new(seed: u64, role: &str) -> Self {
        // FNV-1a: stable across builds, which the standard library's hasher does not promise.
        let hash = role.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
        Self(Xoshiro256PlusPlus::seed_from_u64(hash ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    /// A uniform number in `0..1`.
    fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Mean 0, deviation 1 (Box and Muller 1958).
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (TAU * self.uniform()).cos()
    }
}
