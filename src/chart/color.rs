//! sRGB colors, their perceptual coordinates and the contrast between them.

use strum::VariantArray;

use std::fmt;

/// An opaque color: sRGB bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rgb {
    /// Red, 0 to 255.
    pub r: u8,
    /// Green, 0 to 255.
    pub g: u8,
    /// Blue, 0 to 255.
    pub b: u8,
}

impl Rgb {
    pub const BLACK: Self = Self::new(0, 0, 0);
    pub const WHITE: Self = Self::new(255, 255, 255);

    /// The color with these sRGB bytes.
    pub const fn new(r: u8, g: u8, b: u8) -> Self {
        Self { r, g, b }
    }

    /// The color written `0xRRGGBB`.
    pub const fn hex(rgb: u32) -> Self {
        Self::new((rgb >> 16) as u8, (rgb >> 8) as u8, rgb as u8)
    }

    /// `[r, g, b, 255]`, one pixel of a texture.
    pub const fn rgba(self) -> [u8; 4] {
        [self.r, self.g, self.b, 255]
    }

    /// Light intensities in 0..=1, the sRGB transfer curve undone.
    pub fn linear(self) -> [f64; 3] {
        [self.r, self.g, self.b].map(|byte| {
            let c = f64::from(byte) / 255.0;
            if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
        })
    }

    /// The nearest color with these light intensities, clipped to 0..=1.
    pub fn from_linear(linear: [f64; 3]) -> Self {
        let [r, g, b] = linear.map(|c| {
            let c = c.clamp(0.0, 1.0);
            let s = if c <= 0.003_130_8 { 12.92 * c } else { 1.055 * c.powf(1.0 / 2.4) - 0.055 };
            (s * 255.0).round() as u8
        });
        Self::new(r, g, b)
    }

    /// Relative luminance in 0..=1 (WCAG 2.2, "relative luminance").
    pub fn luminance(self) -> f64 {
        let [r, g, b] = self.linear();
        0.2126 * r + 0.7152 * g + 0.0722 * b
    }

    /// Contrast ratio in 1..=21 (WCAG 2.2, "contrast ratio"); text needs 4.5, large text and marks need 3.
    pub fn contrast(self, other: Self) -> f64 {
        let (a, b) = (self.luminance(), other.luminance());
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    /// Black or white, whichever reads better on this color; the contrast is never below 4.58.
    pub fn ink(self) -> Self {
        if self.contrast(Self::BLACK) >= self.contrast(Self::WHITE) { Self::BLACK } else { Self::WHITE }
    }

    /// Lightness and the two opponent axes of Oklab (B. Ottosson, 2020).
    pub fn oklab(self) -> [f64; 3] {
        let [l, m, s] = apply(&OKLAB_FROM_LINEAR, self.linear()).map(f64::cbrt);
        apply(&OKLAB_FROM_CONES, [l, m, s])
    }

    /// Distance in Oklab; about 0.02 is just noticeable.
    pub fn distance(self, other: Self) -> f64 {
        let (a, b) = (self.oklab(), other.oklab());
        a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum::<f64>().sqrt()
    }

    /// This color with `share` in 0..=1 of `other` mixed in, by bytes.
    pub fn mix(self, other: Self, share: f64) -> Self {
        let blend = |a: u8, b: u8| (f64::from(a) + (f64::from(b) - f64::from(a)) * share.clamp(0.0, 1.0)).round() as u8;
        Self::new(blend(self.r, other.r), blend(self.g, other.g), blend(self.b, other.b))
    }

    /// How the color looks to a person with this vision.
    pub fn seen_by(self, vision: Vision) -> Self {
        match vision.matrix() {
            Some(matrix) => Self::from_linear(apply(matrix, self.linear())),
            None => self,
        }
    }
}

impl fmt::Display for Rgb {
    /// `#rrggbb`, as SVG and CSS read it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{:02x}{:02x}{:02x}", self.r, self.g, self.b)
    }
}

/// Kinds of color vision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, VariantArray)]
pub enum Vision {
    /// Three kinds of cone.
    Typical,
    Protanopia,
    Deuteranopia,
    Tritanopia,
}

impl Vision {
    pub const ALL: &[Self] = <Self as VariantArray>::VARIANTS;

