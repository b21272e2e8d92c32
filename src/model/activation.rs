//! Names of non-linearities in `config.json`.

use crate::checkpoint::Config;
use crate::error::Result;
use crate::network::Activation;

/// The activation of a name.
pub(super) fn named(name: &str) -> Option<Activation> {
    Some(match name {
        "gelu" | "gelu_python" => Activation::Gelu,
        "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Activation::GeluTanh,
        "quick_gelu" => Activation::QuickGelu,
        "relu" => Activation::Relu,
        "relu2" => Activation::ReluSquared,
        "silu" | "swish" => Activation::Silu,
        _ => return None,
    })
}

/// The activation under `key`, or `default` where absent.
pub(super) fn activation(config: &Config, key: &str, default: &str) -> Result<Activation> {
    let name = config.text_opt(key)?.unwrap_or(default);
    named(name).ok_or_else(|| config.wrong(key, "gelu, gelu_new, quick_gelu, relu, relu2 or silu"))
}
