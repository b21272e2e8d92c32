//! A scene as SVG 1.1: the only writer of pictures; PNG is drawn from its result.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::font::{self, Weight};
use super::scene::{Anchor, Fill, Item, Point, Rect, Scene, Stroke, Text, marker_corners};
use crate::chart::palette::Marker;
use crate::error::Result;

/// By what this program knows its own pictures.
pub(super) const MARK: &str = "pillars figure";

/// Image pixels per unit, at least: viewers that smooth small images then blur no more than a unit.
const PIXELS_PER_UNIT: f64 = 1.0;
/// Enlarged images stay below this many pixels a side.
const IMAGE_SIDE: usize = 2048;

/// The picture as one SVG document.
///
/// # Errors
/// Where an image of it cannot be encoded.
pub fn to_svg(scene: &Scene) -> Result<String> {
    let mut out = Writer { out: String::new(), clips: 0 };
    let (w, h) = (num(scene.width), num(scene.height));
    let sides = match scene.print_mm {
        Some(mm) => [format!("{}mm", num(mm)), format!("{}mm", num(mm * scene.height / scene.width))],
        None => [w.clone(), h.clone()],
    };
    out.put(&format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" xmlns:xlink=\"http://www.w3.org/1999/xlink\" width=\"{}\" \
         height=\"{}\" viewBox=\"0 0 {w} {h}\" role=\"img\" font-family=\"{}\">\n",
        sides[0],
        sides[1],
        font::FAMILIES
    ));
    out.put(&format!("<title>{}</title>\n<metadata>{MARK}</metadata>\n", escaped(&scene.title)));
    out.put(&format!("<rect width=\"{w}\" height=\"{h}\" fill=\"{}\"/>\n", scene.background));
    for item in &scene.items {
        out.item(item)?;
    }
    out.put("</svg>\n");
    Ok(out.out)
}

struct Writer {
    out: String,
    clips: usize,
}

impl Writer {
    fn put(&mut self, text: &str) {
        self.out.push_str(text);
    }

    fn item(&mut self, item: &Item) -> Result<()> {
        match item {
            Item::Rects { rects, fill, stroke, radius } => self.rects(rects, &look(*fill, *stroke), *radius),
            Item::Lines { lines, stroke } => self.lines(lines, stroke),
            Item::Area { corners, fill } => {
                let d = path(corners, true);
                self.put(&format!("<path d=\"{d}\"{}/>\n", look(Some(*fill), None)));
            }
            Item::Marks { centers, marker, radius, fill, stroke } => {
                self.marks(centers, *marker, *radius, &look(*fill, *stroke));
            }
            Item::Text(text) => self.text(text),
            Item::Image { rect, raster } => {
                let short = raster.width.max(raster.height).max(1);
                let wanted = (rect.w.max(rect.h) * PIXELS_PER_UNIT / short as f64).ceil() as usize;
                let data = raster.enlarged(wanted.clamp(1, (IMAGE_SIDE / short).max(1))).to_png()?;
                self.put(&format!(
                    "<image x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" preserveAspectRatio=\"none\" \
                     image-rendering=\"optimizeSpeed\" style=\"image-rendering:pixelated\" \
                     xlink:href=\"data:image/png;base64,{}\"/>\n",
                    num(rect.x),
                    num(rect.y),
                    num(rect.w),
                    num(rect.h),
                    BASE64.encode(&data)
                ));
            }
            Item::Group { clip, tip, items } => self.group(*clip, tip.as_deref(), items)?,
        }
        Ok(())
    }

    fn group(&mut self, clip: Option<Rect>, tip: Option<&str>, items: &[Item]) -> Result<()> {
        let mut attributes = String::new();
        if let Some(rect) = clip {
            self.clips += 1;
            let id = self.clips;
            self.put(&format!(
                "<clipPath id=\"clip{id}\"><rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/></clipPath>\n",
                num(rect.x),
                num(rect.y),
                num(rect.w),
                num(rect.h)
            ));
            attributes = format!(" clip-path=\"url(#clip{id})\"");
        }
        self.put(&format!("<g{attributes}>"));
        if let Some(tip) = tip {
            self.put(&format!("<title>{}</title>", escaped(tip)));
        }
        for item in items {
            self.item(item)?;
        }
        self.put("</g>\n");
        Ok(())
    }

