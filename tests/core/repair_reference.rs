//! Refits, what they are said to leave, replaceability and the choice of heads, against least squares by QR over the raw
//! features of every token: with and without biases, key/value groups, cross attention and shared layers.
use std::collections::BTreeMap;

use crate::common::heads::{Vectors, open, raw, run};
use crate::repair::{bias, branch, columns, matrix, plan, random_batches, rows, sum};
use candle_core::{DType, Device};
use faer::Mat;
use faer::linalg::solvers::SolveLstsq;
use pillars::analysis::{AnalysisSettings, Groups, Moments, Sensitivity, Symmetric};
use pillars::model::Model;
use pillars::network::{FeatureMap, Network, Site};
use pillars::plan::{Amount, Method, PlanRequest};
use pillars::repair::{Basis, RefitRequest, RepairMode, Ridge, propose, refit, replaceability, scale};
use pillars::task::Ticket;

const FAMILIES: [&str; 6] = ["gpt2", "bert", "llama", "bart", "albert", "t5"];

/// All that is known of the layers that share one output projection.
struct Layer {
    sites: Vec<Site>,
    heads: usize,
    kv_heads: usize,
    dim: usize,
    has_bias: bool,
    /// Outputs of all heads, by token.
    outputs: Vectors,
    /// Whether the token is of a batch with an odd number.
    odd: Vec<bool>,
    /// `W`, of shape `[H d, D_model]`.
    weight: Mat<f64>,
}

/// Least squares with a constant where there is a bias, pulled towards a prior: the prior's rows and a multiple of the
/// identity stand below the tokens.
struct Direct {
    weight: Mat<f64>,
    bias: Vec<f64>,
    /// `lambda`, the pull of each row.
    pull: f64,
}

fn means(rows: &[Vec<f64>], has_bias: bool) -> Vec<f64> {
    let n = rows.len() as f64;
    (0..rows[0].len()).map(|j| if has_bias { rows.iter().map(|r| r[j]).sum::<f64>() / n } else { 0.0 }).collect()
}

fn direct(x: &[Vec<f64>], y: &[Vec<f64>], prior: &Mat<f64>, pull: f64, has_bias: bool) -> Direct {
    let (n, k, m) = (x.len(), prior.nrows(), prior.ncols());
    let (mx, my) = (means(x, has_bias), means(y, has_bias));
    let root = (n as f64 * pull).sqrt();
    let weight = if k == 0 {
        Mat::zeros(0, m)
    } else {
        let left =
            Mat::from_fn(n + k, k, |t, i| if t < n { x[t][i] - mx[i] } else { root * f64::from(u8::from(t - n == i)) });
        let right = Mat::from_fn(n + k, m, |t, j| if t < n { y[t][j] - my[j] } else { root * prior[(t - n, j)] });
        left.qr().solve_lstsq(&right)
    };
    let bias = (0..m).map(|j| my[j] - (0..k).map(|i| mx[i] * weight[(i, j)]).sum::<f64>()).collect();
    Direct { weight, bias, pull }
}

/// Mean over tokens of the squares of what is missed.
fn missed(x: &[Vec<f64>], y: &[Vec<f64>], weight: &Mat<f64>, bias: &[f64]) -> f64 {
    let mut sum = 0.0;
    for (x, y) in x.iter().zip(y) {
        for j in 0..weight.ncols() {
            let said: f64 = x.iter().enumerate().map(|(i, v)| v * weight[(i, j)]).sum();
            sum += (y[j] - said - bias[j]).powi(2);
        }
    }
    sum / x.len() as f64
}

fn squares(a: &Mat<f64>) -> f64 {
    a.squared_norm_l2()
}

impl Layer {
    fn at(&self, kept: &[usize]) -> Vec<usize> {
        columns(kept, self.dim)
    }

    fn pick(&self, at: &[usize], tokens: impl Fn(bool) -> bool) -> Vectors {
        let rows = self.outputs.iter().zip(&self.odd).filter(|(_, odd)| tokens(**odd));
        rows.map(|(row, _)| at.iter().map(|c| row[*c]).collect()).collect()
    }

    fn prior(&self, at: &[usize]) -> Mat<f64> {
        Mat::from_fn(at.len(), self.weight.ncols(), |i, j| self.weight[(at[i], j)])
    }

    /// The mean variance of the outputs at `at`, about zero where there is no bias.
    fn spread(&self, x: &Vectors) -> f64 {
        let mean = means(x, self.has_bias);
        let of = |i: usize| x.iter().map(|r| (r[i] - mean[i]).powi(2)).sum::<f64>() / x.len() as f64;
        (0..mean.len()).map(of).sum::<f64>() / mean.len().max(1) as f64
    }

