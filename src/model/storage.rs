//! From roles back to stored tensors: the inverse of reading, for checkpoints that are written.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{Device, Tensor};

use super::family::spec_of;
use super::stored::{StoredRole, stored_shape};
use super::{ConfigReader, Family, Model, Part};
use crate::checkpoint::Config;
use crate::error::{Error, Result};
use crate::network::{NetworkSpec, Role, roles};

impl Model {
    /// How this model's roles lie in its stored tensors, for writing changed weights back.
    pub fn storage(&self) -> Result<Storage> {
        Storage::of(self.places(), |name| self.checkpoint().info(name).map(|info| info.shape.clone()))
    }
}

/// How the roles of a network lie in stored tensors: several may share one (fused projections), and several roles
/// may be one and the same block (tied tables, layers shared by several passes).
#[derive(Clone, Debug)]
pub struct Storage {
    /// In the alphabetical order of roles, which decides the order of parameters and so of sums over them.
    places: Vec<(Role, StoredRole)>,
    shapes: BTreeMap<String, Vec<usize>>,
}

impl Storage {
    pub(super) fn of(
        places: impl Iterator<Item = (Role, StoredRole)>,
        shape_of: impl Fn(&str) -> Option<Vec<usize>>,
    ) -> Result<Self> {
        let places = in_order(places.collect());
        let mut shapes = BTreeMap::new();
        for (_, place) in &places {
            let shape = shape_of(&place.name).ok_or_else(|| Error::new(format!("'{}' has no shape", place.name)))?;
            shapes.insert(place.name.clone(), shape);
        }
        Ok(Self { places, shapes })
    }

    /// The network that a configuration describes and where a new checkpoint of it stores its roles.
    ///
    /// Optional tensors that a family recognizes by their presence are taken to be there.
    pub fn fresh(config: &Config) -> Result<(NetworkSpec, Self)> {
        let family = Family::of(config)?;
        let spec = spec_of(family, &ConfigReader { config, has: &|_| true, tensors: usize::MAX })?;
        let mut places = Vec::new();
        let mut shapes = BTreeMap::new();
        for (role, shape) in roles::tensors(&spec) {
            let (name, layout) = family
                .name_to_write(config, role)
                .ok_or_else(|| Error::new(format!("the {} family has no name for '{role}'", family.model_type)))?;
            shapes.insert(name.clone(), stored_shape(&spec, role, &shape, layout));
            places.push((role, StoredRole::new(&spec, role, shape, name, layout)));
        }
        Ok((spec, Self { places: in_order(places), shapes }))
    }

    /// Every role with its shape.
    pub fn roles(&self) -> impl Iterator<Item = (Role, &[usize])> {
        self.places.iter().map(|(role, place)| (*role, place.shape.as_slice()))
    }

    /// Whether the network has this role.
    pub fn has_role(&self, role: Role) -> bool {
        self.place(role).is_some()
    }

    /// The stored tensor and the first of its rows that a role reads. Roles for which this is equal are one block.
    pub fn block_of(&self, role: Role) -> Option<(&str, usize)> {
        self.place(role).map(StoredRole::block)
    }

    fn place(&self, role: Role) -> Option<&StoredRole> {
        self.places.iter().find(|(r, _)| *r == role).map(|(_, place)| place)
    }

    /// Every stored tensor with its shape, by name.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.shapes.iter().map(|(name, shape)| (name.as_str(), shape.as_slice()))
    }

    /// The stored tensor `name` put together from the tensors of its roles, contiguous on the processor, in their type.
    pub fn assemble(&self, name: &str, get: &dyn Fn(Role) -> Result<Tensor>) -> Result<Tensor> {
        let shape = self.shapes.get(name).ok_or_else(|| Error::new(format!("there is no tensor '{name}'")))?;
        let own = self.places.iter().filter(|(_, place)| place.name == name);
        let mut slabs: BTreeMap<Option<usize>, Vec<&(Role, StoredRole)>> = BTreeMap::new();
        for entry in own {
            slabs.entry(entry.1.slab).or_default().push(entry);
        }
        let slabs = slabs.values().map(|slab| joined(name, slab, get)).collect::<Result<Vec<_>>>()?;
        let whole = match slabs.as_slice() {
            [one] => one.clone(),
            several => Tensor::stack(several, 0)?,
        };
        Ok(whole.contiguous()?.reshape(shape.as_slice())?)
    }
}

