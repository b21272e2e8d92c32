//! From arguments to an opened model, device and input.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device};

use super::args::{CommonArgs, InputArgs, MemoryArgs};
use super::console::Console;
use crate::corpus::{self, BatchOrder, Corpus, Input, Intake, Purpose};
use crate::error::{Error, Result};
use crate::model::{Model, Needs, Room};
use crate::network::{Kept, Network};
use crate::plan::{Plan, Shape};
use crate::task::Ticket;

/// An opened model and where it computes.
pub(super) struct Session {
    pub model: Model,
    pub device: Device,
    pub dtype: DType,
}

impl Session {
    /// Opens the model and the device; says so where it is not the device one would expect.
    pub fn open(folder: &Path, common: &CommonArgs, console: &Console) -> Result<Self> {
        let model = Model::open(folder)?;
        let (device, note) = common.device.open()?;
        if let Some(note) = note {
            console.warn(&note);
        }
        Ok(Self { model, device, dtype: common.dtype.dtype() })
    }

    /// Opens the input that was named, for `purpose`.
    pub fn corpus(&self, input: &InputArgs, common: &CommonArgs, purpose: Purpose, ticket: &Ticket) -> Result<Corpus> {
        let intake = Intake::of(&self.model)?;
        let input = input.chosen()?;
        let settings = corpus::CorpusSettings {
            batch_size: common.batch_size(),
            seq_len: common.seq_len.map(|n| n as usize),
            batches: common.batches,
            seed: common.seed,
            purpose,
            // A score is the same in every order; votes are cast by batches, which are those of the input.
            order: if purpose == Purpose::Score { BatchOrder::ByLength } else { BatchOrder::AsRead },
            ..corpus::CorpusSettings::default()
        };
        Corpus::open(&input, self.model.checkpoint().folder(), &intake, &settings, ticket)
    }

    /// The corpus in batches that memory has room for.
    pub fn fit(&self, corpus: Corpus, common: &CommonArgs, memory: &MemoryArgs, needs: Needs) -> Result<Corpus> {
        let mut refused = Ok(corpus.clone());
        for size in common.batch_sizes() {
            let corpus = corpus.with(|s| s.batch_size = size);
            let Some(room) = self.room(&corpus, memory, needs) else { return Ok(corpus) };
            match self.model.check_room(&self.device, self.dtype, &room) {
                Ok(()) => return Ok(corpus),
                Err(error) => refused = Err(error),
            }
        }
        refused
    }

    /// The network of `model`, whole or left in the checkpoint, as memory allows.
    pub fn network(&self, model: &Model, corpus: &Corpus, memory: &MemoryArgs, needs: Needs) -> Result<Network> {
        match self.room(corpus, memory, needs) {
            Some(room) => model.network_within(&self.device, self.dtype, &room),
            None => model.network(&self.device, self.dtype),
        }
    }

    fn room(&self, corpus: &Corpus, memory: &MemoryArgs, needs: Needs) -> Option<Room> {
        Some(Room { limit: memory.memory?, largest: corpus.largest(self.model.spec()), needs })
    }

    /// Reads a plan or mask and checks it against the model.
    pub fn plan(&self, path: &Path) -> Result<Plan> {
        let plan = Plan::read_any(path)?;
        plan.validate(Shape::from(self.model.spec())).map_err(|e| e.at(path))?;
        Ok(plan)
    }

    /// The heads that stay at `path`, or none named where there is no path. Says so where they were chosen for other
    /// weights than those of the model.
    pub fn kept(&self, path: Option<&Path>, console: &Console) -> Result<Kept> {
        let Some(path) = path else { return Ok(Kept::all()) };
        let plan = self.plan(path)?;
        if let Some(note) = plan.foreign_to(&self.model.checkpoint().fingerprint()?) {
            console.warn(&note);
        }
        Ok(plan.kept)
    }
}

impl InputArgs {
    /// Whether any input was named.
    pub fn is_given(&self) -> bool {
        [&self.text, &self.tokens, &self.inputs, &self.images, &self.pairs].iter().any(|p| p.is_some())
    }

    /// The file or folder that was named.
    pub fn path(&self) -> Option<&Path> {
        let Self { text, tokens, inputs, images, pairs } = self;
        [text, tokens, inputs, images, pairs].into_iter().flatten().map(PathBuf::as_path).next()
    }

    /// The one input that was named.
    pub fn chosen(&self) -> Result<Input> {
        let Self { text, tokens, inputs, images, pairs } = self.clone();
        let pairs = pairs.map(|path| Input::Pairs { path, columns: None });
        text.map(Input::Text)
            .or(tokens.map(Input::Tokens))
            .or(inputs.map(Input::Inputs))
            .or(images.map(Input::Images))
            .or(pairs)
            .ok_or_else(|| {
                Error::usage("no input is given").hint("give --text, --tokens, --inputs, --images or --pairs")
            })
    }
}
