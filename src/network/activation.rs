//! Non-linearities.

use serde::Serialize;

/// Non-linearities of the supported families.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Activation {
    /// Exact GELU (error function).
    Gelu,
    /// GELU by hyperbolic tangent (`gelu_new`, `gelu_pytorch_tanh`).
    GeluTanh,
    /// `x * sigmoid(1.702 x)`.
    QuickGelu,
    /// Rectified linear: `max(x, 0)`.
    Relu,
    /// Rectified linear, squared: `max(x, 0)^2` (Nemotron).
    ReluSquared,
    /// The sigmoid linear unit `x * sigmoid(x)`.
    Silu,
    /// Hyperbolic tangent, of poolers.
    Tanh,
    /// None at all, of projectors.
    Linear,
}
