//! A picture with its numbers, and the files that they become.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use resvg::{tiny_skia, usvg};
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr};

use super::font::{self, SMALL};
use super::scene::Scene;
use super::svg::{MARK, to_svg};
use crate::chart::Theme;
use crate::chart::raster::Raster;
use crate::chart::table::Table;
use crate::checkpoint::{FileKind, OutFile, write_atomically};
use crate::error::{Error, Result};

/// A picture and the numbers that it shows.
#[derive(Clone)]
pub struct Figure {
    pub scene: Scene,
    /// Numbers can outweigh their picture by far: attention over a long text has millions. They wait until asked for.
    numbers: Arc<dyn Fn() -> Table + Send + Sync>,
}

impl fmt::Debug for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Figure").field("scene", &self.scene).finish_non_exhaustive()
    }
}

/// Kinds of file that a figure can become.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr)]
#[strum(serialize_all = "lowercase", parse_err_ty = Error, parse_err_fn = unknown_format)]
pub enum FigureFormat {
    /// Shapes and text, for papers and editing.
    Svg,
    Png,
    Csv,
}

impl FigureFormat {
    /// The file extension, without the dot.
    pub fn extension(self) -> &'static str {
        self.into()
    }

    /// The format that the extension of `path` names.
    ///
    /// # Errors
    /// A wrong request where it names none.
    pub fn of(path: &Path) -> Result<Self> {
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        extension.parse().map_err(|e: Error| e.at(path))
    }
}

fn unknown_format(text: &str) -> Error {
    Error::usage(if text.is_empty() {
        "the figure's file name has no extension".to_owned()
    } else {
        format!("'{text}' is no format of figures")
    })
    .hint("end the name in .svg, .png or .csv")
}

/// PNG pixels for each unit of a scene, unless asked otherwise: sharp on dense screens and in print.
pub const DEFAULT_SCALE: f64 = 2.0;

/// How large a picture is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum PictureSize {
    /// As on the screen: a pixel for each unit of an SVG, two of a PNG.
    #[default]
    Screen,
    /// As wide as a column of a paper of two, 85 mm.
    Column,
    /// As wide as the text of a page, 170 mm.
    Page,
    /// So that labels have this many points, as far as a page has room.
    Text(f64),
}

impl PictureSize {
    /// The widest that a picture may be laid out, in units of its scene, for its text to be read in print; `None` where it is not
    /// printed.
    pub(super) fn widest(self) -> Option<f64> {
        let units = |mm: f64, unit_points: f64| Some(mm / MM_PER_POINT / unit_points);
        match self {
            Self::Screen => None,
            Self::Column => units(COLUMN_MM, LEAST_POINTS / SMALL),
            Self::Page => units(PAGE_MM, LEAST_POINTS / SMALL),
            Self::Text(points) => units(WIDEST_MM, points / font::LABEL),
        }
    }
}

/// What a picture is drawn on: colors, and the width that there is, in units of a scene; its own where nothing is said.
#[derive(Clone, Copy, Debug)]
pub struct Sheet<'a> {
    pub theme: &'a Theme,
    pub width: Option<f64>,
}

impl<'a> From<&'a Theme> for Sheet<'a> {
    fn from(theme: &'a Theme) -> Self {
        Self { theme, width: None }
    }
}

impl Sheet<'_> {
    /// The width of a picture that takes `own` where there is room.
    pub(super) fn within(&self, own: f64) -> f64 {
        self.width.map_or(own, |most| own.min(most.floor())).max(NARROWEST)
    }
}

/// Narrower than this, no picture has room for its words.
const NARROWEST: f64 = 320.0;

const COLUMN_MM: f64 = 85.0;
const PAGE_MM: f64 = 170.0;
/// Wider than this no picture is printed: what a page has room for.
const WIDEST_MM: f64 = 174.0;
/// Points of the smallest text in a picture that is as wide as a column or a page.
const LEAST_POINTS: f64 = 7.0;
const MM_PER_INCH: f64 = 25.4;
const MM_PER_POINT: f64 = MM_PER_INCH / 72.0;
/// Pixels of a PNG for each inch on paper.
const PRINT_DPI: f64 = 300.0;