    fn rects(&mut self, rects: &[Rect], look: &str, radius: f64) {
        if radius > 0.0 {
            for r in rects {
                let (x, y, w, h) = (num(r.x), num(r.y), num(r.w), num(r.h));
                let rx = num(radius);
                self.put(&format!("<rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" rx=\"{rx}\"{look}/>\n"));
            }
            return;
        }
        let mut d = String::new();
        for r in rects {
            let _ = write!(d, "M{} {}h{}v{}h{}z", num(r.x), num(r.y), num(r.w), num(r.h), num(-r.w));
        }
        self.put(&format!("<path d=\"{d}\"{look}/>\n"));
    }

    fn lines(&mut self, lines: &[Vec<Point>], stroke: &Stroke) {
        let d: String = lines.iter().filter(|line| line.len() > 1).map(|line| path(line, false)).collect();
        let look = look(None, Some(*stroke));
        self.put(&format!("<path d=\"{d}\"{look} stroke-linejoin=\"round\" stroke-linecap=\"round\"/>\n"));
    }

    fn marks(&mut self, centers: &[Point], marker: Marker, radius: f64, look: &str) {
        if marker == Marker::Circle {
            self.put(&format!("<g{look}>"));
            for [x, y] in centers {
                self.put(&format!("<circle cx=\"{}\" cy=\"{}\" r=\"{}\"/>", num(*x), num(*y), num(radius)));
            }
            self.put("</g>\n");
            return;
        }
        let corners = marker_corners(marker, radius);
        let d: String = centers
            .iter()
            .map(|[x, y]| {
                let moved: Vec<Point> = corners.iter().map(|[dx, dy]| [x + dx, y + dy]).collect();
                path(&moved, true)
            })
            .collect();
        self.put(&format!("<path d=\"{d}\"{look} stroke-linejoin=\"round\"/>\n"));
    }

    fn text(&mut self, text: &Text) {
        let [x, y] = text.at;
        let anchor = match text.anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        let weight = if text.weight == Weight::SemiBold { " font-weight=\"600\"" } else { "" };
        let turn = if text.turn == 0.0 {
            String::new()
        } else {
            format!(" transform=\"rotate({} {} {})\"", num(text.turn), num(x), num(y))
        };
        self.put(&format!(
            "<text x=\"{}\" y=\"{}\" font-size=\"{}\" fill=\"{}\"{anchor}{weight}{turn} xml:space=\"preserve\">{}</text>\n",
            num(x),
            num(y + text.base_offset()),
            num(text.size),
            text.color,
            escaped(&text.text)
        ));
    }
}

/// Fill and stroke attributes, each with a space before it.
fn look(fill: Option<Fill>, stroke: Option<Stroke>) -> String {
    let mut out = match fill {
        Some(fill) if fill.opacity < 1.0 => format!(" fill=\"{}\" fill-opacity=\"{}\"", fill.color, num(fill.opacity)),
        Some(fill) => format!(" fill=\"{}\"", fill.color),
        None => " fill=\"none\"".to_owned(),
    };
    if let Some(stroke) = stroke {
        let _ = write!(out, " stroke=\"{}\" stroke-width=\"{}\"", stroke.color, num(stroke.width));
        if let Some([dash, gap]) = stroke.dash {
            let _ = write!(out, " stroke-dasharray=\"{} {}\"", num(dash), num(gap));
        }
    }
    out
}

fn path(points: &[Point], closed: bool) -> String {
    let mut d = String::new();
    for (i, [x, y]) in points.iter().enumerate() {
        let _ = write!(d, "{}{} {}", if i == 0 { 'M' } else { 'L' }, num(*x), num(*y));
    }
    if closed {
        d.push('Z');
    }
    d
}

/// A coordinate with at most two decimals; what is not finite becomes 0, since SVG has no word for it.
fn num(value: f64) -> String {
    if !value.is_finite() {
        return "0".to_owned();
    }
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// Text for XML 1.0, which cannot hold most control characters at all.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' | '\r' => out.push(' '),
            '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_finite() {
        for (value, text) in [(1.0, "1"), (1.25, "1.25"), (1.0 / 3.0, "0.33"), (-0.001, "0"), (f64::NAN, "0")] {
            assert_eq!(num(value), text);
        }
    }

    #[test]
    fn text_survives_as_xml() {
        assert_eq!(escaped("a<b & \"c\"\u{1}\n"), "a&lt;b &amp; &quot;c&quot;\u{fffd} ");
    }
}
