//! What measured points say together.

use std::fmt;

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray, VariantNames};

use super::document::{Curves, Effect, MeasuredPoint, Whole};
use crate::error::Error;
use crate::plan::{Amount, CONTROL, Method, Ranking};
use crate::repair::RepairMode;
use crate::words::sentence_case;

/// Which number quality is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Display, EnumString, IntoStaticStr, VariantArray, VariantNames)]
#[strum(serialize_all = "lowercase", parse_err_ty = Error, parse_err_fn = unknown_gauge)]
pub enum Gauge {
    /// Mean cross-entropy per token, nats.
    Loss,
    /// `exp` of the loss.
    Perplexity,
    /// Share of tokens whose largest logit is right.
    Accuracy,
    /// What stands for a labeled task: accuracy, F1, rank correlation.
    Metric,
    /// What stands for a task of which less is better: word errors.
    #[strum(serialize = "error-rate")]
    ErrorRate,
    /// Share of tokens whose largest logit is the whole model's.
    Agreement,
    /// Mean cosine of embeddings to the whole model's.
    Cosine,
}

impl Gauge {
    pub const ALL: &[Self] = <Self as VariantArray>::VARIANTS;

    /// The word used on the command line and as the name of a column.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// What it is, with its direction.
    pub fn label(self) -> &'static str {
        match self {
            Self::Loss => "Loss per token, nats (lower is better)",
            Self::Perplexity => "Perplexity (lower is better)",
            Self::Accuracy => "Top-1 accuracy (higher is better)",
            Self::Metric => "The task's metric (higher is better)",
            Self::ErrorRate => "The task's error rate (lower is better)",
            Self::Agreement => "Same top token as the whole model (higher is better)",
            Self::Cosine => "Cosine to the whole model's embeddings (higher is better)",
        }
    }

    /// True where more is better.
    pub fn rises(self) -> bool {
        matches!(self, Self::Accuracy | Self::Metric | Self::Agreement | Self::Cosine)
    }

    /// True where it is a share of tokens.
    pub fn is_share(self) -> bool {
        matches!(self, Self::Accuracy | Self::Agreement)
    }

    /// The number; absent where the model has no language-model head to measure it by.
    pub fn of(self, effect: &Effect) -> Option<f64> {
        match self {
            Self::Loss => effect.loss_per_token,
            Self::Perplexity => effect.perplexity,
            Self::Accuracy => effect.accuracy,
            Self::Metric => effect.metric.filter(|_| !effect.metric_falls),
            Self::ErrorRate => effect.metric.filter(|_| effect.metric_falls),
            Self::Agreement => effect.agreement,
            Self::Cosine => Some(effect.cosine),
        }
    }
}

fn unknown_gauge(text: &str) -> Error {
    Error::unknown::<Gauge>("measure of quality", text)
}

/// Mean and spread of several numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DrawSpread {
    pub count: usize,
    pub mean: f64,
    /// Standard deviation of the sample; 0 for one.
    pub deviation: f64,
    pub low: f64,
    pub high: f64,
}

impl DrawSpread {
    /// Of some numbers; `None` for none.
    pub fn of(values: &[f64]) -> Option<Self> {
        let count = values.len();
        let mean = values.iter().sum::<f64>() / count as f64;
        let squares: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
        (count > 0).then(|| Self {
            count,
            mean,
            deviation: if count > 1 { (squares / (count - 1) as f64).sqrt() } else { 0.0 },
            low: values.iter().copied().fold(f64::INFINITY, f64::min),
            high: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        })
    }
}

/// All draws of one method and amount.
#[derive(Clone, Debug)]
pub struct CurveRow<'a> {
    /// How the heads were chosen.
    pub ranking: Ranking,
    /// How many were asked to stay.
    pub amount: Amount,
    /// One point, or one for each draw.
    pub points: Vec<&'a MeasuredPoint>,
}

impl CurveRow<'_> {
    /// Mean of a number over the draws.
    pub fn mean(&self, of: impl Fn(&MeasuredPoint) -> f64) -> f64 {
        self.points.iter().map(|p| of(p)).sum::<f64>() / self.points.len() as f64
    }

    /// Quality over the draws; `None` where any of them has none.
    pub fn quality(&self, gauge: Gauge) -> Option<DrawSpread> {
        let values: Option<Vec<f64>> = self.points.iter().map(|p| gauge.of(&p.effect)).collect();
        DrawSpread::of(&values?)
    }
}

/// The points of one curve: a way to choose heads, and how the heads that stay were repaired. Written `votes`, or
/// `votes, refit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CurveSeries {
    /// How heads were chosen.
    pub ranking: Ranking,
    /// Whether and how the heads that stay speak for the others.
    pub repair: RepairMode,
}

impl CurveSeries {
    fn of(point: &MeasuredPoint) -> Self {
        Self { ranking: point.ranking, repair: point.repair }
    }
}

impl From<Ranking> for CurveSeries {
    fn from(ranking: Ranking) -> Self {
        Self { ranking, repair: RepairMode::None }
    }
}

impl From<Method> for CurveSeries {
    fn from(method: Method) -> Self {
        Ranking::from(method).into()
    }
}

