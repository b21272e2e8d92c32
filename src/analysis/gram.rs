//! Inner products between heads: all that grouping, voting and quality measures need ([method](crate::method), section 3).

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A symmetric `H x H` matrix of inner products `<x_i, x_j>`; those of different batches add.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "Vec<Vec<f64>>", try_from = "Vec<Vec<f64>>")]
pub struct Gram {
    heads: usize,
    values: Vec<f64>,
}

impl Gram {
    /// A matrix of `heads` heads, all zero.
    pub fn zeros(heads: usize) -> Self {
        Self { heads, values: vec![0.0; heads * heads] }
    }

    /// From a row-major `heads x heads` matrix; the upper triangle counts.
    pub fn from_rows(heads: usize, values: Vec<f64>) -> Result<Self> {
        if values.len() != heads * heads {
            return Err(Error::new(format!("a gram matrix of {} numbers does not fit {heads} heads", values.len())));
        }
        if values.iter().any(|v| !v.is_finite()) {
            return Err(Error::new("a gram matrix holds numbers that are not finite").hint(
                "the model overflows: compute in a wider type, or lower the learning rate that it was trained with",
            ));
        }
        let mut gram = Self { heads, values };
        for i in 0..heads {
            for j in 0..i {
                gram.values[i * heads + j] = gram.values[j * heads + i];
            }
        }
        Ok(gram)
    }

    /// Number of heads `H`.
    pub fn heads(&self) -> usize {
        self.heads
    }

    /// The inner product `<x_i, x_j>`.
    pub fn get(&self, i: usize, j: usize) -> f64 {
        self.values[i * self.heads + j]
    }

    /// `<x_i, x_j>` for all `j`.
    pub fn row(&self, i: usize) -> &[f64] {
        &self.values[i * self.heads..(i + 1) * self.heads]
    }

    /// Squared norm of head `i`.
    pub fn norm2(&self, i: usize) -> f64 {
        self.get(i, i)
    }

    /// `|x_i - x_j|^2`, never negative.
    pub fn distance2(&self, i: usize, j: usize) -> f64 {
        (self.norm2(i) + self.norm2(j) - 2.0 * self.get(i, j)).max(0.0)
    }

    /// Cosine between two heads; `None` where one of them is zero.
    pub fn cosine(&self, i: usize, j: usize) -> Option<f64> {
        let norm = (self.norm2(i) * self.norm2(j)).sqrt();
        (norm > 0.0).then(|| (self.get(i, j) / norm).clamp(-1.0, 1.0))
    }

    /// True where the head's map is zero everywhere, so that it has no direction.
    pub fn is_dead(&self, i: usize) -> bool {
        self.norm2(i) <= f64::MIN_POSITIVE
    }

    /// Adds the Gram matrix of further batches.
    pub fn add(&mut self, other: &Self) -> Result<()> {
        if self.heads != other.heads {
            return Err(Error::new(format!("gram matrices of {} and {} heads do not add", self.heads, other.heads)));
        }
        for (a, b) in self.values.iter_mut().zip(&other.values) {
            *a += b;
        }
        Ok(())
    }

    /// The Gram matrix of maps scaled by `factor.sqrt()`.
    pub fn scaled(&self, factor: f64) -> Self {
        Self { heads: self.heads, values: self.values.iter().map(|v| v * factor).collect() }
    }

    /// The Gram matrix of some heads, in the order given.
    pub fn select(&self, heads: &[usize]) -> Self {
        let values = heads.iter().flat_map(|i| heads.iter().map(|j| self.get(*i, *j))).collect();
        Self { heads: heads.len(), values }
    }

    /// The Gram matrix of the maps scaled to norm 1; dead heads stay zero.
    pub fn normalized(&self) -> Self {
        let h = self.heads;
        let scale: Vec<f64> =
            (0..h).map(|i| if self.is_dead(i) { 0.0 } else { self.norm2(i).sqrt().recip() }).collect();
        let mut values: Vec<f64> = (0..h * h).map(|k| self.values[k] * scale[k / h] * scale[k % h]).collect();
        for i in 0..h {
            if scale[i] > 0.0 {
                values[i * h + i] = 1.0;
            }
        }
        Self { heads: h, values }
    }
}

impl From<Gram> for Vec<Vec<f64>> {
    fn from(gram: Gram) -> Self {
        (0..gram.heads).map(|i| gram.row(i).to_vec()).collect()
    }
}

impl TryFrom<Vec<Vec<f64>>> for Gram {
    type Error = Error;

    fn try_from(rows: Vec<Vec<f64>>) -> Result<Self> {
        let heads = rows.len();
        if rows.iter().any(|row| row.len() != heads) {
            return Err(Error::new("a gram matrix is not square"));
        }
        Self::from_rows(heads, rows.into_iter().flatten().collect())
    }
}