/// The tensor that the roles of `places`, which make up all of it, lie in.
fn joined(name: &str, places: &[&(Role, StoredRole)], get: &dyn Fn(Role) -> Result<Tensor>) -> Result<Tensor> {
    // Pieces by their first row; roles that read the same rows count once.
    let mut pieces: BTreeMap<usize, Tensor> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut transposed = false;
    for (role, place) in places {
        if !seen.insert(place.block().1) {
            continue;
        }
        let tensor = get(*role)?.to_device(&Device::Cpu)?;
        if tensor.dims() != place.shape.as_slice() {
            return Err(Error::new(format!("'{role}' is {:?} where {:?} is stored", tensor.dims(), place.shape)));
        }
        transposed = place.layout.transposed && place.shape.len() == 2;
        match (&place.rows, place.layout.part) {
            (_, Part::Alternate(index)) => {
                for row in 0..tensor.dim(0)? {
                    pieces.insert(2 * row + index, tensor.narrow(0, row, 1)?);
                }
            }
            (None, _) => {
                pieces.insert(0, tensor);
            }
            (Some(ranges), _) => {
                let mut from = 0;
                for range in ranges {
                    pieces.insert(range.start, tensor.narrow(0, from, range.len())?);
                    from += range.len();
                }
            }
        }
    }
    let mut next = 0;
    for (first, piece) in &pieces {
        if *first != next {
            return Err(Error::new(format!("row {next} of tensor '{name}' belongs to no role")));
        }
        next += piece.dim(0)?;
    }
    let pieces: Vec<Tensor> = pieces.into_values().collect();
    let whole = match pieces.as_slice() {
        [one] => one.clone(),
        several => Tensor::cat(several, 0)?,
    };
    Ok(if transposed { whole.t()?.contiguous()? } else { whole })
}

fn in_order(mut places: Vec<(Role, StoredRole)>) -> Vec<(Role, StoredRole)> {
    places.sort_by_cached_key(|(role, _)| role.to_string());
    places
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use candle_core::DType;

    use super::*;
    use crate::model::Model;
    use crate::network::Weights;

    #[test]
    fn every_fixture_is_put_together_again_bit_for_bit() {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let mut seen = 0;
        for folder in std::fs::read_dir(fixtures).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()) {
            let model = Model::open(folder).unwrap();
            seen += 1;
            let weights = model.weights(&Device::Cpu, DType::F32);
            let storage = model.storage().unwrap();
            for (name, shape) in storage.tensors() {
                let made = storage.assemble(name, &|role| weights.get(role)).unwrap();
                let stored = model.checkpoint().tensor(name, DType::F32, &Device::Cpu).unwrap();
                assert_eq!(made.dims(), shape, "{name}");
                let values = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                assert_eq!(values(&made), values(&stored), "{name} of {}", model.family().model_type);
            }
            // A new checkpoint of the same configuration has the same tensors, as far as the family knows them.
            let (spec, fresh) = Storage::fresh(model.config()).unwrap();
            assert_eq!(&spec, model.spec(), "{}", model.family().model_type);
            let shapes = |s: &Storage| s.roles().map(|(r, s)| (r, s.to_vec())).collect::<Vec<_>>();
            assert_eq!(shapes(&fresh), shapes(&storage));
            let names = |s: &Storage| s.tensors().map(|(name, _)| name.to_owned()).collect::<Vec<_>>();
            assert_eq!(names(&fresh), names(&storage), "{}", model.family().model_type);
        }
        assert_eq!(seen, crate::model::families::all().count());
    }
}