    fn fit(&self, kept: &[usize], ridge: f64, tokens: impl Fn(bool) -> bool + Copy) -> Direct {
        let at = self.at(kept);
        let x = self.pick(&at, tokens);
        let y = branch(&self.pick(&self.at(&self.all()), tokens), &self.weight);
        direct(&x, &y, &self.prior(&at), ridge * self.spread(&x), self.has_bias)
    }

    fn all(&self) -> Vec<usize> {
        (0..self.heads).collect()
    }

    /// What the heads of `kept` cannot say of `o V`, with a pull of `ridge` that is that of all outputs: what the choice
    /// goes by.
    fn error(&self, target: &Mat<f64>, kept: &[usize], ridge: f64) -> f64 {
        let everything = self.pick(&self.at(&self.all()), |_| true);
        let pull = ridge * self.spread(&everything);
        let at = self.at(kept);
        let x = self.pick(&at, |_| true);
        let y = branch(&everything, target);
        let prior = Mat::from_fn(at.len(), target.ncols(), |i, j| target[(at[i], j)]);
        let fit = direct(&x, &y, &prior, pull, self.has_bias);
        missed(&x, &y, &fit.weight, &fit.bias)
            + pull * (squares(&(&fit.weight - &prior)) + squares(target) - squares(&prior))
    }

    fn power(&self) -> f64 {
        let y = branch(&self.pick(&self.at(&self.all()), |_| true), &self.weight);
        let mean = means(&y, self.has_bias);
        y.iter().flatten().zip(mean.iter().cycle()).map(|(y, m)| (y - m).powi(2)).sum::<f64>() / y.len() as f64
    }

    /// Sets of `number` heads that leave every key/value head that stays with equally many query heads.
    fn legal(&self, number: usize) -> Vec<Vec<usize>> {
        let per_kv = self.heads / self.kv_heads;
        let sets =
            (0..1usize << self.heads).map(|bits| self.all().into_iter().filter(|h| bits >> h & 1 == 1).collect());
        let even = |set: &Vec<usize>| {
            let mut counts = vec![0; self.kv_heads];
            set.iter().for_each(|h| counts[h / per_kv] += 1);
            counts.retain(|c| *c > 0);
            counts.windows(2).all(|w| w[0] == w[1])
        };
        sets.filter(|set: &Vec<usize>| set.len() == number && even(set)).collect()
    }
}

struct Case {
    model: Model,
    network: Network,
    batches: Vec<pillars::network::Batch>,
    moments: Moments,
    layers: Vec<Layer>,
}

impl Case {
    fn new(family: &str) -> Self {
        let (model, network, _) = open(family, DType::F32);
        let batches = random_batches(model.spec(), 12, 16);
        let moments = sum(&model, &network, &batches);
        let parts: Vec<_> = batches.iter().map(|b| raw(&network, b)).collect();
        let mut classes: BTreeMap<_, Vec<Site>> = BTreeMap::new();
        for (site, _) in model.spec().sites() {
            classes.entry((site.kind, model.spec().stored_layer(site))).or_default().push(site);
        }
        let layer = |sites: Vec<Site>| {
            let spec = model.spec().attention(sites[0]).unwrap();
            let (mut outputs, mut odd) = (Vectors::new(), Vec::new());
            for (number, part) in parts.iter().enumerate() {
                for site in &sites {
                    let tokens = rows(&part[&(*site, FeatureMap::Output)], spec.head_dim);
                    odd.extend(vec![number % 2 == 1; tokens.len()]);
                    outputs.extend(tokens);
                }
            }
            Layer {
                heads: spec.heads,
                kv_heads: spec.kv_heads,
                dim: spec.head_dim,
                has_bias: spec.projection_bias.output,
                weight: matrix(&model, sites[0]),
                sites,
                outputs,
                odd,
            }
        };
        let layers = classes.into_values().map(layer).collect();
        Self { model, network, batches, moments, layers }
    }
}

