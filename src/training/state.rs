//! Saving a run so that it can go on as if it had never stopped.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use super::{Centers, Learner, LossScale, Position, StepParts};
use crate::checkpoint::{Stored, TensorPlan, tensor_bytes, write_safetensors};
use crate::error::{Error, Result};
use crate::network::Site;
use crate::plan::Plan;

/// File name of a saved state.
pub const STATE: &str = "state.safetensors";

/// The parts of a run, in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, IntoStaticStr)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Stage {
    /// Training with the group constraint.
    #[default]
    Constrained,
    /// Frozen weights: the heads are voted on.
    Voting,
    /// The others are masked; training without the constraint.
    FineTuning,
    /// Removing masked heads and writing the result.
    Writing,
    /// Nothing is left to do.
    Done,
}

impl Stage {
    /// The word used in files and shown to people.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// Everything about a run that is not a weight.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunState {
    /// The stage under way.
    pub stage: Stage,
    /// Steps taken in it.
    pub step: u64,
    /// Steps taken in all stages.
    pub total_steps: u64,
    /// Steps that the optimizer counts; it begins anew in fine-tuning.
    #[serde(alias = "optimiser_steps")]
    pub optimizer_steps: u64,
    /// The factor on the loss, where the type that is computed in needs one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_scale: Option<LossScale>,
    /// Where the data stands.
    pub position: Position,
    /// Which heads stay, once voted.
    pub plan: Option<Plan>,
    /// Looks in a row at which hidden units had hardly moved.
    pub calm_looks: u64,
    /// How good the best look of this stage was, more being better, and at which of its steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best: Option<(f64, u64)>,
    /// Looks in a row that were no better.
    #[serde(default)]
    pub stale_looks: u64,
    /// Training and held-out loss at the last looks of this stage, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub looks: Vec<(f64, f64)>,
    pub seconds: f64,
    /// Sums since the last record, so that a resumed run records the same means.
    pub since_record: RunningSums,
}

/// Running sums between two records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunningSums {
    pub steps: u64,
    /// Predicted tokens, or labels.
    pub tokens: u64,
    /// Tokens that were read, or whole inputs of another kind.
    #[serde(default)]
    pub read: u64,
    /// Task loss times predicted tokens.
    pub task_loss: f64,
    /// Constraint loss, summed over steps.
    pub constraint_loss: f64,
    pub seconds: f64,
    /// Seconds by parts of a step.
    #[serde(default)]
    pub parts: StepParts,
}

/// File name of the weights of the best look.
pub const BEST: &str = "best.safetensors";

const STANDING: &str = "standing";

/// What is said of a saved run that cannot be read, where to go on is what was asked for.
const DAMAGED: &str = "the saved state is damaged";
/// What to do then.
pub(super) const ANEW: &str = "begin anew with --force, or in another folder";

/// Writes a run's state in one file, which appears whole or not at all.
pub fn save(path: &Path, learner: &Learner, standing: &RunState, centers: Option<&Centers>) -> Result<()> {
    let text = serde_json::to_vec(standing)?;
    let mut tensors: HashMap<String, Tensor> = HashMap::new();
    let mut plans = vec![TensorPlan { name: STANDING.to_owned(), stored: Stored::U8, shape: vec![text.len()] }];
    let mut add = |name: String, tensor: &Tensor| -> Result<()> {
        let stored = Stored::of(tensor.dtype()).ok_or_else(|| Error::new("a weight of a type that cannot be saved"))?;
        plans.push(TensorPlan { name: name.clone(), stored, shape: tensor.dims().to_vec() });
        tensors.insert(name, tensor.clone());
        Ok(())
    };
    for (parameter, (first, second)) in learner.parameters().list().iter().zip(learner.optimizer().state()) {
        add(format!("weight.{}", parameter.role), parameter.var.as_tensor())?;
        add(format!("first.{}", parameter.role), first)?;
        add(format!("second.{}", parameter.role), second)?;
    }
    for (site, center) in centers.into_iter().flatten() {
        add(format!("centers.{site}"), center)?;
    }
    write_safetensors(path, &plans, |plan| match tensors.get(&plan.name) {
        Some(tensor) => tensor_bytes(tensor),
        None => Ok(text.clone()),
    })
}

/// Writes the weights alone.
pub fn save_weights(path: &Path, learner: &Learner) -> Result<()> {
    let (mut plans, mut tensors) = (Vec::new(), HashMap::new());
    for parameter in learner.parameters().list() {
        let (name, tensor) = (format!("weight.{}", parameter.role), parameter.var.as_tensor());
        let stored = Stored::of(tensor.dtype()).ok_or_else(|| Error::new("a weight of a type that cannot be saved"))?;
        plans.push(TensorPlan { name: name.clone(), stored, shape: tensor.dims().to_vec() });
        tensors.insert(name, tensor.clone());
    }
    write_safetensors(path, &plans, |plan| match tensors.get(&plan.name) {
        Some(tensor) => tensor_bytes(tensor),
        None => unreachable!("every plan was made with its tensor"),
    })
}

/// Reads what [`save_weights`] wrote into `learner`.
pub fn load_weights(path: &Path, learner: &Learner, device: &Device) -> Result<()> {
    let damaged = |e: candle_core::Error| Error::from(e).within("the weights of the best look are damaged").at(path);
    let mut tensors = candle_core::safetensors::load(path, device).map_err(|e| damaged(e).hint(ANEW))?;
    let take = |role| tensors.remove(&format!("weight.{role}"));
    let weights: Option<Vec<Tensor>> = learner.parameters().list().iter().map(|p| p.role).map(take).collect();
    let weights = weights.ok_or_else(|| Error::new("the saved weights are of another model").at(path))?;
    learner.parameters().restore(&weights)
}

/// Reads what [`save`] wrote into `learner`.
pub fn load(path: &Path, learner: &mut Learner, device: &Device) -> Result<(RunState, Option<Centers>)> {
    let fail = |what: &str| Error::new(what.to_owned()).at(path).hint(ANEW);
    let damaged = |e: Error| e.within(DAMAGED).at(path).hint(ANEW);
    let mut tensors = candle_core::safetensors::load(path, device).map_err(|e| damaged(e.into()))?;
    let text = tensors.remove(STANDING).ok_or_else(|| fail("this is no saved training state"))?;
    let text = text.to_device(&Device::Cpu)?.to_vec1::<u8>().map_err(|e| damaged(e.into()))?;
    let standing: RunState = serde_json::from_slice(&text).map_err(|e| damaged(e.into()))?;
    let mut take = |name: String| tensors.remove(&name).ok_or_else(|| fail("the saved state is of another model"));
    let mut weights = Vec::new();
    let mut moments = Vec::new();
    for parameter in learner.parameters().list() {
        let role = &parameter.role;
        weights.push(take(format!("weight.{role}"))?);
        moments.push((take(format!("first.{role}"))?, take(format!("second.{role}"))?));
    }
    learner.parameters().restore(&weights).map_err(damaged)?;
    learner.optimizer_mut().restore(standing.optimizer_steps, &moments).map_err(damaged)?;
    learner.restore_loss_scale(standing.loss_scale);
    let mut centers = Centers::new();
    for (name, tensor) in tensors {
        if let Some(site) = name.strip_prefix("centers.") {
            centers.insert(site.parse::<Site>().map_err(damaged)?, tensor);
        }
    }
    Ok((standing, (!centers.is_empty()).then_some(centers)))
}
