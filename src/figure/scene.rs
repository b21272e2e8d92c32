//! A picture as a list of shapes. One unit is one pixel at scale 1; y grows downwards.

use super::font::{self, Weight};
use crate::chart::color::Rgb;
use crate::chart::palette::Marker;
use crate::chart::raster::Raster;

/// A place: `[x, y]`.
pub type Point = [f64; 2];

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rect {
    pub x: f64,
    pub y: f64,
    pub w: f64,
    pub h: f64,
}

impl Rect {
    /// The rectangle with this upper left corner and size.
    pub const fn new(x: f64, y: f64, w: f64, h: f64) -> Self {
        Self { x, y, w, h }
    }

    pub fn right(&self) -> f64 {
        self.x + self.w
    }

    pub fn bottom(&self) -> f64 {
        self.y + self.h
    }

    pub fn center(&self) -> Point {
        [self.x + self.w / 2.0, self.y + self.h / 2.0]
    }

    /// True where `other` lies within this rectangle.
    pub fn contains(&self, other: &Self) -> bool {
        other.x >= self.x && other.right() <= self.right() && other.y >= self.y && other.bottom() <= self.bottom()
    }

    /// True where the rectangles have an area in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.x < other.right() && other.x < self.right() && self.y < other.bottom() && other.y < self.bottom()
    }

    /// Smaller by `by` on every side, never inside out; larger where `by` is negative.
    #[must_use]
    pub fn shrunk(&self, by: f64) -> Self {
        let (dx, dy) = (by.min(self.w / 2.0), by.min(self.h / 2.0));
        Self::new(self.x + dx, self.y + dy, self.w - 2.0 * dx, self.h - 2.0 * dy)
    }
}

/// A line's color and pattern.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stroke {
    pub color: Rgb,
    pub width: f64,
    /// Lengths of dash and gap; solid without.
    pub dash: Option<[f64; 2]>,
}

impl Stroke {
    pub fn solid(color: Rgb, width: f64) -> Self {
        Self { color, width, dash: None }
    }

    pub fn dashed(color: Rgb, width: f64) -> Self {
        Self { color, width, dash: Some([4.0, 3.0]) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fill {
    pub color: Rgb,
    /// 0 invisible to 1 solid.
    pub opacity: f64,
}

impl From<Rgb> for Fill {
    fn from(color: Rgb) -> Self {
        Self { color, opacity: 1.0 }
    }
}

/// Which part of a text lies at its place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Anchor {
    #[default]
    Start,
    Middle,
    End,
}

/// Which height of a text lies at its place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VerticalAlign {
    /// The line on which letters stand.
    #[default]
    Base,
    /// Half the height of a capital.
    Middle,
    /// The top of a capital.
    Top,
}

/// One line of text.
#[derive(Clone, Debug, PartialEq)]
pub struct Text {
    pub text: String,
    /// Where it is anchored.
    pub at: Point,
    pub size: f64,
    pub weight: Weight,
    pub color: Rgb,
    pub anchor: Anchor,
    pub level: VerticalAlign,
    /// Turned about its place by this many degrees, clockwise.
    pub turn: f64,
}

impl Text {
    /// Regular text that starts at `at` and stands on it.
    pub fn new(text: impl Into<String>, at: Point, size: f64, color: Rgb) -> Self {
        Self {
            text: text.into(),
            at,
            size,
            weight: Weight::Regular,
            color,
            anchor: Anchor::Start,
            level: VerticalAlign::Base,
            turn: 0.0,
        }
    }

    /// The same, anchored so.
    #[must_use]
    pub fn anchored(mut self, anchor: Anchor, level: VerticalAlign) -> Self {
        (self.anchor, self.level) = (anchor, level);
        self
    }

    #[must_use]
    pub fn bold(mut self) -> Self {
        self.weight = Weight::SemiBold;
        self
    }

    /// The same, turned clockwise.
    #[must_use]
    pub fn turned(mut self, degrees: f64) -> Self {
        self.turn = degrees;
        self
    }

    /// Width of the line.
    pub fn width(&self) -> f64 {
        font::width(&self.text, self.size, self.weight)
    }

    /// The rectangle that capitals fill, for text that is not turned.
    pub fn frame(&self) -> Rect {
        let (w, h) = (self.width(), self.size * font::CAP_HEIGHT);
        let left = match self.anchor {
            Anchor::Start => 0.0,
            Anchor::Middle => -w / 2.0,
            Anchor::End => -w,
        };
        let [x, y] = self.at;
        Rect::new(x + left, y + self.base_offset() - h, w, h)
    }

