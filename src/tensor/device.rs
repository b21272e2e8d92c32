//! Choosing where to compute.

use std::fmt;
use std::str::FromStr;

use candle_core::utils::{cuda_is_available, metal_is_available};
use candle_core::{DType, Device, Shape, Tensor};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::task::on_workers;

/// A wish for a device, as written after `--device`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum DeviceChoice {
    /// The fastest that this build and machine have.
    #[default]
    Auto,
    Cpu,
    /// An NVIDIA device by its number.
    Cuda(usize),
    Metal,
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(0) => f.write_str("cuda"),
            Self::Cuda(n) => write!(f, "cuda:{n}"),
            Self::Metal => f.write_str("metal"),
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::usage(format!("'{text}' is no device")).hint("choose auto, cpu, cuda, cuda:N or metal");
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            "metal" => Ok(Self::Metal),
            _ => text.strip_prefix("cuda:").and_then(|n| n.parse().ok()).map(Self::Cuda).ok_or_else(wrong),
        }
    }
}

impl From<DeviceChoice> for String {
    fn from(choice: DeviceChoice) -> Self {
        choice.to_string()
    }
}

impl TryFrom<String> for DeviceChoice {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

/// NVIDIA devices of this machine; the driver is asked, and no device is opened.
#[cfg(feature = "cuda")]
fn cuda_devices() -> usize {
    let count = candle_core::cuda_backend::cudarc::driver::CudaContext::device_count();
    count.ok().and_then(|n| usize::try_from(n).ok()).unwrap_or(0)
}

/// This build cannot use any.
#[cfg(not(feature = "cuda"))]
fn cuda_devices() -> usize {
    0
}

impl DeviceChoice {
    /// Every choice that this build and machine have: the automatic one, the processor, each graphics device.
    pub fn available() -> Vec<Self> {
        let graphics = (0..cuda_devices()).map(Self::Cuda).chain(metal_is_available().then_some(Self::Metal));
        [Self::Auto, Self::Cpu].into_iter().chain(graphics).collect()
    }

    /// Opens the device. Where `auto` finds a graphics device that cannot be opened, the processor is used, and the
    /// second value says so and why; in a build without graphics devices it has nothing to say.
    ///
    /// # Errors
    /// Where a device that was named cannot be had: an explicit choice has no fallback.
    pub fn open(self) -> Result<(Device, Option<String>)> {
        let found = match self {
            Self::Auto if cuda_is_available() => Self::Cuda(0).graphics(),
            Self::Auto if metal_is_available() => Self::Metal.graphics(),
            named => named.graphics(),
        };
        match found {
            Ok(device) => Ok((device, None)),
            Err(why) if self == Self::Auto => {
                Ok((Device::Cpu, Some(format!("{self}: {why}; the processor is used instead"))))
            }
            Err(why) => Err(Error::new(format!("{self}: {why}")).hint("give --device auto or cpu to use another")),
        }
    }

    /// The graphics device, or why there is none.
    fn graphics(self) -> std::result::Result<Device, String> {
        // A driver's report may have lines of its own; the first says what is the matter.
        let cannot = |e: candle_core::Error| {
            let text = e.to_string();
            format!("the device cannot be opened ({})", text.lines().next().unwrap_or("no reason given"))
        };
        match self {
            Self::Cuda(_) if !cuda_is_available() => {
                Err("this build has no CUDA (build with --features cuda)".to_owned())
            }
            Self::Metal if !metal_is_available() => {
                Err("this build has no Metal (build with --features metal)".to_owned())
            }
            Self::Cuda(n) => Device::new_cuda(n).map_err(cannot),
            Self::Metal => Device::new_metal(0).map_err(cannot),
            Self::Auto | Self::Cpu => Ok(Device::Cpu),
        }
    }
}

/// What to call a device in reports.
pub fn device_name(device: &Device) -> String {
    match device.location() {
        candle_core::DeviceLocation::Cpu => "cpu".to_owned(),
        candle_core::DeviceLocation::Cuda { gpu_id } => format!("cuda:{gpu_id}"),
        candle_core::DeviceLocation::Metal { .. } => "metal".to_owned(),
    }
}

/// `x` in f64 on the processor, in one transfer. Apple's devices have no f64, so it is the processor that widens.
pub fn to_f64(x: &Tensor) -> candle_core::Result<Tensor> {
    x.detach().to_device(&Device::Cpu)?.to_dtype(DType::F64)
}

/// All numbers of `x` in their order, as [`to_f64`] has them.
pub fn doubles(x: &Tensor) -> candle_core::Result<Vec<f64>> {
    to_f64(x)?.flatten_all()?.to_vec1()
}

/// `values` as `dtype` on `device`, narrowed by the processor.
pub fn constant(values: Vec<f64>, shape: impl Into<Shape>, dtype: DType, device: &Device) -> Result<Tensor> {
    Ok(Tensor::from_vec(values, shape.into(), &Device::Cpu)?.to_dtype(dtype)?.to_device(device)?)
}

/// Whether kernels of our own compute on `device`; on others candle's operations do.
pub fn has_kernels(device: &Device) -> bool {
    #[cfg(test)]
    if WITHOUT.get() {
        return false;
    }
    device.is_cpu()
}

#[cfg(test)]
thread_local! {
    static WITHOUT: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// What other devices do, done by this thread on the processor.
#[cfg(test)]
pub(crate) fn without_kernels<R>(run: impl FnOnce() -> R) -> R {
    struct Back;
    impl Drop for Back {
        fn drop(&mut self) {
            WITHOUT.set(false);
        }
    }
    let _back = Back;
    WITHOUT.set(true);
    run()
}

/// Does work on `device`: that of the processor among the threads of its kernels, as [`on_workers`] has it.
pub fn at_work<R: Send>(device: &Device, work: impl FnOnce() -> R + Send) -> R {
    if has_kernels(device) { on_workers(work) } else { work() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_named_as_on_the_command_line() {
        for text in ["auto", "cpu", "cuda", "cuda:1", "metal"] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap().to_string(), text);
        }
        assert!("gpu".parse::<DeviceChoice>().is_err());
    }

    #[test]
    fn what_is_offered_can_be_opened() {
        let all = DeviceChoice::available();
        assert_eq!(all[..2], [DeviceChoice::Auto, DeviceChoice::Cpu]);
        assert!(all.iter().all(|choice| choice.open().unwrap().1.is_none()), "{all:?}");
    }

    #[test]
    fn a_device_that_is_named_but_not_there_is_an_error() {
        let (device, why) = DeviceChoice::Cpu.open().unwrap();
        assert!(device.is_cpu() && why.is_none());
        // No machine has a thousand.
        for missing in [DeviceChoice::Cuda(1000), DeviceChoice::Metal] {
            if missing == DeviceChoice::Metal && metal_is_available() {
                continue;
            }
            let why = missing.open().unwrap_err().to_string();
            assert!(why.starts_with(&missing.to_string()) && why.lines().count() == 1, "{why}");
        }
    }
}