/// Most pixels of a PNG: half a gigabyte while it is drawn.
const MAX_PIXELS: f64 = (1u64 << 27) as f64;

impl Figure {
    /// A picture whose numbers `table` gives.
    pub fn new(scene: Scene, table: impl Fn() -> Table + Send + Sync + 'static) -> Self {
        Self { scene, numbers: Arc::new(table) }
    }

    pub fn table(&self) -> Table {
        (self.numbers)()
    }

    /// The same in this size, with the pixels of a PNG for each unit.
    #[must_use]
    pub fn sized(mut self, size: PictureSize) -> (Self, f64) {
        let mm = match size {
            PictureSize::Screen => return (self, DEFAULT_SCALE),
            PictureSize::Column => COLUMN_MM,
            PictureSize::Page => PAGE_MM,
            PictureSize::Text(points) => (self.scene.width * points * MM_PER_POINT / font::LABEL).min(WIDEST_MM),
        };
        self.scene.print_mm = Some(mm);
        let scale = mm / MM_PER_INCH * PRINT_DPI / self.scene.width;
        (self, scale)
    }

    /// The contents of a file of this format. `scale` is PNG pixels per unit of the scene; the others ignore it.
    ///
    /// # Errors
    /// Where `scale` is not positive or makes the picture too large.
    pub fn to_bytes(&self, format: FigureFormat, scale: f64) -> Result<Vec<u8>> {
        match format {
            FigureFormat::Svg => Ok(to_svg(&self.scene)?.into_bytes()),
            FigureFormat::Png => Ok(marked(self.to_raster(scale)?.to_png()?)),
            FigureFormat::Csv => Ok(self.table().to_csv().into_bytes()),
        }
    }

    /// The picture as pixels, `scale` of them for each unit.
    ///
    /// # Errors
    /// Where `scale` is not positive or makes the picture too large.
    pub fn to_raster(&self, scale: f64) -> Result<Raster> {
        if !(scale.is_finite() && scale > 0.0) {
            return Err(Error::usage(format!("a picture cannot be drawn at scale {scale}")));
        }
        let (width, height) = ((self.scene.width * scale).ceil().max(1.0), (self.scene.height * scale).ceil().max(1.0));
        if width * height > MAX_PIXELS {
            return Err(Error::usage(format!("a picture of {width} x {height} pixels is too large"))
                .hint("lower the scale, or write SVG"));
        }
        let failed = |what: &dyn fmt::Display| Error::new(format!("the picture could not be drawn: {what}"));
        let options = usvg::Options {
            fontdb: font::DATABASE.clone(),
            font_family: "Inter".to_owned(),
            ..usvg::Options::default()
        };
        let tree = usvg::Tree::from_str(&to_svg(&self.scene)?, &options).map_err(|e| failed(&e))?;
        let mut pixmap =
            tiny_skia::Pixmap::new(width as u32, height as u32).ok_or_else(|| failed(&"not enough memory"))?;
        // The last pixel of a fractional size would otherwise stay half transparent.
        let paper = self.scene.background;
        pixmap.fill(tiny_skia::Color::from_rgba8(paper.r, paper.g, paper.b, 255));
        // A size on paper makes the document larger or smaller than the scene is in units.
        let across = (self.scene.width * scale) as f32 / tree.size().width();
        resvg::render(&tree, tiny_skia::Transform::from_scale(across, across), &mut pixmap.as_mut());
        // All pixels are opaque, so premultiplied and plain bytes are the same.
        Ok(Raster { width: pixmap.width() as usize, height: pixmap.height() as usize, rgba: pixmap.take() })
    }
}

/// A PNG with our mark in a text chunk behind its first chunk, the header, which has 25 bytes.
fn marked(png: Vec<u8>) -> Vec<u8> {
    const HEADER_END: usize = 8 + 25;
    let chunk = [b"tEXtSoftware\0", MARK.as_bytes()].concat();
    let length = (chunk.len() - 4) as u32;
    let Some((header, rest)) = png.split_at_checked(HEADER_END) else { return png };
    [header, &length.to_be_bytes(), &chunk, &crc32fast::hash(&chunk).to_be_bytes(), rest].concat()
}

