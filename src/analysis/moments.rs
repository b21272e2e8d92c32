//! Second moments of head outputs by attention layer: all that repair and the choice by reconstruction need
//! ([method](crate::method), section 9). Sums, so that passes over parts of a corpus add.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::ModelInfo;
use super::weighed::{TOKENS_PER_NUMBER, enough};
use crate::corpus::Reading;
use crate::error::{Error, Result};
use crate::network::{NetworkSpec, Site, SiteKind};
use crate::words::some_of;

/// Begin of the note on too few tokens.
const TOO_FEW: &str = "too few tokens to fit on in ";
/// Begin of the note on a fit that nothing was held out of.
const NOTHING_HELD_OUT: &str = "nothing was held out of the fit";

/// A symmetric matrix; the upper triangle is stored row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct Symmetric {
    dim: usize,
    packed: Vec<f64>,
}

impl Symmetric {
    /// A `dim x dim` matrix of zeros.
    pub fn zeros(dim: usize) -> Self {
        Self { dim, packed: vec![0.0; Self::numbers(dim)] }
    }

    /// A matrix from its upper triangle, row by row.
    ///
    /// # Errors
    ///
    /// The triangle does not have `dim (dim + 1) / 2` finite numbers.
    pub fn from_packed(dim: usize, packed: Vec<f64>) -> Result<Self> {
        if packed.len() != Self::numbers(dim) || packed.iter().any(|x| !x.is_finite()) {
            return Err(Error::new(format!("a symmetric matrix of {dim} rows needs {} numbers", Self::numbers(dim))));
        }
        Ok(Self { dim, packed })
    }

    /// Stored numbers of a matrix of `dim` rows.
    pub fn numbers(dim: usize) -> usize {
        dim * (dim + 1) / 2
    }

    /// The number of rows.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// A row whose own entry is less than 0, which no sum of squares is.
    pub(super) fn impossible_row(&self) -> Option<usize> {
        (0..self.dim).find(|i| self.get(*i, *i) < 0.0)
    }

    /// The triangle that is stored, row by row.
    pub fn packed(&self) -> &[f64] {
        &self.packed
    }

    /// Row `i` from the diagonal on.
    fn row(&self, i: usize) -> &[f64] {
        let begin = i * self.dim - i * i.saturating_sub(1) / 2;
        &self.packed[begin..begin + self.dim - i]
    }

    /// The entry at `(i, j)`.
    pub fn get(&self, i: usize, j: usize) -> f64 {
        let (low, high) = (i.min(j), i.max(j));
        self.row(low)[high - low]
    }

    /// `tr(A B)`, the sum of products of entries; of matrices of the same size.
    pub(crate) fn inner(&self, other: &Self) -> f64 {
        let row = |i: usize| -> f64 {
            let products = || self.row(i).iter().zip(other.row(i)).map(|(a, b)| a * b);
            // Entries beside the diagonal stand for two.
            products().take(1).sum::<f64>() + 2.0 * products().skip(1).sum::<f64>()
        };
        (0..self.dim).map(row).sum()
    }

    /// The quadratic form `x^T A x`; `x` has as many numbers as there are rows.
    pub(crate) fn form(&self, x: &[f64]) -> f64 {
        let row = |i: usize| -> f64 {
            let terms = || self.row(i).iter().zip(&x[i..]).map(|(a, x)| a * x);
            x[i] * (terms().take(1).sum::<f64>() + 2.0 * terms().skip(1).sum::<f64>())
        };
        (0..self.dim).map(row).sum()
    }

    /// Adds another matrix of the same size.
    pub fn add(&mut self, other: &Self) -> Result<()> {
        if self.dim != other.dim {
            return Err(Error::new("second moments of layers of different width do not add"));
        }
        for (sum, x) in self.packed.iter_mut().zip(&other.packed) {
            *sum += x;
        }
        Ok(())
    }
}

/// Sums over tokens of `o`, the `D = H d` outputs of all heads of a layer side by side, and of `o o^T`.
#[derive(Clone, Debug, PartialEq)]
pub struct SecondMoment {
    /// The number of real tokens.
    pub tokens: u64,
    /// The sum of outputs `o`, `[D]`.
    pub sum: Vec<f64>,
    /// `sum o o^T`, `[D, D]`.
    pub square: Symmetric,
}

