//! The whole command line as typed.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{Command, CommandFactory, FromArgMatches, Parser, Subcommand};

use super::args::{
    AnalyzeArgs, CompletionsArgs, DownloadArgs, EvaluateArgs, FeaturesArgs, InspectArgs, ManArgs, MergeArgs,
    ModelsArgs, PlanArgs, PruneArgs,
};
use super::compare::CompareArgs;
use super::convert::ConvertArgs;
use super::curve::CurveArgs;
use super::effects::Idle;
use super::examples::with_examples;
use super::experiment::ExperimentArgs;
use super::figure::FigureArgs;
use super::repair::RepairArgs;
use super::train::TrainArgs;

/// See which attention heads carry a transformer, and prune the rest with open eyes
#[derive(Debug, Parser)]
#[command(name = "pillars", version, args_conflicts_with_subcommands = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub command: Option<CliCommand>,
    /// Model folder, GGUF file or workspace file to open in the window; without it the last workspace, or the bundled sample
    pub model: Option<PathBuf>,
    /// What was typed without an effect.
    #[arg(skip)]
    pub idle: Idle,
}

#[derive(Debug, Subcommand)]
pub(super) enum CliCommand {
    /// Show a model's family, layers, heads and sizes; reads headers only
    Inspect(InspectArgs),
    /// List the models in the hub's cache, which every command opens by name
    Models(ModelsArgs),
    /// Download a model into the hub's cache, in builds with --features hub; what was begun goes on
    Download(DownloadArgs),
    /// Write raw feature maps and logits for notebooks and checks
    Features(Box<FeaturesArgs>),
    /// Group the heads of every layer by what they compute on the input, and let its batches vote
    Analyze(Box<AnalyzeArgs>),
    /// Add analyses of different parts of a corpus
    Merge(MergeArgs),
    /// Choose which heads stay: from an analysis alone, or with a model and an input within a budget of quality
    Plan(Box<PlanArgs>),
    /// Measure loss, perplexity, accuracy and speed; with a plan, before and after, and of random heads
    Evaluate(Box<EvaluateArgs>),
    /// Set two analyses side by side, or two models on the same input
    Compare(Box<CompareArgs>),
    /// Write a model, whole or pruned, for another engine
    Convert(ConvertArgs),
    /// Print completions for a shell
    Completions(CompletionsArgs),
    /// Print the manual page, or write one per command
    Man(ManArgs),
    /// Measure quality against the share of heads kept, for every method beside random heads
    Curve(Box<CurveArgs>),
    /// Draw a picture of an analysis or of quality curves as SVG, PNG or CSV
    Figure(FigureArgs),
    /// Let the heads that stay speak for the others: new output projections for a plan
    Repair(Box<RepairArgs>),
    /// Write the smaller checkpoint, reopen it, and prove it equal to the masked model; with an input, measure its quality
    Prune(Box<PruneArgs>),
    /// Train with the group constraint, vote, fine-tune, and remove the heads that lost
    Train(Box<TrainArgs>),
    /// Run the paper's ablation: plain and constrained training, votes, controls, over several seeds
    Experiment(Box<ExperimentArgs>),
}

impl Arguments {
    /// The command line with everything that its help says.
    pub(super) fn whole() -> Command {
        with_examples(Self::command()).mut_subcommands(with_negative_numbers)
    }

    /// Reads the words of a command line, the program's name first. What begins with a hyphen and is a number is a value,
    /// whose range is then in the message.
    pub(super) fn typed(words: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let mut command = Self::whole();
        let words: Vec<OsString> = words.into_iter().collect();
        let matches = command
            .try_get_matches_from_mut(&words)
            .map_err(|error| mistyped(&mut command, &words).unwrap_or(error))?;
        let typed = Self::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
        Ok(Self { idle: Idle::of(&matches), ..typed })
    }

    /// Every model that is named.
    pub(super) fn models(&mut self) -> Vec<&mut PathBuf> {
        let named = match &mut self.command {
            Some(CliCommand::Inspect(a)) => [Some(&mut a.model), None],
            Some(CliCommand::Features(a)) => [Some(&mut a.model), None],
            Some(CliCommand::Analyze(a)) => [Some(&mut a.model), None],
            Some(CliCommand::Evaluate(a)) => [Some(&mut a.model), None],
            Some(CliCommand::Curve(a)) => [Some(&mut a.model), None],
            Some(CliCommand::Convert(a)) => [Some(&mut a.model), None],
            Some(CliCommand::Prune(a)) => [Some(&mut a.model), None],
            Some(CliCommand::Train(a)) => [Some(&mut a.model), None],
            Some(CliCommand::Repair(a)) => [Some(&mut a.model), a.original.as_mut()],
            Some(CliCommand::Compare(a)) => [Some(&mut a.first), Some(&mut a.second)],
            Some(CliCommand::Plan(a)) => [a.folder.as_mut(), a.model.as_mut()],
            Some(
                CliCommand::Models(_)
                | CliCommand::Download(_)
                | CliCommand::Merge(_)
                | CliCommand::Figure(_)
                | CliCommand::Experiment(_)
                | CliCommand::Completions(_)
                | CliCommand::Man(_),
            )
            // The window finds it, and says so there.
            | None => [None, None],
        };
        named.into_iter().flatten().collect()
    }

