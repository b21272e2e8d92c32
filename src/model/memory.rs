//! Running a model within a bound on memory.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use candle_core::{DType, Device};
use serde::{Deserialize, Serialize};

use super::{Model, NewOutput, Repaired};
use crate::error::{Error, Result};
use crate::network::{Extent, Network, Residence, Site, StackKind, block_bytes, roles};
use crate::tensor::{has_kernels, wide};
use crate::words::counted;

/// What the program needs beside a model and its batches: its code, a tokenizer and text on its way through it, and
/// memory that was handed back but that the system has not taken yet.
pub const PROGRAM: u64 = 96 << 20;

/// A bound on the memory that is used; `512MiB`, `4GiB`, `100KiB` or plain bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MemoryLimit(pub u64);

const UNITS: [(&str, u32); 4] = [("GiB", 30), ("MiB", 20), ("KiB", 10), ("TiB", 40)];

impl FromStr for MemoryLimit {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            Error::usage(format!("'{text}' is no amount of memory"))
                .hint("write 4GiB, 512MiB, 100KiB or a number of bytes")
        };
        let unit = UNITS.iter().find_map(|(name, shift)| Some((text.strip_suffix(name)?, *shift)));
        let (number, shift) = unit.unwrap_or((text, 0));
        let bytes = match number.trim().parse::<u64>() {
            Ok(whole) => whole.checked_mul(1 << shift),
            // Half a GiB is a way to say it; half a byte is not.
            Err(_) if shift > 0 => {
                let number = number.trim().parse::<f64>().map_err(|_| wrong())? * (1u64 << shift) as f64;
                (number.is_finite() && number >= 0.0 && number < u64::MAX as f64).then_some(number as u64)
            }
            Err(_) => None,
        };
        bytes.filter(|bytes| *bytes > 0).map(Self).ok_or_else(wrong)
    }
}

impl MemoryLimit {
    /// It, as a refusal tells what was allowed.
    pub fn allowed(self) -> String {
        match self.0 {
            bytes if bytes < 1 << 10 => format!("{} (a unit can be given: 4GiB)", counted(bytes, "bytes")),
            _ => self.to_string(),
        }
    }
}

impl fmt::Display for MemoryLimit {
    /// In the largest unit that shows it well, rounded up.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes >= 10 << 30 => write!(f, "{}GiB", bytes.div_ceil(1 << 30)),
            bytes if bytes >= 1 << 20 => write!(f, "{}MiB", bytes.div_ceil(1 << 20)),
            bytes if bytes >= 1 << 10 => write!(f, "{}KiB", bytes.div_ceil(1 << 10)),
            bytes => write!(f, "{bytes}"),
        }
    }
}

/// What some work needs beside a network's weights and the layer that batches pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Networks that are there at a time.
    pub networks: u64,
    /// Times that the hidden states of a batch are held until its group is done.
    pub copies: u64,
    /// Further bytes that a batch holds until its group is done.
    pub per_batch: u64,
    /// Bytes that are held throughout.
    pub throughout: u64,
    /// Whether softmax weights are kept for a probe.
    pub attention: bool,
}

impl Needs {
    /// Of one network whose hidden states are looked at and dropped.
    pub const ONE: Self = Self { networks: 1, copies: 1, per_batch: 0, throughout: 0, attention: false };
}

/// Memory for a network and what passes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryPlan {
    /// Bytes in all, of which [`PROGRAM`] goes to the program itself.
    pub limit: MemoryLimit,
    /// The largest batch that will come.
    pub largest: Extent,
    /// What the batches are for.
    pub needs: Needs,
}

impl MemoryPlan {
    /// Bytes for each network and what passes it.
    fn own(&self) -> u64 {
        self.limit.0.saturating_sub(PROGRAM + self.needs.throughout) / self.needs.networks
    }
}

/// Bytes while batches pass a network.
struct PassBytes {
    /// In all, where every weight is held.
    held: u64,
    /// Of weights and of what is worked with, where layers and tables are left in the checkpoint.
    passing: u64,
    /// Of the largest layer.
    layer: u64,
    /// Of one batch that waits between layers.
    waiting: u64,
}

/// Bytes of a model's weights in one type, by how long a network has to hold them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct WeightBytes {
    all: u64,
    /// What is neither a layer nor a token table.
    always: u64,
    layer: u64,
    /// The largest matrix of a layer.
    matrix: u64,
    /// The largest block of a token table.
    block: u64,
}