impl fmt::Display for CurveSeries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.repair {
            RepairMode::None => write!(f, "{}", self.ranking),
            repair => write!(f, "{}, {repair}", self.ranking),
        }
    }
}

impl Curves {
    /// The usual measure: the metric of a labeled task, or of what the input asks; perplexity where the model predicts tokens;
    /// otherwise the cosine of embeddings.
    pub fn gauge(&self) -> Gauge {
        let has = |gauge: &Gauge| self.whole.is_some_and(|w| gauge.of(&w.effect).is_some());
        [Gauge::Metric, Gauge::ErrorRate, Gauge::Perplexity, Gauge::Loss].into_iter().find(has).unwrap_or(Gauge::Cosine)
    }

    /// What `gauge` is of these, with its direction: the metric of a task under its own name.
    pub fn label(&self, gauge: Gauge) -> String {
        let Some(name) = &self.metric else { return gauge.label().to_owned() };
        let direction = if gauge.rises() { "higher is better" } else { "lower is better" };
        match gauge {
            Gauge::Metric | Gauge::ErrorRate => format!("{} ({direction})", sentence_case(name)),
            // The loss of a task is that of its labels; what is read as text besides has a perplexity too.
            Gauge::Loss if self.whole.is_some_and(|w| w.effect.perplexity.is_none()) => {
                format!("Loss per label ({direction})")
            }
            _ => gauge.label().to_owned(),
        }
    }

    /// What "random" is here, in words: [`CONTROL`], the same as beside a single plan, unless heads of the whole model were
    /// drawn.
    pub fn control(&self) -> &'static str {
        let is_drawn = |p: &&MeasuredPoint| p.ranking.method == Method::Random;
        match self.points.iter().find(is_drawn).map(|p| p.amount) {
            Some(Amount::Ratio(_)) => "random heads of the whole model",
            _ => CONTROL,
        }
    }

    /// Methods, masked alone, in the order in which they were first measured.
    pub fn rankings(&self) -> Vec<Ranking> {
        let all = self.series().into_iter();
        all.filter(|series| !series.repair.repairs()).map(|series| series.ranking).collect()
    }

    /// Methods with and without repair, in the order in which they were first measured.
    pub fn series(&self) -> Vec<CurveSeries> {
        let mut all = Vec::new();
        for series in self.points.iter().map(CurveSeries::of) {
            if !all.contains(&series) {
                all.push(series);
            }
        }
        all
    }

    /// Whether every layer keeps the same share of its heads at every point.
    pub fn is_layerwise(&self) -> bool {
        self.points.iter().all(|point| matches!(point.amount, Amount::LayerRatio(_) | Amount::Keep(_)))
    }

    /// Amounts, most heads first.
    pub fn amounts(&self) -> Vec<Amount> {
        let mut all: Vec<(f64, Amount)> = Vec::new();
        for point in &self.points {
            if !all.iter().any(|(_, amount)| *amount == point.amount) {
                all.push((point.kept_share, point.amount));
            }
        }
        all.sort_by(|a, b| b.0.total_cmp(&a.0));
        all.into_iter().map(|(_, amount)| amount).collect()
    }

    /// The draws of one series and amount; of a method alone, those that were not repaired.
    pub fn row(&self, series: impl Into<CurveSeries>, amount: Amount) -> CurveRow<'_> {
        let series = series.into();
        let points = self.points.iter().filter(|p| CurveSeries::of(p) == series && p.amount == amount).collect();
        CurveRow { ranking: series.ranking, amount, points }
    }

    /// The points of one series, fewest heads first; draws of one amount together.
    pub fn curve(&self, series: impl Into<CurveSeries>) -> Vec<CurveRow<'_>> {
        let series = series.into();
        let rows = self.amounts().into_iter().rev().map(|amount| self.row(series, amount));
        rows.filter(|row| !row.points.is_empty()).collect()
    }

    /// What no other point beats in both cost and quality, cheapest first; the whole model takes part, and so do
    /// random draws: a method that chance beats is not best. Points without a cost are left out.
    pub fn front(
        &self,
        gauge: Gauge,
        cost: impl Fn(&crate::plan::Cost, Option<f64>) -> Option<f64>,
        more_is_better: bool,
    ) -> Vec<(Option<CurveSeries>, f64, f64)> {
        let sign = |x: f64, rises: bool| if rises { -x } else { x };
        let of = |name, effect: &Effect, price: Option<f64>| {
            Some((name, sign(price?, more_is_better), sign(gauge.of(effect)?, gauge.rises())))
        };
        let point = |p: &MeasuredPoint| of(Some(CurveSeries::of(p)), &p.effect, cost(&p.cost, p.tokens_per_sec));
        let whole = |w: Whole| of(None, &w.effect, cost(&w.cost, w.tokens_per_sec));
        let mut all: Vec<_> = self.points.iter().filter_map(point).chain(self.whole.and_then(whole)).collect();
        all.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.2.total_cmp(&b.2)));
        let mut best = f64::INFINITY;
        all.retain(|(_, _, loss)| {
            let is_better = *loss < best;
            best = best.min(*loss);
            is_better
        });
        all.into_iter().map(|(name, x, y)| (name, sign(x, more_is_better), sign(y, gauge.rises()))).collect()
    }
}