/// Claims `path` for `figure`, in the format that its extension names; `inputs` are what the command reads.
///
/// # Errors
/// As [`OutFile::claim`], and for other extensions. A table may replace one of the same columns.
pub fn claim(figure: &Figure, path: &Path, inputs: &[&Path]) -> Result<OutFile> {
    claim_of(|| Ok(figure.table()), path, inputs)
}

/// [`claim`] before there is a figure: `table` gives its numbers, and is asked only where there is a table to replace.
///
/// # Errors
/// As of [`claim`], and those of `table`.
pub fn claim_of(table: impl FnOnce() -> Result<Table>, path: &Path, inputs: &[&Path]) -> Result<OutFile> {
    // Names of columns alone: the rows of a picture can be millions.
    let header = |table: Table| Table::new(table.columns().to_vec()).to_csv().lines().next().map(str::to_owned);
    let kind = match FigureFormat::of(path)? {
        FigureFormat::Svg => FileKind::Marked(b"<svg ", MARK.as_bytes()),
        FigureFormat::Png => FileKind::Marked(b"\x89PNG", MARK.as_bytes()),
        FigureFormat::Csv if path.exists() => FileKind::Table(header(table()?).unwrap_or_default()),
        FigureFormat::Csv => FileKind::Table(String::new()),
    };
    OutFile::claim(path, kind, inputs)
}

/// Writes a figure in the format that the extension of `path` names (`svg`, `png` or `csv`); a reader sees the old
/// file or the whole new one. `scale` is PNG pixels per unit, see [`DEFAULT_SCALE`].
///
/// # Errors
/// A wrong request for other extensions and impossible scales; otherwise where the file cannot be written.
pub fn write(figure: &Figure, path: &Path, scale: f64) -> Result<()> {
    let bytes = figure.to_bytes(FigureFormat::of(path)?, scale).map_err(|e| e.at(path))?;
    write_atomically(path, &bytes)
}

#[cfg(test)]
mod tests {
    use super::super::scene::{Anchor, Fill, Item, Rect, Stroke, Text, VerticalAlign};
    use super::*;
    use crate::chart::color::Rgb;
    use crate::chart::palette::Marker;
    use crate::error::ErrorKind;

    #[test]
    fn sizes_on_paper_are_those_that_were_asked_for() {
        let figure = sample();
        // 85 mm at 300 dots per inch are 1004 pixels; the scene is 40 units wide and 20 high.
        let (column, scale) = figure.clone().sized(PictureSize::Column);
        let svg = to_svg(&column.scene).unwrap();
        assert!(svg.contains("width=\"85mm\"") && svg.contains("height=\"42.5mm\""), "{svg}");
        let raster = column.to_raster(scale).unwrap();
        assert_eq!((raster.width, raster.height), (1004, 502));
        // What is drawn fills the pixels: the red cell is a quarter of the width.
        assert_eq!(raster.pixel(250, 0), figure.to_raster(1.0).unwrap().pixel(9, 0));
        assert_ne!(raster.pixel(252, 0), raster.pixel(250, 0));
        // Labels of 11 units in 8 points: a unit is 8/11 of a point.
        let (text, _) = figure.clone().sized(PictureSize::Text(8.0));
        assert!((text.scene.print_mm.unwrap() - 40.0 * 8.0 / 11.0 / 72.0 * 25.4).abs() < 1e-9);
        // A page has an end.
        let (large, _) = figure.clone().sized(PictureSize::Text(1e3));
        assert_eq!(large.scene.print_mm, Some(174.0));
        let (screen, scale) = figure.sized(PictureSize::Screen);
        assert_eq!((screen.scene.print_mm, scale), (None, DEFAULT_SCALE));
    }

