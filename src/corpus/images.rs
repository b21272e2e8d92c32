//! A folder of images, made into what a vision model reads by its `preprocessor_config.json`.

use std::path::{Path, PathBuf};

use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader};
use rayon::prelude::*;
use serde_json::Value;

use super::example::{Example, SourceContent};
use super::intake::{ImageSizes, Intake, SourceKind};
use super::origin::{Examples, Origin, Total};
use super::resample::{Filter, RgbImage};
use super::task_intake::TaskIntake;
use crate::checkpoint::{Config, read_file};
use crate::error::{Error, Result};
use crate::network::ProblemType;
use crate::task::Ticket;
use crate::words::counted;

/// Images decoded at a time, on all cores.
const GROUP: usize = 16;

/// Bytes of the largest image that is read, decoded.
const LARGEST: u64 = 512 << 20;
/// Endings of images that are read.
pub(super) const ENDINGS: [&str; 3] = ["png", "jpg", "jpeg"];

/// The files of a folder, in the order of their names.
pub(super) struct Images {
    files: Vec<PathBuf>,
    processor: Processor,
    /// The class of each file, where folders are named after those of the model.
    labels: Option<Vec<u32>>,
    notes: Vec<String>,
}

impl Images {
    /// Finds the files and reads their headers, so that what is no image is named before the work begins.
    pub(super) fn open(folder: &Path, model: &Path, intake: &Intake, ticket: &Ticket) -> Result<Self> {
        let SourceKind::Pixels { shape, sizes } = intake.source else {
            return Err(Error::usage("images are for vision models, which this is not").hint("give --text"));
        };
        let processor = Processor::read(&model.join("preprocessor_config.json"), shape, sizes)?;
        let (mut files, classes) = files_in(folder, &ENDINGS)?;
        for class in &classes {
            files.extend(files_in(class, &ENDINGS)?.0);
        }
        files.sort();
        if files.is_empty() {
            return Err(Error::new("the folder holds no PNG or JPEG file, and no folder in it does").at(folder));
        }
        ticket.stage("check images", Some(files.len() as u64), "images");
        for file in &files {
            let reader = reader(file)?;
            let is_jpeg = reader.format() == Some(ImageFormat::Jpeg);
            reader.into_dimensions().map_err(|e| unreadable(&e, file))?;
            if is_jpeg && !has_end(&read_file(file).map_err(|e| unreadable(&e, file))?) {
                return Err(unreadable(&"it is cut short", file));
            }
            ticket.advance(1)?;
        }
        let (labels, mut notes) = labels(&files, folder, &classes, intake)?;
        if sizes == ImageSizes::Stretched && processor.shape != shape {
            let [_, height, width] = processor.shape;
            notes.push(format!(
                "images are read at {height} x {width}, as preprocessor_config.json says: positions made for {} x {} are interpolated",
                shape[1], shape[2]
            ));
        }
        notes.extend(left_out(folder, &classes, &ENDINGS)?);
        Ok(Self { files, processor, labels, notes })
    }
}

impl Origin for Images {
    fn examples(&self) -> Result<Examples> {
        let (files, processor, labels) = (self.files.clone(), self.processor.clone(), self.labels.clone());
        let groups = (0..files.len()).step_by(GROUP).flat_map(move |from| {
            let group = files.get(from..(from + GROUP).min(files.len())).unwrap_or(&[]);
            let mut examples: Vec<_> = group.par_iter().map(|file| example(file, &processor)).collect();
            for (at, example) in (from..).zip(examples.iter_mut().flatten()) {
                example.labels = labels.as_ref().and_then(|labels| Some(vec![Some(*labels.get(at)?)]));
            }
            examples
        });
        Ok(Box::new(groups))
    }

    fn sequences(&self) -> Option<Total> {
        Some(Total::Exact(self.files.len() as u64))
    }

    fn longest(&self) -> usize {
        0
    }

    fn files(&self) -> Vec<PathBuf> {
        self.files.clone()
    }

    fn describe(&self) -> String {
        let [_, height, width] = self.processor.shape;
        format!("{} as {height} x {width}", counted(self.files.len(), "images"))
    }

    fn notes(&self) -> Vec<String> {
        let note = "the model has no preprocessor_config.json: images are resized (bilinear) and scaled to -1..1";
        let usual = self.processor.is_default.then(|| note.to_owned());
        usual.into_iter().chain(self.notes.iter().cloned()).collect()
    }

