//! The training loss and its gradients against PyTorch's autograd in double precision.
use std::collections::BTreeMap;

use crate::common::device;
use candle_core::{DType, Tensor};
use pillars::analysis::Gram;
use pillars::model::Model;
use pillars::network::{Batch, Gates, Network, Objective, Site};
use pillars::training::constraint::{Constraint, ConstraintTerm, GramGraph, Reduction, term};
use pillars::training::{Parameters, task_loss};

struct Case {
    model: Model,
    batch: Batch,
    constraint: Constraint,
    assignments: BTreeMap<Site, Vec<usize>>,
    smoothing: f64,
}

fn case(family: &str) -> Case {
    let folder = crate::common::fixtures().join(family);
    let model = Model::open(&folder).unwrap();
    let mut batch = crate::common::batch(&crate::common::reference(&folder.join("reference.safetensors")));
    let labels = &crate::common::reference(&folder.join("training.safetensors"))["labels"];
    let causal = model.spec().encoder.is_none() && model.spec().output.as_ref().unwrap().objective == Objective::Causal;
    let mut aligned = Vec::new();
    for mut row in labels.to_vec2::<i64>().unwrap() {
        if causal {
            // A decoder-only model predicts the token after the one it reads.
            row.rotate_left(1);
            *row.last_mut().unwrap() = -100;
        }
        aligned.extend(row.into_iter().map(|l| u32::try_from(l).ok()));
    }
    batch.labels = Some(aligned);
    let about: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.join("training.json")).unwrap()).unwrap();
    let number = |key: &str| about[key].as_f64().unwrap();
    let constraint = Constraint {
        feature: about["feature"].as_str().unwrap().parse().unwrap(),
        alpha: number("alpha"),
        beta: number("beta"),
        reduction: Reduction::Printed,
        ..Constraint::default()
    };
    let assignments = serde_json::from_value(about["assignments"].clone()).unwrap();
    Case { model, batch, constraint, assignments, smoothing: 0.0 }
}

struct Computed {
    task: Tensor,
    term: ConstraintTerm,
    total: Tensor,
}

fn compute(case: &Case, network: &Network) -> Computed {
    let mut probe = GramGraph::new(case.constraint.feature);
    let hidden = network.hidden(&case.batch, &Gates::open(), &mut probe).unwrap();
    let task = task_loss(network, &hidden, &case.batch, case.smoothing).unwrap();
    let given = |site: Site, _: &Gram| Ok(case.assignments[&site].clone());
    let term = term(&case.constraint, &probe.grams, task.tokens, given).unwrap();
    let total = (&task.mean + term.loss.as_ref().unwrap()).unwrap();
    Computed { task: task.mean, term, total }
}

fn scalar(x: &Tensor) -> f64 {
    x.to_dtype(DType::F64).unwrap().to_scalar().unwrap()
}