#[test]
fn refits_and_what_is_told_of_them_are_those_of_direct_least_squares() {
    const RIDGE: f64 = 1e-3;
    for family in FAMILIES {
        let case = Case::new(family);
        let (plan, reader) = (plan(&case.model), case.model.reader(&Device::Cpu, DType::F32));
        let request =
            RefitRequest { plan: &plan, mode: RepairMode::Refit, ridge: Ridge::Fixed(RIDGE), basis: Basis::All };
        let found = refit(case.model.spec(), &reader, &case.moments, &request, &Ticket::default()).unwrap();
        assert_eq!(found.outputs.len(), case.layers.len(), "{family}");
        for layer in &case.layers {
            let site = layer.sites[0];
            let (output, told) = (&found.outputs[&site], &found.record.sites[&site]);
            let expected = layer.fit(&output.kept, RIDGE, |_| true);
            let weight: Vectors = output.weight.to_dtype(DType::F64).unwrap().to_vec2().unwrap();
            let largest = expected.weight.norm_max();
            for (j, row) in weight.iter().enumerate() {
                for (i, value) in row.iter().enumerate() {
                    let difference = (value - expected.weight[(i, j)]).abs();
                    assert!(difference < 1e-5 * largest, "{family} {site} {i} {j}: {difference} of {largest}");
                }
            }
            match &output.bias {
                Some(new) => {
                    let new: Vec<f64> = new.to_dtype(DType::F64).unwrap().to_vec1().unwrap();
                    let old = bias(&case.model, site);
                    assert!(new.iter().zip(&old).zip(&expected.bias).all(|((n, o), b)| (n - o - b).abs() < 1e-5));
                }
                None => assert!(!layer.has_bias),
            }
            // Fitted on batches with even numbers, judged on the others.
            let half = layer.fit(&output.kept, RIDGE, |odd| !odd);
            assert!(half.pull > 0.0);
            let at = layer.at(&output.kept);
            let all = layer.at(&layer.all());
            let of = |is_odd: bool| {
                let y = branch(&layer.pick(&all, |odd| odd == is_odd), &layer.weight);
                (layer.pick(&at, |odd| odd == is_odd), y)
            };
            let ((x, y), (x_odd, y_odd)) = (of(false), of(true));
            let nothing = Mat::zeros(0, y[0].len());
            let power = |y: &Vectors| missed(&vec![Vec::new(); y.len()], y, &nothing, &means(y, layer.has_bias));
            let close = |what: &str, found: f64, expected: f64| {
                assert!((found - expected).abs() < 1e-5, "{family} {site} {what}: {found} {expected}");
            };
            close("fitted", told.fitted, missed(&x, &y, &half.weight, &half.bias) / power(&y));
            let held_out = missed(&x_odd, &y_odd, &half.weight, &half.bias) / power(&y_odd);
            close("held out", told.held_out.unwrap(), held_out);
            let no_bias = vec![0.0; y[0].len()];
            close("masked", told.masked, missed(&x_odd, &y_odd, &layer.prior(&at), &no_bias) / power(&y_odd));
            assert_eq!(told.tokens as usize, layer.outputs.len());
        }
    }
}

/// The ridge under which heads are chosen.
const CHOICE: f64 = 1e-4;

#[test]
fn replaceability_is_what_direct_least_squares_leave_of_each_head() {
    for family in FAMILIES {
        let case = Case::new(family);
        let found = replaceability(&case.moments).unwrap();
        assert_eq!(found.len(), case.moments.sites.len());
        for layer in &case.layers {
            for head in layer.all() {
                let others: Vec<usize> = layer.all().into_iter().filter(|h| *h != head).collect();
                let mut alone = Mat::zeros(layer.weight.nrows(), layer.weight.ncols());
                for i in layer.at(&[head]) {
                    alone.row_mut(i).copy_from(layer.weight.row(i));
                }
                let adds = layer.error(&alone, &[], CHOICE);
                let expected = 1.0 - layer.error(&alone, &others, CHOICE) / adds;
                for site in &layer.sites {
                    let value = found[site].values[head];
                    assert!((value - expected).abs() < 1e-5, "{family} {site} {head}: {value} {expected}");
                }
            }
        }
    }
}

/// In units of the loss errors are weighed by a matrix; any will do.
fn sensitivity(dim: usize, seed: usize) -> Sensitivity {
    let entry = |i: usize, k: usize| {
        let noise = (((i * 37 + k * 101 + seed * 53) as f64 * 12.9898).sin() * 43_758.545_3).fract();
        noise * (1.0 + (i % 5) as f64)
    };
    let packed = (0..dim).flat_map(|i| (i..dim).map(move |j| (i, j)));
    let packed = packed.map(|(i, j)| (0..dim + 3).map(|k| entry(i, k) * entry(j, k)).sum()).collect();
    Sensitivity { square: Symmetric::from_packed(dim, packed).unwrap(), scored: 7 }
}