    fn image(&self) -> Option<[usize; 3]> {
        Some(self.processor.shape)
    }
}

/// The class that a folder is named after, where the model has it.
pub(super) fn class_of(task: &TaskIntake, folder: &Path) -> Option<u32> {
    let name = folder.file_name()?.to_string_lossy();
    task.labels.find(&name).or_else(|| task.labels.find(&name.replace('_', " ")))
}

/// The class of each file by the name of its folder, and what to say of that. Where no folder is named after a class there are
/// no labels, as for a model without classes.
fn labels(
    files: &[PathBuf],
    folder: &Path,
    classes: &[PathBuf],
    intake: &Intake,
) -> Result<(Option<Vec<u32>>, Vec<String>)> {
    if let Some(why) = intake.unlabeled().filter(|_| !classes.is_empty()) {
        return Ok((None, vec![format!("the names of folders are not used as labels: {why}")]));
    }
    let one = |task: &&TaskIntake| task.problem == ProblemType::SingleLabel;
    let Some(task) = intake.task.as_ref().filter(one) else { return Ok((None, Vec::new())) };
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let class = |path: &Path| class_of(task, path);
    if !classes.iter().any(|path| class(path).is_some()) {
        let known = task.labels.names().iter().take(4).map(String::as_str).collect::<Vec<_>>().join(", ");
        let note = format!("no folder is named after a class of the model ({known}, ..), so nothing is scored");
        return Ok((None, vec![note]));
    }
    let label = |file: &PathBuf| {
        let parent = file.parent().filter(|parent| *parent != folder);
        let parent = parent.ok_or_else(|| Error::new("the image lies in no folder of a class").at(file))?;
        class(parent).ok_or_else(|| {
            Error::new(format!("the model has no label '{}'", name(parent)))
                .at(parent)
                .hint("name folders as id2label does")
        })
    };
    Ok((Some(files.iter().map(label).collect::<Result<_>>()?), Vec::new()))
}

/// Files of a folder with one of these endings, and the folders in it: one for each class.
pub(super) fn files_in(folder: &Path, endings: &[&str]) -> Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let named = |e: std::io::Error| Error::from(e).at(folder);
    let (mut files, mut folders) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(folder).map_err(named)? {
        let entry = entry.map_err(named)?;
        let path = entry.path();
        let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
        if path.is_dir() && !entry.file_name().to_string_lossy().starts_with('.') {
            folders.push(path);
        } else if endings.iter().any(|known| ending == *known) && path.is_file() {
            files.push(path);
        }
    }
    Ok((files, folders))
}

/// What to say of files in `folder` and its folders that have none of these endings: what a person may take to be read.
pub(super) fn left_out(folder: &Path, classes: &[PathBuf], endings: &[&str]) -> Result<Option<String>> {
    let (mut count, mut first) = (0u64, None);
    for place in std::iter::once(folder).chain(classes.iter().map(PathBuf::as_path)) {
        let named = |e: std::io::Error| Error::from(e).at(place);
        for entry in std::fs::read_dir(place).map_err(named)? {
            let path = entry.map_err(named)?.path();
            let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
            let is_hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
            // Folders within those of classes are not entered.
            let is_read = if path.is_dir() { place == folder } else { endings.iter().any(|known| ending == *known) };
            if is_hidden || is_read {
                continue;
            }
            count += 1;
            let name = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
            first = Some(first.map_or(name.clone(), |known: String| known.min(name)));
        }
    }
    Ok(first.map(|first| {
        let more = if count > 1 { ", .." } else { "" };
        format!("{} of other endings than {} not read ({first}{more})", counted(count, "files"), endings.join(", "))
    }))
}

/// Whether a JPEG goes on to its end marker. Decoders fill what is missing with grey.
fn has_end(bytes: &[u8]) -> bool {
    const END: u8 = 0xd9;
    let mut at = 2;
    loop {
        // Markers may have fill bytes before them, and numbers of the scan run up to the next marker.
        let Some(found) = bytes.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == 0xff)) else {
            return false;
        };
        at += found + 1;
        match bytes.get(at) {
            None => return false,
            Some(&END) => return true,
            // A stuffed byte, a restart, or another fill byte: no segment follows.
            Some(0 | 0xd0..=0xd8 | 0x01) => at += 1,
            Some(0xff) => {}
            // A segment, which may hold a picture of its own.
            Some(_) => {
                let Some(length) = bytes.get(at + 1..at + 3) else { return false };
                at += 1 + (usize::from(length[0]) << 8 | usize::from(length[1])).max(2);
            }
        }
    }
}

