//! Softmax weights of a block of queries.

use std::ops::Range;

use candle_core::{Result, Tensor, bail};
use pulp::{Arch, Simd, WithSimd};

use super::scoring::Scoring;
use crate::tensor::kernel::{Heads, Real, Target, Threads, exp, product, reading, tanh};
use crate::tensor::{Visibility, doubles};

/// Score of an unseen key; a row without a larger one sees nothing.
const UNSEEN: f64 = -1e30;

/// What an attention kernel keeps of [`Scoring`].
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub scale: f64,
    pub soft_cap: Option<f64>,
    bias: Option<Tensor>,
    sinks: Option<Vec<f64>>,
    visibility: Visibility,
}

impl Rules {
    pub(super) fn new(q: &Tensor, k: &Tensor, v: &Tensor, scoring: &Scoring<'_>) -> Result<Self> {
        let (n, h, t, d) = q.dims4()?;
        let (kn, kh, s, kd) = k.dims4()?;
        if k.dims() != v.dims() || kn != n || kd != d || kh == 0 || !h.is_multiple_of(kh) {
            bail!("queries {:?}, keys {:?} and values {:?} do not fit", q.dims(), k.dims(), v.dims());
        }
        if scoring.visibility.shape() != (n, t, s) {
            bail!("{:?} is not the shape of visible keys of {n} x {t} x {s}", scoring.visibility.shape());
        }
        let bias = scoring.bias.map(|bias| -> Result<Tensor> {
            let (bn, bh, bt, bs) = bias.dims4()?;
            if ![1, n].contains(&bn) || bh != h || ![1, t].contains(&bt) || bs != s {
                bail!("a bias {:?} does not fit scores [{n}, {h}, {t}, {s}]", bias.dims());
            }
            bias.detach().to_dtype(q.dtype())?.contiguous()
        });
        let sinks = scoring.sinks.map(doubles).transpose()?;
        if let Some(sinks) = sinks.as_ref().filter(|sinks| sinks.len() != h) {
            bail!("{} sinks are not those of {h} heads", sinks.len());
        }
        Ok(Self {
            scale: scoring.scale,
            soft_cap: scoring.soft_cap,
            bias: bias.transpose()?,
            sinks,
            visibility: scoring.visibility.clone(),
        })
    }

    /// Hands `run` what blocks need beside queries and keys.
    pub(super) fn with<T: Real, R>(&self, run: impl FnOnce(&Scorer<'_, T>) -> Result<R>) -> Result<R> {
        let (sequences, _, keys) = self.visibility.shape();
        let padding = (0..sequences).map(|n| {
            let real = self.visibility.real_keys(n);
            real.map(|real| real.iter().map(|r| T::from_f64(if *r { 0.0 } else { UNSEEN })).collect())
        });
        let padding = padding.collect();
        match &self.bias {
            None => run(&Scorer { rules: self, keys, padding, bias: None }),
            Some(bias) => {
                let (n, _, t, _) = bias.dims4()?;
                reading(bias, |numbers| run(&Scorer { rules: self, keys, padding, bias: Some((numbers, (n, t))) }))
            }
        }
    }
}

pub(super) struct Scorer<'a, T> {
    rules: &'a Rules,
    keys: usize,
    /// Per sequence: added to the scores of its keys.
    padding: Vec<Option<Vec<T>>>,
    /// Numbers, and how many sequences and positions they are for.
    bias: Option<(&'a [T], (usize, usize))>,
}

impl<T: Real> Scorer<'_, T> {
    /// Queries of sequence `n`; padding in front of all and behind all is none of them.
    pub(super) fn asked(&self, n: usize) -> Range<usize> {
        self.rules.visibility.asked(n)
    }

    /// The same in blocks of `rows`.
    pub(super) fn blocks(&self, n: usize, rows: usize) -> impl Iterator<Item = Range<usize>> + use<T> {
        let Range { start, end } = self.asked(n);
        (start..end).step_by(rows).map(move |from| from..end.min(from + rows))
    }

    /// Keys that any of `queries` of sequence `n` may see; padding in front of all and behind all is none of them.
    pub(super) fn span(&self, n: usize, queries: &Range<usize>) -> Range<usize> {
        let extent = self.rules.visibility.offered(n);
        let first = self.rules.visibility.span(n, queries.start).0.max(extent.start);
        let end = self.rules.visibility.span(n, queries.end.saturating_sub(1)).1.min(extent.end);
        first.min(end)..end
    }

