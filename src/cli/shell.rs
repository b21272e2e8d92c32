//! `pillars completions` and `pillars man`.

use std::path::Path;

use clap::builder::PossibleValuesParser;
use clap::{Arg, Command, ValueHint};
use strum::VariantNames;

use super::args::{CompletionsArgs, ManArgs};
use super::arguments::Arguments;
use super::console::Console;
use crate::analysis::{Clustering, HeadKind, Metric};
use crate::checkpoint::{make_folders, write_atomically};
use crate::corpus::BatchOrder;
use crate::engines::Quantization;
use crate::error::Result;
use crate::network::FeatureMap;
use crate::plan::Method;
use crate::pruning::{Engine, ExportFormat, OutputFormat};
use crate::tensor::Precision;
use crate::training::Decay;

pub(super) fn completions(args: &CompletionsArgs, console: &Console) -> Result<()> {
    let mut text = Vec::new();
    let mut command = Arguments::whole().mut_subcommands(|command: Command| command.mut_args(with_words));
    clap_complete::generate(args.shell, &mut command, "pillars", &mut text);
    console.print(String::from_utf8_lossy(&text).trim_end())
}

/// An option with the words that a shell can offer for it: names of files where it takes files alone.
fn with_words(argument: Arg) -> Arg {
    let formats: Vec<&'static str> = OutputFormat::all().map(OutputFormat::name).collect();
    let words: &[&'static str] = match argument.get_id().as_str() {
        "device" => &["auto", "cpu", "cuda", "metal"],
        "dtype" | "write_dtype" => Precision::VARIANTS,
        "format" if argument.get_value_delimiter().is_some() => &formats,
        "format" => ExportFormat::VARIANTS,
        "to" => Engine::VARIANTS,
        "method" | "methods" => Method::VARIANTS,
        "metric" => Metric::VARIANTS,
        "clustering" => Clustering::VARIANTS,
        "order" => BatchOrder::VARIANTS,
        "feature" | "features" => FeatureMap::VARIANTS,
        "pin_kind" => HeadKind::VARIANTS,
        "quantize" => Quantization::VARIANTS,
        "schedule" => Decay::VARIANTS,
        // A file, or a way to make it.
        "repair" => return argument,
        _ if argument.get_action().takes_values() && argument.get_value_hint() == ValueHint::Unknown => {
            return argument.value_hint(ValueHint::Other);
        }
        _ => return argument,
    };
    argument.value_parser(PossibleValuesParser::new(words.to_vec()))
}

pub(super) fn man(args: &ManArgs, console: &Console) -> Result<()> {
    let mut command = Arguments::whole();
    command.build();
    let Some(folder) = &args.out else {
        return console.print(page(&command, "pillars")?.trim_end());
    };
    make_folders(folder)?;
    let write =
        |name: &str, text: &str| write_atomically(&Path::new(folder).join(format!("{name}.1")), text.as_bytes());
    write("pillars", &page(&command, "pillars")?)?;
    for sub in command.get_subcommands() {
        let name = format!("pillars-{}", sub.get_name());
        write(&name, &page(sub, &name)?)?;
    }
    console.wrote(folder);
    Ok(())
}

/// The page of one command in roff.
fn page(command: &clap::Command, title: &str) -> Result<String> {
    let mut text = Vec::new();
    let source = concat!("pillars ", env!("CARGO_PKG_VERSION"));
    let page = clap_mangen::Man::new(command.clone()).title(title).date(released()).source(source).manual("Pillars");
    page.render(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The day of this version, as the list of changes has it; manual pages without one are faulty to those who check them.
fn released() -> &'static str {
    let mark = concat!("## ", env!("CARGO_PKG_VERSION"), ", ");
    include_str!("../../CHANGELOG.md").lines().find_map(|line| line.strip_prefix(mark)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shells_offer_words_where_no_file_is_meant() {
        let mut command = Arguments::whole().mut_subcommands(|command: Command| command.mut_args(with_words));
        let mut text = Vec::new();
        clap_complete::generate(clap_complete::Shell::Bash, &mut command, "pillars", &mut text);
        let text = String::from_utf8(text).unwrap();
        let of = |option: &str| text.split(&format!("--{option})")).nth(1).unwrap().split(";;").next().unwrap();
        for (option, word) in [("method", "reconstruction"), ("format", "gguf"), ("device", "cuda")] {
            assert!(of(option).contains(word) && !of(option).contains("compgen -f"), "{}", of(option));
        }
        assert!(!of("seed").contains("compgen -f") && of("text").contains("compgen -f"), "{}", of("seed"));
    }

    #[test]
    fn manual_pages_say_of_which_version_and_day_they_are() {
        let of = page(&Arguments::whole(), "pillars").unwrap();
        let day = of.lines().find(|line| line.starts_with(".TH")).unwrap();
        assert!(day.contains(concat!("pillars ", env!("CARGO_PKG_VERSION"))), "{day}");
        assert!(released().len() == "2026-01-31".len() && day.contains(released()), "{day}");
    }
}