fn unreadable(error: &dyn std::fmt::Display, file: &Path) -> Error {
    Error::new(format!("cannot read the image: {error}")).at(file).hint("remove it from the folder or convert it")
}

fn reader(file: &Path) -> Result<ImageReader<std::io::BufReader<std::fs::File>>> {
    // The content says what it is, whatever the name says.
    ImageReader::open(file).and_then(ImageReader::with_guessed_format).map_err(|e| unreadable(&e, file))
}

/// The image in a file, upright. What its header claims is held against [`LARGEST`] before memory is asked for.
fn decoded(file: &Path) -> Result<DynamicImage> {
    let wrong = |e: image::ImageError| unreadable(&e, file);
    let mut decoder = reader(file)?.into_decoder().map_err(wrong)?;
    if decoder.total_bytes() > LARGEST {
        let (width, height) = decoder.dimensions();
        let what = format!("it claims {width} x {height} pixels, more than the {} MiB that are read", LARGEST >> 20);
        return Err(unreadable(&what, file));
    }
    let orientation = decoder.orientation().map_err(wrong)?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(wrong)?;
    image.apply_orientation(orientation);
    Ok(image)
}

fn example(file: &Path, processor: &Processor) -> Result<Example> {
    let rgb = decoded(file)?.into_rgb8();
    let image = RgbImage { width: rgb.width() as usize, height: rgb.height() as usize, bytes: rgb.into_raw() };
    let values = processor.apply(&image).map_err(|e| e.at(file))?;
    Ok(Example::new(SourceContent::Values(values)))
}

/// How large the resized image is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ResizeRule {
    /// Exactly this height and width.
    Exact(usize, usize),
    /// The shorter side; the other keeps the proportions.
    Shortest(usize),
}

/// What `preprocessor_config.json` asks for, in its order: resize, crop, rescale, normalize.
#[derive(Clone, Debug, PartialEq)]
struct Processor {
    resize: Option<(ResizeRule, Filter)>,
    crop: Option<(usize, usize)>,
    rescale: f64,
    normalize: Option<([f32; 3], [f32; 3])>,
    /// What the model reads: channels, height, width.
    shape: [usize; 3],
    is_default: bool,
}

impl Processor {
    fn read(path: &Path, shape: [usize; 3], sizes: ImageSizes) -> Result<Self> {
        if shape[0] != 3 {
            return Err(
                Error::new(format!("the model reads {} channels; images have 3", shape[0])).hint("give --inputs")
            );
        }
        if !path.is_file() {
            return Ok(Self {
                resize: Some((ResizeRule::Exact(shape[1], shape[2]), Filter::Bilinear)),
                crop: None,
                rescale: 1.0 / 255.0,
                normalize: Some(([0.5; 3], [0.5; 3])),
                shape,
                is_default: true,
            });
        }
        Self::of(&Config::read(path)?, shape, sizes).map_err(|e| e.at(path))
    }

    fn of(config: &Config, mut shape: [usize; 3], sizes: ImageSizes) -> Result<Self> {
        let any_size = sizes == ImageSizes::Any;
        // Classes differ in what they do where the file says nothing: ViT's crops nothing and is bilinear.
        let class = match config.text_opt("image_processor_type")? {
            Some(class) => Some(class),
            None => config.text_opt("feature_extractor_type")?,
        };
        let plain = class.is_none_or(|class| class.starts_with("ViT"));
        // What the classes of models that read any size have; others read what they were made for.
        const USUAL: usize = 224;
        let usual = if any_size { (USUAL, USUAL) } else { (shape[1], shape[2]) };
        let of_clip = class.is_some_and(|class| class.starts_with("Bit") || class.starts_with("CLIP"));
        let square = plain || class.is_some_and(|class| class.starts_with("DeiT"));
        let resize = if config.flag_or("do_resize", true)? {
            let size = match config.get("size") {
                None if any_size && !plain => ResizeRule::Shortest(USUAL),
                None => ResizeRule::Exact(usual.0, usual.1),
                Some(value) => {
                    size(value, square).ok_or_else(|| config.wrong("size", "height and width, or shortest_edge"))?
                }
            };
            let code = config.size_or("resample", if plain { 2 } else { 3 })?;
            Some((size, Filter::of_code(code as u64)?))
        } else {
            None
        };
        let crop = if config.flag_or("do_center_crop", !plain)? {
            match config.get("crop_size").map(|value| size(value, true)) {
                None => Some(usual),
                Some(Some(ResizeRule::Exact(height, width))) => Some((height, width)),
                Some(_) => return Err(config.wrong("crop_size", "height and width")),
            }
        } else {
            None
        };
        let rescale =
            if config.flag_or("do_rescale", true)? { config.number_or("rescale_factor", 1.0 / 255.0)? } else { 1.0 };
        let normalize = if config.flag_or("do_normalize", true)? {
            let [mean, std] = if of_clip { CLIP } else { [[0.5; 3]; 2] };
            let (mean, std) = (channels(config, "image_mean", mean)?, channels(config, "image_std", std)?);
            if std.contains(&0.0) {
                return Err(config.wrong("image_std", "a spread above zero"));
            }
            Some((mean, std))
        } else {
            None
        };
        if sizes != ImageSizes::One {
            (shape[1], shape[2]) = match (crop, resize) {
                (Some(size), _) => size,
                (None, Some((ResizeRule::Exact(height, width), _))) => (height, width),
                _ => usual,
            };
        }
        Ok(Self { resize, crop, rescale, normalize, shape, is_default: false })
    }

