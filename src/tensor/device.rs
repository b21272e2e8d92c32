//! Choosing where to compute.

use std::fmt;
use std::str::FromStr;

use candle_core::Device;
use candle_core::utils::{cuda_is_available, metal_is_available};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A wish for a device, as written after `--device`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum DeviceChoice {
    /// The fastest that this build and machine have.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// An NVIDIA device by its number.
    Cuda(usize),
    /// The Apple device.
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

impl DeviceChoice {
    /// Opens the device. `auto` falls back to the processor and then says why in the second value, where this
    /// build could have used something faster.
    pub fn open(self) -> Result<(Device, Option<String>)> {
        match self {
            Self::Cpu => Ok((Device::Cpu, None)),
            Self::Cuda(_) if !cuda_is_available() => {
                Err(Error::new("this build has no CUDA").hint("build with --features cuda, or use --device cpu"))
            }
            Self::Cuda(n) => {
                let opened = Device::new_cuda(n).map_err(|e| Error::from(e).hint("use --device cpu"))?;
                Ok((opened, None))
            }
            Self::Metal if !metal_is_available() => {
                Err(Error::new("this build has no Metal").hint("build with --features metal, or use --device cpu"))
            }
            Self::Metal => {
                let opened = Device::new_metal(0).map_err(|e| Error::from(e).hint("use --device cpu"))?;
                Ok((opened, None))
            }
            Self::Auto => {
                let faster = if cuda_is_available() {
                    Some(Device::new_cuda(0))
                } else if metal_is_available() {
                    Some(Device::new_metal(0))
                } else {
                    None
                };
                Ok(match faster {
                    None => (Device::Cpu, None),
                    Some(Ok(device)) => (device, None),
                    Some(Err(error)) => {
                        let why = Error::from(error);
                        (Device::Cpu, Some(format!("the graphics device cannot be used ({why}), so the processor is")))
                    }
                })
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_named_as_on_the_command_line() {
        for text in ["auto", "cpu", "cuda", "cuda:1", "metal"] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap().to_string(), text);
        }
        assert!("gpu".parse::<DeviceChoice>().is_err());
        assert!(DeviceChoice::Cpu.open().is_ok_and(|(d, why)| d.is_cpu() && why.is_none()));
    }
}