fn values(x: &Tensor) -> Vec<f64> {
    x.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn check_against_autograd(family: &str, dtype: DType, tolerance: f64, gradient_tolerance: f64) {
    let case = case(family);
    let folder = crate::common::fixtures().join(family);
    let reference = crate::common::reference(&folder.join("training.safetensors"));
    let parameters = Parameters::of_model(&case.model, dtype, &device()).unwrap();
    let network = Network::load(case.model.spec(), &parameters).unwrap();
    let got = compute(&case, &network);
    for (name, got) in [
        ("task_loss", scalar(&got.task)),
        ("homogenisation", got.term.homogenization),
        ("diversification", got.term.diversification),
        ("loss", scalar(&got.total)),
    ] {
        let want = scalar(&reference[name]);
        assert!((got - want).abs() <= tolerance, "{family} {name}: {got} against {want}");
    }
    let gradients = got.total.backward().unwrap();
    let mut checked = 0;
    for (name, want) in &reference {
        let Some(name) = name.strip_prefix("grad.") else { continue };
        let assembled = parameters.storage().assemble(name, &|role| {
            let parameter = parameters.of_role(role).unwrap();
            let zero = || parameter.var.zeros_like().unwrap();
            Ok(gradients.get(parameter.var.as_tensor()).cloned().unwrap_or_else(zero))
        });
        let (got, want) = (values(&assembled.unwrap()), values(want));
        assert_eq!(got.len(), want.len(), "{family} {name}");
        let largest = want.iter().fold(0f64, |m, x| m.max(x.abs()));
        let worst = got.iter().zip(&want).fold(0f64, |m, (g, w)| m.max((g - w).abs()));
        // Keys' biases shift all scores of a query alike: their true gradient is zero, and what autograd gives is rounding.
        assert!(worst <= gradient_tolerance * largest.max(1e-4), "{family} grad {name}: {worst} of {largest}");
        checked += 1;
    }
    let fixed = parameters.list().iter().filter(|p| p.fixed).count();
    let stored = parameters.storage().tensors().count();
    assert_eq!(checked, stored - fixed, "{family}: a parameter without a reference gradient");
    assert_eq!(fixed, usize::from(family == "bart"), "final_logits_bias is a buffer");
}

macro_rules! autograd {
    ($($test:ident: $family:literal),+) => {
        $(#[test]
        fn $test() {
            check_against_autograd($family, DType::F32, 1e-5, 1e-3);
            check_against_autograd($family, DType::F64, 1e-6, 1e-5);
        })+
    };
}

autograd!(gpt2: "gpt2", llama: "llama", bert: "bert", bart: "bart");

/// How far apart two vectors are, by the second's length.
fn apart(got: &[f64], want: &[f64]) -> f64 {
    let length = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>().sqrt();
    length(&mut got.iter().zip(want).map(|(g, w)| g - w)) / length(&mut want.iter().copied()).max(f64::MIN_POSITIVE)
}

/// Passes in 16 bits over weights of 32: the loss and all gradients are those of PyTorch's double precision but for
/// what rounding does to numbers of so few bits.
#[test]
fn gradients_in_16_bits_are_those_of_autograd_but_for_rounding() {
    for family in ["gpt2", "llama", "bert", "bart"] {
        let case = case(family);
        let reference = crate::common::reference(&crate::common::fixtures().join(family).join("training.safetensors"));
        for (dtype, unit) in [(DType::F16, 2f64.powi(-11)), (DType::BF16, 2f64.powi(-8))] {
            let parameters = Parameters::of_model(&case.model, DType::F32, &device()).unwrap();
            let network = Network::load(case.model.spec(), &parameters.rounded(dtype).unwrap()).unwrap();
            let got = compute(&case, &network);
            assert_eq!((got.task.dtype(), got.total.dtype()), (DType::F32, DType::F32));
            for (name, got) in [("task_loss", scalar(&got.task)), ("homogenisation", got.term.homogenization)] {
                let want = scalar(&reference[name]);
                assert!((got - want).abs() < 8.0 * unit * want.abs(), "{family} {dtype:?} {name}: {got}, {want}");
            }
            // As large as it may become, so that f16 keeps small numbers.
            let gradients = (got.total * 1024.0).unwrap().backward().unwrap();
            let (mut all, mut wanted) = (Vec::new(), Vec::new());
            for (name, want) in &reference {
                let Some(name) = name.strip_prefix("grad.") else { continue };
                let assembled = parameters.storage().assemble(name, &|role| {
                    let parameter = parameters.of_role(role).unwrap();
                    let gradient = gradients.get(parameter.var.as_tensor()).unwrap();
                    assert_eq!(gradient.dtype(), DType::F32);
                    Ok((gradient / 1024.0).unwrap())
                });
                all.extend(values(&assembled.unwrap()));
                wanted.extend(values(want));
            }
            let apart = apart(&all, &wanted);
            assert!(apart < 16.0 * unit, "{family} in {dtype:?}: {apart} is {} units", apart / unit);
        }
    }
}

/// Central differences of the whole loss, through whole blocks, at the largest entry of every parameter's gradient
/// and at one drawn without regard to it.
fn check_finite_differences(family: &str) {
    let mut case = case(family);
    // Orthogonal groups in place of opposite ones, the scale of the authors' code (weighted up to count beside the task)
    // and smoothed labels: the paths not in the references.
    case.constraint.reduction = Reduction::LayerSum;
    case.constraint.alpha *= 20.0;
    case.constraint.beta *= 20.0;
    case.smoothing = 0.1;
    case.constraint.diversity = pillars::training::constraint::Diversity::SquaredCosine;
    let parameters = Parameters::of_model(&case.model, DType::F64, &device()).unwrap();
    let network = Network::load(case.model.spec(), &parameters).unwrap();
    let gradients = compute(&case, &network).total.backward().unwrap();
    let step = 1e-5;
    for (index, parameter) in parameters.list().iter().enumerate() {
        let before = parameter.var.as_tensor().copy().unwrap();
        if parameter.fixed {
            continue;
        }
        let gradient = values(gradients.get(parameter.var.as_tensor()).unwrap_or_else(|| panic!("{}", parameter.role)));
        let steepest = (0..gradient.len()).max_by(|a, b| gradient[*a].abs().total_cmp(&gradient[*b].abs())).unwrap();
        for entry in [steepest, (index * 7919) % gradient.len()] {
            let at = |delta: f64| {
                let mut moved = values(&before);
                moved[entry] += delta;
                parameter.var.set(&Tensor::from_vec(moved, before.shape(), &device()).unwrap()).unwrap();
                scalar(&compute(&case, &network).total)
            };
            let numeric = (at(step) - at(-step)) / (2.0 * step);
            parameter.var.set(&before).unwrap();
            let exact = gradient[entry];
            let allowed = 1e-6 * gradient[steepest].abs().max(1e-3);
            assert!(
                (numeric - exact).abs() <= allowed,
                "{family} {} [{entry}]: {exact} where differences give {numeric}",
                parameter.role
            );
        }
    }
}

#[test]
fn finite_differences_pre_norm() {
    check_finite_differences("gpt2");
}

#[test]
fn finite_differences_post_norm() {
    check_finite_differences("bert");
}

#[test]
fn finite_differences_cross_attention() {
    check_finite_differences("bart");
}

#[test]
fn finite_differences_rms_norm_and_grouped_keys() {
    check_finite_differences("llama");
}
