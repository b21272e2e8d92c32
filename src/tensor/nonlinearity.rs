//! The non-linearities of feed-forward layers.

#[derive(Clone, Copy, Debug)]
pub(super) enum Nonlinearity {
    Gelu,
    GeluTanh,
    QuickGelu,
    Relu,
    Silu,
}
