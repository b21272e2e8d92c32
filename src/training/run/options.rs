//! How a run is carried out, and what it reports.

use candle_core::Device;

use crate::training::{Record, Stage};

/// What a run reports while it is under way.
#[derive(Clone, Copy, Debug)]
pub enum TrainingEvent<'a> {
    Stage(Stage),
    Record(&'a Record),
    /// What the run recorded before it was resumed, oldest first.
    Earlier(&'a [Record]),
    /// Something a person should know.
    Note(&'a str),
}

/// Where and how a run is carried out.
#[derive(Clone, Debug)]
pub struct RunOptions {
    pub device: Device,
    /// Go on with the run in the folder, where there is one.
    pub resume: bool,
    /// Replace a folder that an earlier run or export wrote.
    pub force: bool,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self { device: Device::Cpu, resume: false, force: false }
    }
}
