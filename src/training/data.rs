//! What a run learns from, and what it is measured on.

use candle_core::Device;

use super::{Blueprint, TrainingRun};
use crate::corpus::{BatchOrder, Corpus, CorpusPart, Intake, Purpose};
use crate::error::Result;
use crate::task::Ticket;

/// Two corpora, which share no sequence unless `in_sample` says so.
#[derive(Clone, Debug)]
pub struct Data {
    /// Shuffled, pass after pass in another order.
    pub training: Corpus,
    /// As it stands, as many batches as are to be measured.
    pub held_out: Corpus,
    /// Whether what is measured is learned too: the data named for it is that of training.
    pub in_sample: bool,
    /// What a person should know of how it was divided.
    pub note: Option<String>,
}

impl Data {
    /// Opens the input of `request` and holds a part of it out, unless other data is named for that.
    pub fn open(request: &TrainingRun, blueprint: &Blueprint, ticket: &Ticket) -> Result<Self> {
        let settings = &request.settings;
        let intake = Intake::new(blueprint.spec(), blueprint.config())?;
        let mut reading = request.reading.clone();
        reading.purpose = Purpose::Score;
        let open = |input, reading: &_| Corpus::open(input, blueprint.side(), &intake, reading, ticket);
        let whole = open(&request.input, &reading)?;
        let asked = settings.held_out_every;
        let every = if request.held_out.is_some() { asked } else { within(&whole, asked)? };
        let (training, held_out) = match &request.held_out {
            Some(input) => (whole, open(input, &reading)?),
            None => (
                whole.with(|s| s.part = CorpusPart::Training { every }),
                whole.with(|s| s.part = CorpusPart::HeldOut { every }),
            ),
        };
        let in_sample = match &request.held_out {
            Some(_) => training.reading(ticket)?.overlaps(&held_out.reading(ticket)?),
            None => false,
        };
        Ok(Self {
            in_sample,
            note: (every < asked).then(|| {
                format!("the input has {every} batches: one of them is held out, where one in {asked} was to be")
            }),
            training: training.with(|s| s.order = BatchOrder::Shuffled),
            held_out: held_out.with(|s| {
                s.order = BatchOrder::AsRead;
                s.batches = Some(settings.held_out_batches);
            }),
        })
    }
}

/// The distance between blocks that are held out: as `asked`, or all blocks that `whole` has where that would leave none.
fn within(whole: &Corpus, asked: u64) -> Result<u64> {
    let first = whole.with(|s| {
        s.order = BatchOrder::AsRead;
        // A limit is of each part, not of what is divided.
        s.batches = Some(asked);
    });
    let mut blocks = 0;
    for batch in first.batches(&Device::Cpu) {
        batch?;
        blocks += 1;
    }
    // A single block cannot be divided, which is said where it is read.
    Ok(if (2..asked).contains(&blocks) { blocks } else { asked })
}