    /// Machado, Oliveira and Fernandes (2009), severity 1, for linear sRGB.
    fn matrix(self) -> Option<&'static [[f64; 3]; 3]> {
        match self {
            Self::Typical => None,
            Self::Protanopia => Some(&[
                [0.152_286, 1.052_583, -0.204_868],
                [0.114_503, 0.786_281, 0.099_216],
                [-0.003_882, -0.048_116, 1.051_998],
            ]),
            Self::Deuteranopia => Some(&[
                [0.367_322, 0.860_646, -0.227_968],
                [0.280_085, 0.672_501, 0.047_413],
                [-0.011_820, 0.042_940, 0.968_881],
            ]),
            Self::Tritanopia => Some(&[
                [1.255_528, -0.076_749, -0.178_779],
                [-0.078_411, 0.930_809, 0.147_602],
                [0.004_733, 0.691_367, 0.303_900],
            ]),
        }
    }
}

const OKLAB_FROM_LINEAR: [[f64; 3]; 3] = [
    [0.412_221_470_8, 0.536_332_536_3, 0.051_445_992_9],
    [0.211_903_498_2, 0.680_699_545_1, 0.107_396_956_6],
    [0.088_302_461_9, 0.281_718_837_6, 0.629_978_700_5],
];

const OKLAB_FROM_CONES: [[f64; 3]; 3] = [
    [0.210_454_255_3, 0.793_617_785_0, -0.004_072_046_8],
    [1.977_998_495_1, -2.428_592_205_0, 0.450_593_709_9],
    [0.025_904_037_1, 0.782_771_766_2, -0.808_675_766_0],
];

fn apply(matrix: &[[f64; 3]; 3], v: [f64; 3]) -> [f64; 3] {
    matrix.map(|row| row[0] * v[0] + row[1] * v[1] + row[2] * v[2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contrast_matches_published_ratios() {
        // WCAG: black on white 21:1; #767676 is the lightest grey with 4.5:1 on white (4.54), #949494 for 3:1 (3.03).
        assert!((Rgb::BLACK.contrast(Rgb::WHITE) - 21.0).abs() < 1e-9);
        assert!((Rgb::hex(0x767676).contrast(Rgb::WHITE) - 4.54).abs() < 0.005);
        assert!((Rgb::WHITE.contrast(Rgb::hex(0x949494)) - 3.03).abs() < 0.005);
    }

    #[test]
    fn oklab_matches_published_values() {
        // B. Ottosson: sRGB red is (0.628, 0.225, 0.126), blue (0.452, -0.032, -0.312).
        for (color, lab) in [
            (Rgb::WHITE, [1.0, 0.0, 0.0]),
            (Rgb::hex(0xFF0000), [0.628, 0.225, 0.126]),
            (Rgb::hex(0x0000FF), [0.452, -0.032, -0.312]),
        ] {
            for (got, want) in color.oklab().into_iter().zip(lab) {
                assert!((got - want).abs() < 6e-4, "{color}: {got} is not {want}");
            }
        }
    }

    #[test]
    fn ink_is_always_legible() {
        for grey in 0..=255 {
            let color = Rgb::new(grey, grey, grey);
            assert!(color.contrast(color.ink()) >= 4.58, "{color}");
        }
    }

    #[test]
    fn linear_light_round_trips_every_byte() {
        for byte in 0..=255 {
            let color = Rgb::new(byte, 255 - byte, byte / 2);
            assert_eq!(Rgb::from_linear(color.linear()), color);
        }
    }

    #[test]
    fn color_blindness_keeps_greys_and_merges_confusion_colors() {
        for &vision in Vision::ALL {
            let grey = Rgb::new(120, 120, 120);
            assert!(grey.seen_by(vision).distance(grey) < 0.01);
        }
        let (red, green) = (Rgb::hex(0xC83C28), Rgb::hex(0x787828));
        let seen = |v| red.seen_by(v).distance(green.seen_by(v));
        assert!(seen(Vision::Deuteranopia) < 0.4 * seen(Vision::Typical));
    }

    #[test]
    fn mixing_reaches_both_ends() {
        let (a, b) = (Rgb::hex(0x102030), Rgb::hex(0xF0E0D0));
        assert_eq!((a.mix(b, 0.0), a.mix(b, 1.0), a.mix(b, 0.5)), (a, b, Rgb::hex(0x808080)));
    }
}
