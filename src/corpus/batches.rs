//! A pass over a corpus: order, held-out split, and a worker that reads ahead.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use candle_core::Device;
use rand::seq::SliceRandom;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng;

use super::example::{Example, collate, to_device};
use super::masking::sequence_key;
use super::opened::Corpus;
use super::settings::{BatchOrder, Purpose};
use crate::error::{Error, Result};
use crate::network::Batch;
use crate::task::caught;

impl Corpus {
    /// A pass over the batches, on `device`.
    pub fn batches(&self, device: &Device) -> Batches {
        self.pass(device, 0)
    }

    /// Pass number `pass`: under [`BatchOrder::Shuffled`](super::BatchOrder::Shuffled) each has an order of its own, and masks differ from pass to pass.
    pub fn pass(&self, device: &Device, pass: u64) -> Batches {
        Batches::start(self, device, pass)
    }
}

/// Batches that wait for the forward pass; more would only hold memory.
const AHEAD: usize = 3;

/// Batches among which sequences are put in order.
const WINDOW: usize = 64;

/// Numbers (ids or pixels) held in a window at most, so that a window of images stays small.
const WINDOW_SIZE: usize = 1 << 24;

/// One pass over a [`Corpus`]. Dropping it stops the worker.
#[derive(Debug)]
pub struct Batches {
    receive: Option<Receiver<Result<Batch>>>,
    device: Device,
}

impl Batches {
    pub(super) fn start(corpus: &Corpus, device: &Device, pass: u64) -> Self {
        let (send, receive) = sync_channel(AHEAD);
        let corpus = corpus.clone();
        let fault = send.clone();
        let worker = std::thread::Builder::new().name("batches".to_owned()).spawn(move || {
            let work = || Producer { corpus: &corpus, send: &send, pass, sent: 0 }.run();
            if let Err(error) = caught(work) {
                let error = match &corpus.spool {
                    Some(spool) => spool.explain(error),
                    None => error,
                };
                // The receiver may be gone: then the batch is dropped.
                let _ = send.send(Err(error));
            }
        });
        if let Err(error) = worker {
            let _ = fault.send(Err(Error::new(format!("cannot start a thread: {error}"))));
        }
        Self { receive: Some(receive), device: device.clone() }
    }
}

impl Iterator for Batches {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.receive.as_ref()?.recv().ok()?.and_then(|batch| to_device(batch, &self.device));
        if batch.is_err() {
            // A fault ends the pass.
            self.receive = None;
        }
        Some(batch)
    }
}

struct Producer<'a> {
    corpus: &'a Corpus,
    send: &'a SyncSender<Result<Batch>>,
    pass: u64,
    sent: u64,
}

impl Producer<'_> {
    fn run(&mut self) -> Result<()> {
        let settings = &self.corpus.settings;
        let size = settings.batch_size;
        let limit = settings.batches.unwrap_or(u64::MAX);
        // With a limit the window ends there, so that the same sequences are read in every order.
        let window = match settings.order {
            BatchOrder::AsRead => 1,
            _ => usize::try_from(limit).unwrap_or(WINDOW).clamp(1, WINDOW),
        };
        let (mut waiting, mut held) = (Vec::with_capacity(size * window), 0);
        let mut index = 0u64;
        let is_cut = self.corpus.spool.as_ref().is_some_and(|spool| spool.is_cut());
        let mut examples = self.corpus.origin.examples()?.peekable();
        while let Some(example) = examples.next() {
            let example = example?;
            // What is last may have been cut too.
            if is_cut && examples.peek().is_none() {
                return Err(Error::new("the pipe holds more than was read of it, and these batches need it")
                    .at(self.corpus.input().path())
                    .hint("save it to a file first"));
            }
            let block = index / size as u64;
            index += 1;
            if !settings.has(block) {
                continue;
            }
            held += example.size();
            waiting.push(self.prepare(example, index - 1));
            let full = waiting.len() >= size * window || (held >= WINDOW_SIZE && waiting.len().is_multiple_of(size));
            if full {
                if !self.flush(std::mem::take(&mut waiting))? {
                    return Ok(());
                }
                held = 0;
            }
        }
        self.corpus.counted.store(index + 1, Ordering::Relaxed);
        if waiting.is_empty() && self.sent == 0 {
            let path = self.corpus.input().path();
            return Err(if index == 0 {
                Error::new("the input holds no sequence").at(path)
            } else if let Some(shard) = settings.shard.filter(|_| settings.part.count(index.div_ceil(size as u64)) > 0)
            {
                let what = format!("part {shard} holds no batch: the input has fewer batches than there are parts");
                Error::new(what).at(path).hint("cut it into fewer parts, or give more of it or smaller batches")
            } else {
                Error::new("the input is too short to leave a part of it out")
                    .at(path)
                    .hint("give more of it, smaller batches or shorter sequences")
            });
        }
        self.flush(waiting).map(|_| ())
    }

    fn prepare(&self, mut example: Example, sequence: u64) -> Example {
        let Corpus { settings, intake, hiding, .. } = self.corpus;
        example.place = sequence;
        if settings.purpose == Purpose::Score {
            example.predict_next(intake);
            if intake.is_masked() {
                hiding.apply(&mut example, &settings.masking, sequence_key(settings.seed, self.pass, sequence));
            }
        }
        example
    }

    /// Sends a window in batches; false once no more are wanted.
    fn flush(&mut self, mut window: Vec<Example>) -> Result<bool> {
        let settings = &self.corpus.settings;
        let size = settings.batch_size;
        let mut random = Xoshiro256PlusPlus::seed_from_u64(
            settings.seed
                ^ self.pass.wrapping_mul(0x9E37_79B9_7F4A_7C15)
                ^ self.sent.wrapping_mul(0xD1B5_4A32_D192_ED03),
        );
        if settings.order == BatchOrder::Shuffled {
            window.shuffle(&mut random);
        }
        if settings.order != BatchOrder::AsRead {
            window.sort_by_key(Example::length);
        }
        let mut batches = Vec::with_capacity(window.len().div_ceil(size));
        let mut rest = window.into_iter().peekable();
        while rest.peek().is_some() {
            batches.push(rest.by_ref().take(size).collect::<Vec<_>>());
        }
        if settings.order == BatchOrder::Shuffled {
            batches.shuffle(&mut random);
        }
        for batch in batches {
            if settings.batches.is_some_and(|limit| self.sent >= limit) {
                return Ok(false);
            }
            self.sent += 1;
            if self.send.send(collate(batch, &self.corpus.intake)).is_err() {
                return Ok(false);
            }
        }
        Ok(settings.batches.is_none_or(|limit| self.sent < limit))
    }
}
