//! What writing a file for an engine and proving it takes of memory.

use candle_core::{DType, Device};

use super::options::EngineOptions;
use crate::error::{Error, Result};
use crate::model::{MemoryLimit, MemoryPlan, Model, Needs, PROGRAM};
use crate::network::Extent;
use crate::pruning::{Engine, RUN_COPIES, sample_batches};

/// Times that the largest tensor is there in 32 bits while it is written or read back: read, laid out as the engine wants
/// it, and as bytes; and beside what was to be written what is in the file.
fn copies(engine: Engine) -> u64 {
    match engine {
        Engine::Onnx => 4,
        Engine::Gguf | Engine::Ct2 => 5,
    }
}

/// What names and small tensors take beside the largest.
const SMALL: u64 = 4 << 20;

/// What the passes of the proof need, which read layer by layer.
fn proof(model: &Model, options: &EngineOptions) -> Result<MemoryPlan> {
    let spec = model.spec();
    let largest = Extent::largest(&sample_batches(spec, 1, options.seed)?, spec)?;
    let positions = largest.sequences * largest.source.max(largest.target);
    // Results of the three runs stay, and those at hand are there twice more.
    let results = (5 * positions * spec.result_width() * size_of::<f32>()) as u64;
    let repair = options.repair.as_ref().map_or(0, |repair| 2 * repair.bytes());
    let limit = options.memory.unwrap_or(MemoryLimit(u64::MAX));
    // A graph forms every matrix of scores.
    let needs = Needs { copies: RUN_COPIES, throughout: results + repair, attention: true, ..Needs::ONE };
    Ok(MemoryPlan { limit, largest, needs })
}

/// Fails where the bound on memory is smaller than what a file for `engine` takes, and says how much that is.
pub(super) fn check_room(engine: Engine, model: &Model, options: &EngineOptions) -> Result<()> {
    let Some(limit) = options.memory else { return Ok(()) };
    let largest = copies(engine).saturating_mul(model.largest_tensor(DType::F32));
    let writing = PROGRAM.saturating_add(SMALL).saturating_add(largest);
    let passes = model.least_memory(&Device::Cpu, DType::F32, &proof(model, options)?)?;
    let needed = passes.max(MemoryLimit(writing));
    if needed <= limit {
        return Ok(());
    }
    Err(Error::usage(format!(
        "a file for {} needs {needed} of memory to be written and proven, {} are allowed",
        engine.name(),
        limit.allowed()
    ))
    .at(model.checkpoint().place())
    .hint(format!("give --memory {needed} or more, or choose compact, which takes less")))
}

/// Fails where the bound on memory has no room for the whole model, which tells what rounding to 16 bits alone changes.
pub(super) fn check_whole(model: &Model, options: &EngineOptions) -> Result<()> {
    let Some(limit) = options.memory else { return Ok(()) };
    let needed = model.held_memory(&Device::Cpu, DType::F32, &proof(model, options)?)?;
    if needed <= limit {
        return Ok(());
    }
    Err(Error::usage(format!(
        "whether rounding alone changes what the file computes takes {needed} of memory to tell, {} are allowed",
        limit.allowed()
    ))
    .at(model.checkpoint().place())
    .hint(format!("give --memory {needed} or more, or write f32")))
}