impl Model {
    /// Loads the weights where they fit, with what passes them, in `room`; else leaves layers and token tables in the
    /// checkpoint and reads each when batches come to it. The results are the same. Fails as [`Model::check_room`]
    /// does.
    pub fn network_within(&self, device: &Device, dtype: DType, room: &MemoryPlan) -> Result<Network> {
        let Some(waiting) = self.waiting_within(device, dtype, room)? else {
            return self.network(device, dtype);
        };
        let bytes = self.pass_bytes(device, dtype, room)?;
        let network = |waiting| Network::stream(self.spec(), Arc::new(self.reader(device, dtype)), waiting);
        // A second layer is worth no more than half of the room: every group of batches reads all of them again.
        if bytes.layer > waiting / 2 {
            return network(waiting);
        }
        Ok(network(waiting - bytes.layer)?.reading_ahead())
    }

    /// Bytes that hidden states may take between layers where these are left in the checkpoint; `None` where every weight
    /// fits, with what passes, in `room`. Fails as [`Model::check_room`] does.
    pub fn waiting_within(&self, device: &Device, dtype: DType, room: &MemoryPlan) -> Result<Option<u64>> {
        self.check_room(device, dtype, room)?;
        let bytes = self.pass_bytes(device, dtype, room)?;
        let own = room.own();
        Ok((bytes.held > own).then(|| own.saturating_sub(bytes.passing)))
    }

    /// What every weight and what passes takes in `room`, whatever its own limit is.
    pub fn held_memory(&self, device: &Device, dtype: DType, room: &MemoryPlan) -> Result<MemoryLimit> {
        let Needs { networks, throughout, .. } = room.needs;
        let held = self.pass_bytes(device, dtype, room)?.held;
        Ok(MemoryLimit(held.saturating_mul(networks).saturating_add(throughout).saturating_add(PROGRAM)))
    }

    /// `network`, which is of this model, with new output projections. It shares every other weight that is held.
    pub fn repaired_network(&self, network: &Network, outputs: &BTreeMap<Site, NewOutput>) -> Result<Network> {
        let spec = self.spec();
        let weights = Repaired::new(self.reader(network.device(), network.dtype()), spec, outputs.clone());
        match network.waiting() {
            Some(waiting) => {
                let left = Network::stream(spec, Arc::new(weights), waiting)?;
                Ok(if network.reads_ahead() { left.reading_ahead() } else { left })
            }
            None => network.with_outputs(&weights, &outputs.keys().copied().collect::<Vec<_>>()),
        }
    }

    /// Fails where not even one layer and one batch fit, and says how much they need.
    pub fn check_room(&self, device: &Device, dtype: DType, room: &MemoryPlan) -> Result<()> {
        let (needed, limit) = (self.least_memory(device, dtype, room)?, room.limit);
        if needed <= limit {
            return Ok(());
        }
        // Smaller batches are no advice where what stays of them is too much.
        let needs = Needs { per_batch: 0, ..room.needs };
        let smallest = MemoryPlan { largest: room.largest.smallest(self.spec()), needs, ..*room };
        let would_do = self.least_memory(device, dtype, &smallest)? <= limit;
        let batches = if would_do { ", or smaller batches with --batch-size and --seq-len" } else { "" };
        Err(Error::usage(format!("one layer and one batch need {needed} of memory, {} are allowed", limit.allowed()))
            .at(self.checkpoint().place())
            .hint(format!("give --memory {needed} or more{batches}")))
    }

    /// The smallest limit for what comes and is needed in `room`, whatever its own limit is.
    pub fn least_memory(&self, device: &Device, dtype: DType, room: &MemoryPlan) -> Result<MemoryLimit> {
        let bytes = self.pass_bytes(device, dtype, room)?;
        let one = bytes.held.min(bytes.passing.saturating_add(bytes.waiting));
        let Needs { networks, throughout, .. } = room.needs;
        Ok(MemoryLimit(one.saturating_mul(networks).saturating_add(throughout).saturating_add(PROGRAM)))
    }

    fn pass_bytes(&self, device: &Device, dtype: DType, room: &MemoryPlan) -> Result<PassBytes> {
        let MemoryPlan { largest, needs, .. } = room;
        // Matrices of every query by every key at a time. The processor forms them for a probe alone, in the kernel's
        // type and the network's; elsewhere scores are there before and behind the softmax.
        let formed = match (has_kernels(device), needs.attention) {
            (true, false) => 0,
            (true, true) | (false, false) => 2,
            (false, true) => 3,
        };
        let weights = self.weight_bytes(dtype)?;
        let number = dtype.size_in_bytes() as u64;
        // The processor computes in f32 whatever the type: one matrix at a time is there in both.
        let inside = if has_kernels(device) { wide(dtype).size_in_bytes() as u64 } else { number };
        let copied = |bytes: u64| if inside > number { bytes / number * inside } else { 0 };
        let waiting = largest.waiting(self.spec()) * number * needs.copies + needs.per_batch;
        let working = largest.working(self.spec(), formed) * inside + copied(weights.matrix);
        // Tokens take rows of a table, which are hidden states; a head takes blocks of it. While one is in use no layer is;
        // logits of a block take up to twice its room.
        let block = if self.spec().output.is_some() { weights.block } else { 0 };
        let logits = 2 * (block / number * inside);
        let passing = weights.always + (weights.layer + working).max(block + copied(block) + logits);
        Ok(PassBytes { held: weights.all + working + waiting, passing, layer: weights.layer, waiting })
    }