impl SecondMoment {
    /// The moments of no token.
    pub fn zeros(dim: usize) -> Self {
        Self { tokens: 0, sum: vec![0.0; dim], square: Symmetric::zeros(dim) }
    }

    /// Adds the sums over further tokens.
    pub fn add(&mut self, other: &Self) -> Result<()> {
        self.square.add(&other.square)?;
        self.tokens += other.tokens;
        for (sum, x) in self.sum.iter_mut().zip(&other.sum) {
            *sum += x;
        }
        Ok(())
    }
}

/// How the loss depends on a layer's head outputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Sensitivity {
    /// `sum g g^T` over positions, where `g = dL/do` of the summed loss, `[D, D]`.
    pub square: Symmetric,
    /// Terms of the summed loss: scored tokens, or sequences where embeddings are all there is.
    pub scored: u64,
}

impl Sensitivity {
    /// Adds what further batches gave.
    pub fn add(&mut self, other: &Self) -> Result<()> {
        self.scored += other.scored;
        self.square.add(&other.square)
    }
}

/// What is known of one attention layer.
#[derive(Clone, Debug, PartialEq)]
pub struct SiteMoments {
    /// The number `H` of query heads.
    pub heads: usize,
    /// The number of key/value heads.
    pub kv_heads: usize,
    /// The width `d` of a head.
    pub head_dim: usize,
    /// The stored layer of its stack that holds its weights.
    pub stored_layer: usize,
    /// Whether the output projection has a bias, which can say the mean of what is removed.
    pub output_bias: bool,
    /// Of the batches with even numbers and of those with odd ones: what is fitted on one half is checked on the other.
    pub halves: [SecondMoment; 2],
    /// `W W^T` of the output projection `W [D, D_model]`.
    pub output: Symmetric,
    /// How the loss depends on it, where that was measured.
    pub sensitivity: Option<Sensitivity>,
}

impl SiteMoments {
    /// `D = H d`.
    pub fn dim(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Real tokens of both halves.
    pub fn tokens(&self) -> u64 {
        self.halves.iter().map(|half| half.tokens).sum()
    }

    /// The sum of both halves.
    pub fn total(&self) -> Result<SecondMoment> {
        let mut total = self.halves[0].clone();
        total.add(&self.halves[1])?;
        Ok(total)
    }

    /// Adds another part of the corpus, or another pass through the same weights.
    pub fn add(&mut self, other: &Self) -> Result<()> {
        for (half, more) in self.halves.iter_mut().zip(&other.halves) {
            half.add(more)?;
        }
        match (&mut self.sensitivity, &other.sensitivity) {
            (Some(sum), Some(more)) => sum.add(more)?,
            // A part of the corpus without it would be missing from the sum.
            (sum, _) => *sum = None,
        }
        Ok(())
    }

    fn same_shape(&self, other: &Self) -> bool {
        let shape = |s: &Self| (s.heads, s.kv_heads, s.head_dim, s.stored_layer, s.output_bias);
        shape(self) == shape(other)
    }
}

/// Second moments of every attention layer of a model over a corpus.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    /// The model that was read.
    pub model: ModelInfo,
    /// What was read, in words.
    pub input: String,
    /// What was read and how, part by part; empty where an earlier release wrote them.
    pub readings: Vec<Reading>,
    /// How many batches were read.
    pub batches: u64,
    /// By layer, whether or not it shares weights with another.
    pub sites: BTreeMap<Site, SiteMoments>,
}

/// Attention layers that read one stored layer's weights, and the sum over their passes.
#[derive(Clone, Debug)]
pub struct SharedMoments<'a> {
    /// The passes that share the weights.
    pub sites: Vec<Site>,
    /// The sum of their moments; those of a single pass are not copied.
    pub moments: Cow<'a, SiteMoments>,
}

/// What a layer's output projection is fitted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FittedLayer {
    /// The layer; of those that share weights the first.
    pub site: Site,
    /// The numbers `D = H d` that its heads put out.
    pub outputs: usize,
    /// Real tokens, of all batches.
    pub tokens: u64,
    /// Whether a part of them is held out to judge the fit by.
    pub is_judged: bool,
}