#[test]
fn chosen_heads_are_the_best_of_every_legal_set() {
    let (mut best, mut all) = (0, 0);
    for family in ["bert", "llama", "bart", "albert"] {
        let mut case = Case::new(family);
        let settings = AnalysisSettings { groups: Groups::Fixed(2), ..AnalysisSettings::default() };
        let analysis = run(&case.model, &case.network, &case.batches, &settings);
        for in_loss in [false, true] {
            let mut targets: Vec<Mat<f64>> = case.layers.iter().map(|layer| layer.weight.clone()).collect();
            if in_loss {
                let mut found = BTreeMap::new();
                for (number, (layer, target)) in case.layers.iter().zip(&mut targets).enumerate() {
                    let own = sensitivity(layer.heads * layer.dim, number);
                    // Half the mean product of gradients, once for each pass that shares the layer.
                    let passes = layer.sites.len() as f64;
                    let half = Mat::from_fn(own.square.dim(), own.square.dim(), |i, j| {
                        0.5 * own.square.get(i, j) / own.scored as f64 * passes
                    });
                    *target = half.llt(faer::Side::Lower).unwrap().L().to_owned();
                    found.extend(layer.sites.iter().map(|site| (*site, own.clone())));
                }
                case.moments.set_sensitivity(found).unwrap();
            }
            let unit = |layer: &Layer| if in_loss { 1.0 } else { layer.power() };
            for number in 1..4 {
                let request = PlanRequest::new(Method::Reconstruction, Amount::Keep(number));
                let plan = propose(&analysis, Some(&case.moments), &request).unwrap();
                for (layer, target) in case.layers.iter().zip(&targets) {
                    let kept = plan.kept_at(layer.sites[0], layer.heads);
                    let legal = layer.legal(kept.len());
                    assert!(legal.contains(&kept), "{family} {:?}", layer.sites);
                    let least = legal.iter().map(|set| layer.error(target, set, CHOICE)).fold(f64::INFINITY, f64::min);
                    let own = layer.error(target, &kept, CHOICE);
                    assert!(own <= 1.1 * least, "{family} {:?} {kept:?}: {own} {least}", layer.sites);
                    all += 1;
                    best += usize::from(own <= least * (1.0 + 1e-6));
                    // What each head is missed by when it goes alone, the same in plans of any size.
                    for head in layer.all().into_iter().filter(|_| number == 1) {
                        let others: Vec<usize> = layer.all().into_iter().filter(|h| *h != head).collect();
                        let expected = layer.error(target, &others, CHOICE) / unit(layer);
                        let told = plan.scores[&layer.sites[0]][head];
                        assert!((told - expected).abs() < 1e-5 * (1.0 + expected), "{family} {told} {expected}");
                    }
                }
            }
        }
    }
    assert!(20 * best >= 19 * all, "{best} of {all}");
}

/// Gram matrices of residual maps hold all that a factor for each head needs: the same factors as from second moments.
#[test]
fn factors_from_an_analysis_are_those_from_moments() {
    for family in ["bert", "llama", "bart", "albert"] {
        let (model, network, _) = open(family, DType::F32);
        let batches = random_batches(model.spec(), 6, 12);
        let (plan, reader) = (plan(&model), model.reader(&Device::Cpu, DType::F32));
        let settings = |feature| AnalysisSettings {
            features: vec![feature],
            groups: Groups::Fixed(2),
            ..AnalysisSettings::default()
        };
        let analysis = run(&model, &network, &batches, &settings(FeatureMap::Residual));
        let moments = sum(&model, &network, &batches);
        let ridge = Ridge::Fixed(1e-3);
        let request = RefitRequest { plan: &plan, mode: RepairMode::Scale, ridge, basis: Basis::All };
        let expected = refit(model.spec(), &reader, &moments, &request, &Ticket::default()).unwrap();
        let found = scale(model.spec(), &reader, &analysis, &plan, ridge, &Ticket::default()).unwrap();
        assert!(found.outputs.len() == expected.outputs.len() && !found.outputs.is_empty(), "{family}");
        for (site, output) in &expected.outputs {
            let values = |x: &candle_core::Tensor| x.to_dtype(DType::F64).unwrap().to_vec2::<f64>().unwrap().concat();
            let (want, got) = (values(&output.weight), values(&found.outputs[site].weight));
            let largest = want.iter().fold(0f64, |most, x| most.max(x.abs()));
            let apart = want.iter().zip(&got).fold(0f64, |most, (a, b)| most.max((a - b).abs()));
            assert!(apart < 1e-4 * largest, "{family} {site}: {apart} of {largest}");
            // What it says of other text is not known.
            assert_eq!(found.record.sites[site].held_out, None);
        }
        assert!(found.record.notes.iter().any(|note| note.contains("nothing was held out")), "{family}");
        let without = run(&model, &network, &batches, &settings(FeatureMap::Output));
        let refused = scale(model.spec(), &reader, &without, &plan, ridge, &Ticket::default()).unwrap_err();
        assert!(refused.to_string().contains("no residual maps"), "{refused}");
    }
}