    /// Bytes of the largest tensor in `dtype`.
    pub fn largest_tensor(&self, dtype: DType) -> u64 {
        let numbers = |shape: &[usize]| shape.iter().map(|d| *d as u64).product::<u64>();
        let most = roles::tensors(self.spec()).into_iter().map(|(_, shape)| numbers(&shape)).max().unwrap_or(0);
        most * dtype.size_in_bytes() as u64
    }

    /// Fails unless blocks of this type and the roles' shapes are known, which opening has seen to.
    fn weight_bytes(&self, dtype: DType) -> Result<WeightBytes> {
        let number = dtype.size_in_bytes();
        let mut blocks = BTreeSet::new();
        let mut layers: BTreeMap<(StackKind, usize), u64> = BTreeMap::new();
        let mut bytes = WeightBytes { all: 0, always: 0, layer: 0, matrix: 0, block: 0 };
        for (role, shape) in roles::tensors(self.spec()) {
            let size = shape.iter().map(|d| *d as u64).product::<u64>() * number as u64;
            let place = self.place(role).ok_or_else(|| Error::new(format!("the model has no '{role}'")))?;
            if blocks.insert(place.block()) {
                bytes.all += size;
            }
            match Residence::of(role) {
                Residence::Always => bytes.always += size,
                Residence::Layer(stack, stored) => {
                    *layers.entry((stack, stored)).or_default() += size;
                    bytes.matrix = bytes.matrix.max(size);
                }
                Residence::Table => {
                    let (rows, width) = (shape.first().copied().unwrap_or(0), shape.get(1).copied().unwrap_or(1));
                    bytes.block = bytes.block.max(block_bytes(rows, width, number));
                }
            }
        }
        bytes.layer = layers.into_values().max().unwrap_or(0);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn fixture(family: &str) -> Model {
        Model::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(family)).unwrap()
    }

    #[test]
    fn the_smallest_batch_is_as_short_as_its_input_can_be() {
        let smallest = |family: &str, sequences, source, target| {
            let Extent { sequences, source, target } =
                Extent { sequences, source, target }.smallest(fixture(family).spec());
            (sequences, source, target)
        };
        assert_eq!(smallest("bert", 8, 512, 0), (1, 16, 0));
        assert_eq!(smallest("bart", 8, 9, 300), (1, 9, 16));
        // An image has as many patches as it has.
        assert_eq!(smallest("vit", 8, 197, 0), (1, 197, 0));
    }

    #[test]
    fn smaller_batches_are_advised_where_they_would_do() {
        let model = fixture("llama");
        let told = |sequences: usize, limit: u64| {
            let largest = Extent { sequences, source: 512, target: 0 };
            let room = MemoryPlan { limit: MemoryLimit(limit), largest, needs: Needs::ONE };
            model.check_room(&Device::Cpu, DType::F32, &room).unwrap_err().to_string()
        };
        let advice = ", or smaller batches with --batch-size and --seq-len";
        let large = told(4096, PROGRAM + (64 << 20));
        assert!(large.contains("give --memory") && large.ends_with(advice), "{large}");
        let none = told(1, 100 << 10);
        assert!(none.contains("give --memory") && !none.contains(advice), "{none}");
    }

    #[test]
    fn amounts_are_read_and_written() {
        let bytes = |text: &str| text.parse::<MemoryLimit>().map(|m| m.0).ok();
        assert_eq!(bytes("4GiB"), Some(4 << 30));
        assert_eq!(bytes("512MiB"), Some(512 << 20));
        assert_eq!(bytes("1.5 KiB"), Some(1536));
        assert_eq!(bytes("123456"), Some(123_456));
        for wrong in ["", "0", "GiB", "-1GiB", "4GB", "1.5", "99999999999GiB", "1e400GiB", "nanMiB"] {
            assert!(bytes(wrong).is_none(), "{wrong}");
        }
        assert_eq!(MemoryLimit(3 << 30).to_string(), "3072MiB");
        assert_eq!(MemoryLimit((3 << 20) + 1).to_string(), "4MiB");
        assert_eq!(MemoryLimit(1 << 44).to_string(), "16384GiB");
    }
}