    /// Values `[3, height, width]` of an image.
    fn apply(&self, image: &RgbImage) -> Result<Vec<f32>> {
        let mut image = image.clone();
        if let Some((size, filter)) = self.resize {
            let (height, width) = match size {
                ResizeRule::Exact(height, width) => (height, width),
                ResizeRule::Shortest(short) => {
                    let long = |long: usize, of: usize| (short as f64 * long as f64 / of as f64) as usize;
                    if image.width <= image.height {
                        (long(image.height, image.width), short)
                    } else {
                        (short, long(image.width, image.height))
                    }
                }
            };
            image = image.resize(width, height, filter);
        }
        if let Some((height, width)) = self.crop {
            image = image.center(width, height);
        }
        let [_, height, width] = self.shape;
        if (image.height, image.width) != (height, width) {
            let what = format!(
                "an image comes out as {} x {}, but the model reads {height} x {width}",
                image.height, image.width
            );
            return Err(
                Error::new(what).hint("check preprocessor_config.json, or prepare the images and give --inputs")
            );
        }
        let (mean, std) = self.normalize.unwrap_or(([0.0; 3], [1.0; 3]));
        let mut values = Vec::with_capacity(image.bytes.len());
        for (channel, (mean, std)) in mean.iter().zip(std).enumerate() {
            let level = |value: &u8| ((f64::from(*value) * self.rescale) as f32 - mean) / std;
            values.extend(image.bytes.iter().skip(channel).step_by(3).map(level));
        }
        Ok(values)
    }
}

/// `{height, width}`, `{shortest_edge}`, or one number, which is a square or the shorter side.
fn size(value: &Value, number_is_square: bool) -> Option<ResizeRule> {
    let number =
        |value: &Value| value.as_u64().and_then(|n| usize::try_from(n).ok()).filter(|n| (1..=1 << 14).contains(n));
    if let Some(side) = number(value) {
        return Some(if number_is_square { ResizeRule::Exact(side, side) } else { ResizeRule::Shortest(side) });
    }
    match (value.get("height"), value.get("width"), value.get("shortest_edge")) {
        (Some(height), Some(width), _) => Some(ResizeRule::Exact(number(height)?, number(width)?)),
        (_, _, Some(short)) if value.get("longest_edge").is_none() => Some(ResizeRule::Shortest(number(short)?)),
        _ => None,
    }
}

/// Mean and spread that CLIP was trained with, and that its class and BiT's have where the file says nothing.
const CLIP: [[f32; 3]; 2] = [[0.481_454_66, 0.457_827_5, 0.408_210_73], [0.268_629_54, 0.261_302_6, 0.275_777_1]];

/// One number per channel; `usual` where the file says nothing.
fn channels(config: &Config, key: &str, usual: [f32; 3]) -> Result<[f32; 3]> {
    let Some(value) = config.get(key) else { return Ok(usual) };
    let numbers: Option<Vec<f32>> =
        value.as_array().and_then(|list| list.iter().map(|v| v.as_f64().map(|v| v as f32)).collect());
    numbers.and_then(|numbers| numbers.try_into().ok()).ok_or_else(|| config.wrong(key, "a list of three numbers"))
}