    /// Scores before bias and softmax of `queries` of head `h` of sequence `n` for the keys `span`; rows of `to` begin
    /// `step` numbers apart.
    pub(super) fn scores(
        &self,
        q: &Heads<'_, T>,
        k: &Heads<'_, T>,
        n: usize,
        h: usize,
        queries: &Range<usize>,
        span: &Range<usize>,
        to: &mut [T],
        step: usize,
    ) -> Result<()> {
        let shared = h / (q.shape().1 / k.shape().1);
        let rows = q.rows(n, h, queries.start, queries.end)?;
        let columns = k.rows(n, shared, span.start, span.end)?.t();
        let target = Target::new(to, queries.len(), span.len(), step)?;
        product(target, rows, columns, self.rules.scale, false, Threads::One)?;
        // Where no key may be seen there is no score.
        if let Some(cap) = self.rules.soft_cap.filter(|_| step > 0) {
            let arch = Arch::new();
            to.chunks_mut(step).take(queries.len()).for_each(|row| {
                let width = span.len().min(row.len());
                arch.dispatch(Cap { row: &mut row[..width], cap });
            });
        }
        Ok(())
    }

    /// Turns scores into weights.
    pub(super) fn normalize(
        &self,
        n: usize,
        h: usize,
        heads: usize,
        queries: &Range<usize>,
        span: &Range<usize>,
        to: &mut [T],
        step: usize,
    ) {
        if step == 0 {
            return;
        }
        let arch = Arch::new();
        for (t, row) in queries.clone().zip(to.chunks_mut(step)) {
            let row = &mut row[..span.len()];
            let (first, end) = self.rules.visibility.span(n, t);
            let (first, end) = (first.clamp(span.start, span.end), end.clamp(span.start, span.end));
            let seen = first.min(end) - span.start..end - span.start;
            row[..seen.start].fill(T::zero());
            row[seen.end..].fill(T::zero());
            let padding = self.padding.get(n).and_then(Option::as_ref).map(|p| &p[first.min(end)..end]);
            let bias = self.bias.map(|(numbers, (sequences, positions))| {
                let at = (n % sequences * heads + h) * positions + t % positions;
                &numbers[at * self.keys..][first.min(end)..end]
            });
            let sink = self.rules.sinks.as_ref().and_then(|sinks| sinks.get(h).copied());
            arch.dispatch(Softmax { row: &mut row[seen], added: [padding, bias], sink });
        }
    }
}

/// `cap * tanh(score / cap)` in place.
struct Cap<'a, T> {
    row: &'a mut [T],
    cap: f64,
}

impl<T: Real> WithSimd for Cap<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (cap, inverse) = (T::splat(simd, self.cap), T::splat(simd, self.cap.recip()));
        let capped = |x| T::times(simd, tanh::<T, S>(simd, T::times(simd, x, inverse)), cap);
        let (row, rest) = T::lanes_mut::<S>(self.row);
        for x in row {
            *x = capped(*x);
        }
        if !rest.is_empty() {
            let last = capped(T::load_part(simd, rest));
            T::store_part(simd, rest, last);
        }
    }
}

/// Adds to scores and normalizes their exponentials, in place. A row that sees nothing becomes zero.
struct Softmax<'a, T> {
    row: &'a mut [T],
    added: [Option<&'a [T]>; 2],
    /// A further score, whose weight is left out.
    sink: Option<f64>,
}

impl<T: Real> WithSimd for Softmax<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (row, rest) = T::lanes_mut::<S>(self.row);
        for added in self.added.into_iter().flatten() {
            let (added, added_rest) = T::lanes::<S>(added);
            for (x, a) in row.iter_mut().zip(added) {
                *x = T::plus(simd, *x, *a);
            }
            for (x, a) in rest.iter_mut().zip(added_rest) {
                *x += *a;
            }
        }
        let lowest = T::splat(simd, 2.0 * UNSEEN);
        let mut largest = [lowest; 2];
        let mut pairs = row.chunks_exact(2);
        for pair in &mut pairs {
            largest[0] = T::most(simd, largest[0], pair[0]);
            largest[1] = T::most(simd, largest[1], pair[1]);
        }
        for x in pairs.remainder() {
            largest[0] = T::most(simd, largest[0], *x);
        }
        let mut max = T::largest_of(simd, T::most(simd, largest[0], largest[1]));
        for x in rest.iter() {
            if *x > max {
                max = *x;
            }
        }
        if max.to_f64() < 0.5 * UNSEEN {
            row.fill(T::splat(simd, 0.0));
            rest.fill(T::zero());
            return;
        }
        let max = self.sink.map_or(max.to_f64(), |sink| sink.max(max.to_f64()));
        let shift = T::splat(simd, max);
        let mut sums = T::splat(simd, 0.0);
        for x in row.iter_mut() {
            *x = exp::<T, S>(simd, T::minus(simd, *x, shift));
            sums = T::plus(simd, sums, *x);
        }
        let mut sum = T::sum_of(simd, sums);
        if !rest.is_empty() {
            let last = exp::<T, S>(simd, T::minus(simd, T::load_part(simd, rest), shift));
            T::store_part(simd, rest, last);
            for x in rest.iter() {
                sum += *x;
            }
        }
        if let Some(sink) = self.sink {
            sum += T::from_f64((sink - max).exp());
        }
        let inverse = T::one() / sum;
        let inverses = T::splat(simd, inverse.to_f64());
        for x in row {
            *x = T::times(simd, *x, inverses);
        }
        for x in rest {
            *x *= inverse;
        }
    }
}
