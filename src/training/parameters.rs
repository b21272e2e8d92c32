//! Variables by role.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor, Var};

use super::Initial;
use crate::error::{Error, Result};
use crate::model::{Model, Storage};
use crate::network::{EmbedModule, Module, NetworkSpec, Role, StackKind, Weights};

/// One block of weights that training moves.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// The first role that reads it, in alphabetical order.
    pub role: Role,
    pub var: Var,
    /// True where the families' own code never trains it: a bias on the logits that is a buffer (BART, Marian), a
    /// table of sinusoids (Whisper's encoder).
    pub fixed: bool,
}

impl Parameter {
    /// Whether weight decay applies: to matrices and tables, not to norms and biases.
    pub fn decays(&self) -> bool {
        self.var.rank() >= 2
    }
}

/// The weights of a network as variables. A network loaded from it is differentiable, and follows every change.
///
/// Roles that are stored as one block (a table that embeds and predicts, a layer that several passes share) are one
/// parameter.
#[derive(Clone, Debug)]
pub struct Parameters {
    list: Vec<Parameter>,
    index: HashMap<Role, usize>,
    storage: Storage,
}

impl Parameters {
    /// The weights of a checkpoint.
    pub fn of_model(model: &Model, dtype: DType, device: &Device) -> Result<Self> {
        let weights = model.weights(device, dtype);
        // A copy, since several roles may hand out one tensor.
        Self::new(model.storage()?, |role, _| Ok(weights.get(role)?.copy()?))
    }

    /// Fresh weights: the same seed gives the same values on every machine.
    pub fn fresh(
        spec: &NetworkSpec,
        storage: Storage,
        initial: Initial,
        seed: u64,
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        Self::new(storage, |role, shape| {
            let values = initial.values(spec, role, shape, seed);
            Ok(Tensor::from_vec(values, shape, device)?.to_dtype(dtype)?)
        })
    }

    fn new(storage: Storage, first: impl Fn(Role, &[usize]) -> Result<Tensor>) -> Result<Self> {
        let mut list = Vec::new();
        let mut index = HashMap::new();
        let mut blocks: HashMap<(String, usize), usize> = HashMap::new();
        for (role, shape) in storage.roles() {
            let (name, row) =
                storage.block_of(role).ok_or_else(|| Error::new(format!("'{role}' is stored nowhere")))?;
            let place = blocks.entry((name.to_owned(), row)).or_insert(list.len());
            if *place == list.len() {
                let embed = |part| Module::Embed(StackKind::Encoder, part).weight();
                let sinusoids = role == embed(EmbedModule::Positions) && storage.has_role(embed(EmbedModule::Conv1));
                let fixed = name.ends_with("final_logits_bias") || sinusoids;
                list.push(Parameter { role, var: Var::from_tensor(&first(role, shape)?)?, fixed });
            }
            index.insert(role, *place);
        }
        Ok(Self { list, index, storage })
    }

    /// Every parameter once, in a fixed order.
    pub fn list(&self) -> &[Parameter] {
        &self.list
    }

    /// The parameter that `role` reads.
    pub fn of_role(&self, role: Role) -> Option<&Parameter> {
        self.list.get(*self.index.get(&role)?)
    }

    /// The values as `dtype` has them.
    pub fn rounded(&self, dtype: DType) -> Result<Rounded<'_>> {
        let blocks = self.list.iter().map(|p| Ok(p.var.to_dtype(dtype)?));
        Ok(Rounded { parameters: self, blocks: blocks.collect::<Result<_>>()? })
    }

    /// How roles lie in stored tensors.
    pub fn storage(&self) -> &Storage {
        &self.storage
    }

    /// Numbers in all parameters.
    pub fn count(&self) -> u64 {
        self.list.iter().map(|p| p.var.elem_count() as u64).sum()
    }

    /// The stored tensor `name` with today's values.
    pub fn stored_tensor(&self, name: &str) -> Result<Tensor> {
        self.storage.assemble(name, &|role| Ok(self.get(role)?.detach()))
    }

    /// A copy of all values, in the order of [`Parameters::list`].
    pub fn snapshot(&self) -> Result<Vec<Tensor>> {
        self.list.iter().map(|p| Ok(p.var.as_tensor().detach().copy()?)).collect()
    }

    /// Puts the values of a [`Parameters::snapshot`] back.
    pub fn restore(&self, values: &[Tensor]) -> Result<()> {
        if values.len() != self.list.len() {
            return Err(Error::new("these weights are of another model"));
        }
        for (parameter, value) in self.list.iter().zip(values) {
            parameter.var.set(value)?;
        }
        Ok(())
    }
}

impl Weights for Parameters {
    fn get(&self, role: Role) -> Result<Tensor> {
        let parameter = self.of_role(role).ok_or_else(|| absent(role))?;
        Ok(parameter.var.as_tensor().clone())
    }
}

fn absent(role: Role) -> Error {
    Error::new(format!("the model has no '{role}'"))
}

/// Today's values in another type, each block once. Gradients of a network loaded from it flow on into the variables.
#[derive(Debug)]
pub struct Rounded<'a> {
    parameters: &'a Parameters,
    blocks: Vec<Tensor>,
}

impl Weights for Rounded<'_> {
    fn get(&self, role: Role) -> Result<Tensor> {
        let block = self.parameters.index.get(&role).and_then(|place| self.blocks.get(*place));
        Ok(block.ok_or_else(|| absent(role))?.clone())
    }
}
