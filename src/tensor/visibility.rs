//! Which keys a query may see.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use candle_core::{DType, Device, Result, Tensor};

/// Score given to an unseen key: large enough to vanish in any softmax, finite so that a row without a
/// visible key stays free of NaN.
const UNSEEN: f32 = -1e30;

/// Visibility of keys for one batch, built once and shared by all layers that agree on it; a clone is cheap.
#[derive(Clone, Debug)]
pub struct Visibility {
    sequences: usize,
    queries: usize,
    keys: usize,
    causal: bool,
    window: Option<usize>,
    /// `[N, S]` row-major; `None` where every key is real.
    real_keys: Option<Arc<[bool]>>,
    /// Per sequence, from its first real query to the last; `None` where every query is real.
    asked: Option<Arc<[Range<usize>]>>,
    /// The same of keys.
    offered: Option<Arc<[Range<usize>]>>,
    /// `[N, T]`: the first key of the document that a query is of; `None` where every sequence is one.
    begins: Option<Arc<[usize]>>,
    additive: Arc<OnceLock<Tensor>>,
}

impl Visibility {
    /// `real` says which queries and which keys are no padding, row-major `[N, T]` and `[N, S]`. What padded queries are
    /// given has no meaning. Causal: query `i` sees keys `j <= i`, with a window also `i - j < window`; otherwise a
    /// window means `|i - j| <= window`.
    pub fn new(shape: (usize, usize, usize), causal: bool, window: Option<usize>, real: [&[bool]; 2]) -> Self {
        let (sequences, queries, keys) = shape;
        let [real_queries, real_keys] = real.map(|real| real.contains(&false).then_some(real));
        let extents = |real: &[bool], length: usize| {
            (0..sequences).map(|n| extent(real.get(n * length..).unwrap_or(&[]), length)).collect()
        };
        Self {
            sequences,
            queries,
            keys,
            causal,
            window,
            real_keys: real_keys.map(Into::into),
            asked: real_queries.map(|real| extents(real, queries)),
            offered: real_keys.map(|real| extents(real, keys)),
            begins: None,
            additive: Arc::default(),
        }
    }

    /// The same with each query confined to its own document: `documents [N, T]`, row-major, never falls along a sequence.
    /// For causal rules over as many keys as queries.
    pub fn within(self, documents: &[u32]) -> Self {
        let rows = documents.chunks(self.queries.max(1));
        let begins = rows.flat_map(|row| {
            let mut begin = 0;
            row.iter().enumerate().map(move |(t, document)| {
                if t.checked_sub(1).and_then(|before| row.get(before)).is_some_and(|before| before != document) {
                    begin = t;
                }
                begin
            })
        });
        Self { begins: Some(begins.collect()), additive: Arc::default(), ..self }
    }

    /// The shape, `(N, T, S)`.
    pub fn shape(&self) -> (usize, usize, usize) {
        (self.sequences, self.queries, self.keys)
    }

    /// Whether later keys are hidden.
    pub fn is_causal(&self) -> bool {
        self.causal
    }

    /// The window, where there is one.
    pub fn window(&self) -> Option<usize> {
        self.window
    }

    /// Row of real keys of a sequence; `None` where all are real.
    pub fn real_keys(&self, sequence: usize) -> Option<&[bool]> {
        self.real_keys.as_ref()?.get(sequence * self.keys..(sequence + 1) * self.keys)
    }

    /// Queries of a sequence outside which all is padding.
    pub fn asked(&self, sequence: usize) -> Range<usize> {
        extent_of(self.asked.as_deref(), sequence, self.queries)
    }

    /// Keys of a sequence outside which all is padding.
    pub fn offered(&self, sequence: usize) -> Range<usize> {
        extent_of(self.offered.as_deref(), sequence, self.keys)
    }

    /// Keys `first..end` that rules of position (not padding) let `query` of a sequence see.
    pub fn span(&self, sequence: usize, query: usize) -> (usize, usize) {
        let (first, end) = self.span_of_row(query);
        let begins = self.begins.as_ref().and_then(|begins| begins.get(sequence * self.queries + query));
        (begins.map_or(first, |begin| first.max(*begin)), end)
    }

    /// The same where a sequence is one document.
    fn span_of_row(&self, query: usize) -> (usize, usize) {
        let end = if self.causal { (query + 1).min(self.keys) } else { self.keys };
        match self.window {
            None => (0, end),
            Some(w) if self.causal => ((query + 1).saturating_sub(w), end),
            Some(w) => (query.saturating_sub(w), (query + w + 1).min(end)),
        }
    }

    /// True where every query sees every key.
    pub fn is_everything(&self) -> bool {
        !self.causal && self.window.is_none() && self.real_keys.is_none() && self.begins.is_none()
    }

    /// Zero where seen, very negative elsewhere: `[N or 1, 1, T, S]`; made at the first call.
    pub fn additive(&self, dtype: DType, device: &Device) -> Result<Tensor> {
        if let Some(ready) = self.additive.get() {
            return ready.to_dtype(dtype);
        }
        let alike = self.real_keys.is_none() && self.begins.is_none();
        let rows = if alike { 1 } else { self.sequences };
        let mut values = vec![UNSEEN; rows * self.queries * self.keys];
        for n in 0..rows {
            for t in 0..self.queries {
                let (first, end) = self.span(n, t);
                let row = (n * self.queries + t) * self.keys;
                for s in first..end {
                    if self.real_keys(n).is_none_or(|real| real[s]) {
                        values[row + s] = 0.0;
                    }
                }
            }
        }
        let made = Tensor::from_vec(values, (rows, 1, self.queries, self.keys), device)?;
        self.additive.get_or_init(|| made).to_dtype(dtype)
    }
}

/// What is kept of a sequence; all of it where nothing is.
fn extent_of(extents: Option<&[Range<usize>]>, sequence: usize, length: usize) -> Range<usize> {
    extents.and_then(|extents| extents.get(sequence)).cloned().unwrap_or(0..length)
}

/// From the first of the leading `length` that is real to the last; empty where none is.
fn extent(real: &[bool], length: usize) -> Range<usize> {
    let real = real.get(..length).unwrap_or(real);
    match real.iter().position(|r| *r) {
        Some(first) => first..real.iter().rposition(|r| *r).map_or(first, |last| last + 1),
        None => 0..0,
    }
}