    fn sample() -> Figure {
        let red = Rgb::hex(0xFF0000);
        let mut scene = Scene::new(40.0, 20.0, Rgb::WHITE, "a <test> & more");
        scene.fill(vec![Rect::new(0.0, 0.0, 10.0, 10.0)], red);
        let raster = Raster::from_fn(1, 2, |_, c| if c == 0 { Rgb::hex(0x00FF00) } else { Rgb::hex(0x0000FF) });
        scene.push(Item::Image { rect: Rect::new(20.0, 0.0, 20.0, 10.0), raster });
        scene.push(Item::Group {
            clip: Some(Rect::new(0.0, 10.0, 5.0, 10.0)),
            tip: Some("\u{0}tip".to_owned()),
            items: vec![Item::Area {
                corners: vec![[0.0, 10.0], [20.0, 10.0], [20.0, 20.0], [0.0, 20.0]],
                fill: Fill { color: Rgb::BLACK, opacity: 0.5 },
            }],
        });
        for &marker in Marker::ALL {
            scene.marks(vec![[15.0, 15.0], [16.0, 15.0]], marker, 1.0, red);
        }
        scene.line(vec![[0.0, 19.0], [1.0, f64::NAN]], Stroke::dashed(red, 1.0));
        scene.text(
            Text::new("Ω & <", [30.0, 18.0], 8.0, Rgb::BLACK).bold().anchored(Anchor::Middle, VerticalAlign::Middle),
        );
        Figure::new(scene, || {
            let mut table = Table::new(["x"]);
            table.push([1usize.into()]);
            table
        })
    }

    #[test]
    fn svg_is_read_by_another_parser() {
        let svg = to_svg(&sample().scene).unwrap();
        let options = usvg::Options { fontdb: font::DATABASE.clone(), ..usvg::Options::default() };
        let tree = usvg::Tree::from_str(&svg, &options).unwrap();
        assert_eq!((tree.size().width(), tree.size().height()), (40.0, 20.0));
        assert!(svg.contains("<title>a &lt;test&gt; &amp; more</title>"));
        assert_eq!(to_svg(&sample().scene).unwrap(), svg);
    }

    #[test]
    fn png_draws_shapes_images_and_clips_where_they_belong() {
        let raster = sample().to_raster(2.0).unwrap();
        assert_eq!((raster.width, raster.height), (80, 40));
        assert_eq!(raster.pixel(10, 10), Some(Rgb::hex(0xFF0000)));
        assert_eq!(raster.pixel(30, 10), Some(Rgb::WHITE));
        // Nearest: the image has no pixel between its two colors.
        for x in 41..59 {
            assert_eq!(raster.pixel(x, 10), Some(Rgb::hex(0x00FF00)), "{x}");
            assert_eq!(raster.pixel(x + 20, 10), Some(Rgb::hex(0x0000FF)), "{x}");
        }
        let grey = raster.pixel(5, 30).unwrap();
        assert!((126..=129).contains(&grey.r) && grey.r == grey.g, "{grey}");
        assert_eq!(raster.pixel(16, 30), Some(Rgb::WHITE), "outside the clip");
        // Text is drawn: some dark pixels where it stands.
        let dark = (50..70).flat_map(|x| (25..39).map(move |y| (x, y)));
        assert!(dark.filter(|(x, y)| raster.pixel(*x, *y).is_some_and(|c| c.luminance() < 0.2)).count() > 20);
        assert!(raster.rgba.chunks(4).all(|p| p[3] == 255));
    }

    #[test]
    fn the_extension_decides() {
        let folder = tempfile::tempdir().unwrap();
        for (name, start) in [("a.svg", &b"<svg "[..]), ("b.PNG", b"\x89PNG"), ("c.csv", b"x\r\n1\r\n")] {
            let path = folder.path().join(name);
            write(&sample(), &path, 1.0).unwrap();
            assert!(std::fs::read(&path).unwrap().starts_with(start), "{name}");
            drop(claim(&sample(), &path, &[]).unwrap());
            std::fs::write(&path, start).unwrap();
            assert_eq!(claim(&sample(), &path, &[]).is_ok(), name == "c.csv", "{name}");
        }
        for name in ["d.pdf", "e", ".svg"] {
            let error = write(&sample(), &folder.path().join(name), 1.0).unwrap_err();
            assert!(error.kind() == ErrorKind::Usage && error.to_string().contains(".svg, .png or .csv"), "{error}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    #[test]
    fn impossible_sizes_are_refused() {
        for scale in [0.0, -1.0, f64::NAN, 1e9] {
            assert!(sample().to_raster(scale).is_err(), "{scale}");
        }
    }
}
