//! The non-linearities of feed-forward layers.

/// A function of one number that feed-forward layers apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nonlinearity {
    /// Exact GELU, `x * Phi(x)`.
    Gelu,
    /// GELU by hyperbolic tangent.
    GeluTanh,
    /// `x * sigmoid(1.702 x)`.
    QuickGelu,
    /// The rectified linear unit `max(x, 0)`.
    Relu,
    /// The sigmoid linear unit `x * sigmoid(x)`.
    Silu,
}