/// What speaks against trusting fits of `layers`, in sentences: too few tokens, and nothing held out.
pub fn doubts(layers: &[FittedLayer]) -> Vec<String> {
    let mut found = Vec::new();
    let scarce: Vec<&FittedLayer> = layers.iter().filter(|layer| layer.tokens < enough(layer.outputs)).collect();
    let share = |layer: &&&FittedLayer| layer.tokens as f64 / layer.outputs as f64;
    if let Some(least) = scarce.iter().min_by(|a, b| share(a).total_cmp(&share(b))) {
        found.push(format!(
            "{TOO_FEW}{}: {}, where {} would do, {TOKENS_PER_NUMBER} for each number that the heads \
             put out; what such a fit says may not hold on other text",
            some_of(&scarce.iter().map(|layer| layer.site).collect::<Vec<_>>(), layers.len(), "layers"),
            least.tokens,
            enough(least.outputs)
        ));
    }
    if layers.iter().any(|layer| !layer.is_judged) {
        found.push(format!(
            "{NOTHING_HELD_OUT}, since there is no second batch: what it says of other text is not known, and it may do worse than \
             none; smaller batches or more text hold some out"
        ));
    }
    found
}

/// Bytes that the moments of a layer of `dim` outputs take.
fn bytes_of_layer(dim: usize) -> u64 {
    // Two halves, the products of the projection, how the loss depends on it.
    const MATRICES: u64 = 4;
    8 * (MATRICES * Symmetric::numbers(dim) as u64 + 2 * dim as u64)
}

impl Moments {
    /// Bytes that the second moments of a model of `spec` take.
    pub fn bytes_of(spec: &NetworkSpec) -> u64 {
        spec.sites().iter().map(|(_, a)| bytes_of_layer(a.heads * a.head_dim)).sum()
    }

    /// Bytes that these moments take.
    pub fn bytes(&self) -> u64 {
        self.sites.values().map(|site| bytes_of_layer(site.dim())).sum()
    }

    /// Adds what another part of the corpus gave.
    ///
    /// # Errors
    ///
    /// It is of another model.
    pub fn add(&mut self, other: &Self) -> Result<()> {
        let same = self.model.fingerprint == other.model.fingerprint
            && self.model.dtype == other.model.dtype
            && self.sites.len() == other.sites.len()
            && self.sites.iter().all(|(site, own)| other.sites.get(site).is_some_and(|o| own.same_shape(o)));
        if !same {
            return Err(Error::new(format!("moments of another model ({}) do not add", other.model.path)));
        }
        for (site, own) in &mut self.sites {
            if let Some(more) = other.sites.get(site) {
                own.add(more)?;
            }
        }
        self.batches += other.batches;
        self.readings.extend(other.readings.iter().cloned());
        if !self.input.split(" + ").any(|known| known == other.input) {
            self.input = format!("{} + {}", self.input, other.input);
        }
        Ok(())
    }

    /// Layers by the weights they read, the moments of their passes added.
    pub fn shared(&self) -> Result<Vec<SharedMoments<'_>>> {
        let mut classes: Vec<((SiteKind, usize), SharedMoments<'_>)> = Vec::new();
        for (site, moments) in &self.sites {
            let key = (site.kind, moments.stored_layer);
            match classes.iter_mut().find(|(k, _)| *k == key) {
                Some((_, class)) => {
                    class.sites.push(*site);
                    class.moments.to_mut().add(moments)?;
                }
                None => classes.push((key, SharedMoments { sites: vec![*site], moments: Cow::Borrowed(moments) })),
            }
        }
        Ok(classes.into_iter().map(|(_, class)| class).collect())
    }

    /// What speaks against trusting a fit on these moments, in sentences.
    pub fn doubts(&self) -> Vec<String> {
        let of = |(site, moments): (&Site, &SiteMoments)| FittedLayer {
            site: *site,
            outputs: moments.dim(),
            tokens: moments.tokens(),
            is_judged: moments.halves.iter().all(|half| half.tokens > 0),
        };
        doubts(&self.sites.iter().map(of).collect::<Vec<_>>())
    }

    /// Fewest tokens that a layer's moments should be made of: eight for each of its `D` outputs.
    pub fn needed_tokens(&self) -> u64 {
        self.sites.values().map(|s| enough(s.dim())).max().unwrap_or(0)
    }

    /// Whether a note is one of [`Moments::doubts`], which says of a part what may not hold of a whole.
    pub(crate) fn is_doubt(note: &str) -> bool {
        note.starts_with(TOO_FEW) || note.starts_with(NOTHING_HELD_OUT)
    }
}