    /// How far the letters' base line lies below `at`.
    pub fn base_offset(&self) -> f64 {
        match self.level {
            VerticalAlign::Base => 0.0,
            VerticalAlign::Middle => self.size * font::CAP_HEIGHT / 2.0,
            VerticalAlign::Top => self.size * font::CAP_HEIGHT,
        }
    }
}

/// Something drawn; later items lie above earlier ones.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// Rectangles that look alike.
    Rects {
        rects: Vec<Rect>,
        fill: Option<Fill>,
        /// Outline, centered on the edge.
        stroke: Option<Stroke>,
        /// Radius of the corners.
        radius: f64,
    },
    /// Open lines that look alike.
    Lines {
        /// Corners of each line.
        lines: Vec<Vec<Point>>,
        stroke: Stroke,
    },
    Area {
        corners: Vec<Point>,
        fill: Fill,
    },
    /// Points that look alike.
    Marks {
        centers: Vec<Point>,
        marker: Marker,
        radius: f64,
        fill: Option<Fill>,
        stroke: Option<Stroke>,
    },
    /// One line of text.
    Text(Text),
    /// Pixels stretched over a rectangle without smoothing.
    Image {
        rect: Rect,
        raster: Raster,
    },
    /// Items that belong together.
    Group {
        /// Nothing outside is drawn.
        clip: Option<Rect>,
        /// Shown when the pointer rests on it.
        tip: Option<String>,
        items: Vec<Item>,
    },
}

/// Radius at which a marker looks as large as a circle of radius `r`, and its corners around the origin.
/// A circle has none.
pub fn marker_corners(marker: Marker, r: f64) -> Vec<Point> {
    match marker {
        Marker::Circle => Vec::new(),
        // Equal areas: side = r * sqrt(pi).
        Marker::Square => {
            let s = r * 0.886;
            vec![[-s, -s], [s, -s], [s, s], [-s, s]]
        }
        Marker::Diamond => {
            let s = r * 1.253;
            vec![[0.0, -s], [s, 0.0], [0.0, s], [-s, 0.0]]
        }
        Marker::Triangle => {
            let s = r * 1.1;
            vec![[0.0, -s * 1.2], [s * 1.25, s * 0.95], [-s * 1.25, s * 0.95]]
        }
        Marker::Wedge => {
            let s = r * 1.1;
            vec![[0.0, s * 1.2], [s * 1.25, -s * 0.95], [-s * 1.25, -s * 0.95]]
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Scene {
    pub width: f64,
    pub height: f64,
    pub background: Rgb,
    /// What it shows, for readers that do not see it.
    pub title: String,
    /// Width on paper in millimeters, where it was asked for.
    pub print_mm: Option<f64>,
    /// The shapes, lowest first.
    pub items: Vec<Item>,
}

impl Scene {
    pub fn new(width: f64, height: f64, background: Rgb, title: impl Into<String>) -> Self {
        Self { width, height, background, title: title.into(), print_mm: None, items: Vec::new() }
    }

    pub fn push(&mut self, item: Item) {
        self.items.push(item);
    }

    /// Draws a line of text.
    pub fn text(&mut self, text: Text) {
        if !text.text.is_empty() {
            self.items.push(Item::Text(text));
        }
    }

    /// Draws a line of text on a patch of color, so that what lies behind does not make it unreadable.
    pub fn text_on(&mut self, text: Text, paper: Rgb) {
        let fill = Some(Fill { color: paper, opacity: 0.85 });
        self.push(Item::Rects { rects: vec![text.frame().shrunk(-2.0)], fill, stroke: None, radius: 2.0 });
        self.text(text);
    }

    /// Draws filled rectangles with square corners.
    pub fn fill(&mut self, rects: Vec<Rect>, fill: impl Into<Fill>) {
        if !rects.is_empty() {
            self.items.push(Item::Rects { rects, fill: Some(fill.into()), stroke: None, radius: 0.0 });
        }
    }

    pub fn outline(&mut self, rect: Rect, stroke: Stroke) {
        self.items.push(Item::Rects { rects: vec![rect], fill: None, stroke: Some(stroke), radius: 0.0 });
    }

    /// Draws a line through `points`.
    pub fn line(&mut self, points: Vec<Point>, stroke: Stroke) {
        self.lines(vec![points], stroke);
    }

    /// Draws lines that look alike.
    pub fn lines(&mut self, lines: Vec<Vec<Point>>, stroke: Stroke) {
        if lines.iter().any(|line| line.len() > 1) {
            self.items.push(Item::Lines { lines, stroke });
        }
    }

    /// Draws points that look alike.
    pub fn marks(&mut self, centers: Vec<Point>, marker: Marker, radius: f64, fill: impl Into<Fill>) {
        if !centers.is_empty() {
            self.items.push(Item::Marks { centers, marker, radius, fill: Some(fill.into()), stroke: None });
        }
    }

    /// Every line of text in the picture, in drawing order.
    pub fn texts(&self) -> Vec<&Text> {
        fn collect<'a>(items: &'a [Item], out: &mut Vec<&'a Text>) {
            for item in items {
                match item {
                    Item::Text(text) => out.push(text),
                    Item::Group { items, .. } => collect(items, out),
                    _ => {}
                }
            }
        }
        let mut out = Vec::new();
        collect(&self.items, &mut out);
        out
    }
}