    pub(super) fn is_quiet(&self) -> bool {
        match &self.command {
            Some(CliCommand::Features(a)) => a.common.quiet,
            Some(CliCommand::Analyze(a)) => a.common.quiet,
            Some(CliCommand::Evaluate(a)) => a.common.quiet,
            Some(CliCommand::Curve(a)) => a.common.quiet,
            Some(CliCommand::Repair(a)) => a.common.quiet,
            Some(CliCommand::Compare(a)) => a.common.quiet,
            Some(CliCommand::Prune(a)) => a.common.quiet,
            Some(CliCommand::Train(a)) => a.common.quiet,
            Some(CliCommand::Plan(a)) => a.common.quiet,
            Some(CliCommand::Merge(a)) => a.quiet,
            Some(CliCommand::Convert(a)) => a.quiet,
            Some(CliCommand::Experiment(a)) => a.quiet,
            Some(CliCommand::Download(a)) => a.quiet,
            Some(
                CliCommand::Inspect(_)
                | CliCommand::Models(_)
                | CliCommand::Figure(_)
                | CliCommand::Completions(_)
                | CliCommand::Man(_),
            )
            | None => false,
        }
    }
}

/// The fault of a command line of which the first word is no command but near one, and more words follow: clap takes the first
/// for a model and blames the second.
fn mistyped(command: &mut Command, words: &[OsString]) -> Option<clap::Error> {
    let [_, typed, _, ..] = words else { return None };
    let typed = typed.to_str().filter(|typed| !typed.starts_with('-') && !Path::new(typed).exists())?;
    if command.find_subcommand(typed).is_some() {
        return None;
    }
    let near = command.get_subcommands().map(Command::get_name).find(|name| is_near(name, typed))?.to_owned();
    let told = format!("'{typed}' is no command: did you mean 'pillars {near}'?");
    Some(command.error(ErrorKind::InvalidSubcommand, told))
}

/// Whether two words are the same but for two letters, changed, left out or put in.
pub(super) fn is_near(word: &str, other: &str) -> bool {
    const FAR: usize = 2;
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (i, a) in word.chars().enumerate() {
        let mut before = i;
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
        for (j, b) in other.chars().enumerate() {
            let [left, above] = [row[j], row[j + 1]];
            row[j + 1] = (before + usize::from(a != b)).min(left + 1).min(above + 1);
            before = above;
        }
    }
    row.last().is_some_and(|apart| *apart <= FAR)
}

fn with_negative_numbers(command: Command) -> Command {
    command.mut_args(|argument| {
        let takes_word = argument.get_action().takes_values() && !argument.is_allow_hyphen_values_set();
        if takes_word { argument.allow_negative_numbers(true) } else { argument }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_refused_in_words_of_our_own() {
        let mut asked = 0;
        for command in Arguments::whole().get_subcommands() {
            for option in command.get_opts().filter_map(clap::Arg::get_long) {
                for value in ["-1", "x", "99999999999999999999999"] {
                    let words = ["pillars", command.get_name(), &format!("--{option}"), value].map(OsString::from);
                    let Err(error) = Arguments::typed(words) else { continue };
                    let said = error.to_string();
                    for part in ["use '--", "in string", "too large to fit", "is not in", "invalid float"] {
                        assert!(!said.contains(part), "{} --{option} {value}: {said}", command.get_name());
                    }
                    asked += 1;
                }
            }
        }
        assert!(asked > 300, "{asked}");
        for words in [
            ["pillars", "plan", "--keep", "-1", "from 0 to 65536"],
            ["pillars", "plan", "--ratio", "-0.1", "from 0 to 1"],
            ["pillars", "plan", "--max-loss-increase", "-1%", "no rise of the loss"],
            ["pillars", "train", "--lr", "-1", "above 0"],
            ["pillars", "repair", "--ridge", "-1", "no ridge"],
            ["pillars", "analyze", "--seed", "-1", "at least 0"],
            ["pillars", "prunes", "classifier", "--data", "did you mean 'pillars prune'?"],
        ] {
            let [typed @ .., part] = words;
            let said = Arguments::typed(typed.map(OsString::from)).unwrap_err().to_string();
            assert!(said.contains(part), "{typed:?}: {said}");
        }
    }
}
