//! The weights of an open model, loaded once and shared by everything that runs it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::Device;

use crate::error::Result;
use crate::model::{MemoryPlan, Model};
use crate::network::Network;
use crate::task::Ticket;
use crate::tensor::{DeviceChoice, Precision, device_name};

/// The weights of the open model, where it computes, loaded when something first runs it. Clones share both.
#[derive(Clone, Default)]
pub struct LoadedNetwork {
    held: Arc<Mutex<Option<HeldNetwork>>>,
    /// Apart from the weights, which are locked while they load.
    place: Arc<Mutex<Option<OpenedDevice>>>,
}

/// A network, and how it was loaded.
struct HeldNetwork {
    device: DeviceChoice,
    precision: Precision,
    room: Option<MemoryPlan>,
    network: Arc<Network>,
}

/// A device that was opened, and what it was opened for.
struct OpenedDevice {
    choice: DeviceChoice,
    device: Device,
    placed: Placed,
}

/// Where a model computes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The device, e.g. `cuda:0`.
    pub device: String,
    /// Why it is not the fastest one, where that was wanted and cannot be used.
    pub fallback: Option<String>,
}

impl std::fmt::Debug for LoadedNetwork {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LoadedNetwork")
    }
}

impl LoadedNetwork {
    /// Where the model computes, once something ran; never waits for long.
    pub fn placed(&self) -> Option<Placed> {
        lock(&self.place).as_ref().map(|place| place.placed.clone())
    }

    /// The device of a choice, opened once: tensors of two handles to one device do not mix.
    pub fn device(&self, choice: DeviceChoice) -> Result<Device> {
        let mut place = lock(&self.place);
        if let Some(place) = place.as_ref().filter(|place| place.choice == choice) {
            return Ok(place.device.clone());
        }
        let (device, fallback) = choice.open()?;
        let placed = Placed { device: device_name(&device), fallback };
        *place = Some(OpenedDevice { choice, device: device.clone(), placed });
        Ok(device)
    }

    /// The network on a device in a type, within `room` where memory is bounded; loads it where the last one was another.
    pub fn get(
        &self,
        model: &Model,
        device: DeviceChoice,
        precision: Precision,
        room: Option<MemoryPlan>,
        ticket: &Ticket,
    ) -> Result<Arc<Network>> {
        let mut held = lock(&self.held);
        if let Some(held) = held.as_ref().filter(|h| (h.device, h.precision, h.room) == (device, precision, room)) {
            return Ok(Arc::clone(&held.network));
        }
        // Room for the new one before it is loaded.
        *held = None;
        ticket.stage("load weights", None, "tensors");
        let place = self.device(device)?;
        let dtype = precision.dtype();
        let network = Arc::new(match &room {
            Some(room) => model.network_within(&place, dtype, room)?,
            None => model.network(&place, dtype)?,
        });
        ticket.check()?;
        *held = Some(HeldNetwork { device, precision, room, network: Arc::clone(&network) });
        Ok(network)
    }

    /// Gives the weights back, so that something else has the memory.
    pub fn release(&self) {
        *lock(&self.held) = None;
    }
}

/// What a panic of another holder leaves behind is whole: both are replaced, never changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
