//! The command line: arguments as typed, a checked request, the run. Results go to stdout, progress and warnings
//! to stderr; the exit status is decided here alone.

mod analyze;
mod args;
mod arguments;
mod budget;
mod budget_args;
mod compare;
mod console;
mod convert;
mod curve;
mod effects;
mod evaluate;
mod examples;
mod experiment;
mod features;
mod figure;
mod inspect;
mod models;
mod numbers;
mod open;
mod plan;
mod prune;
mod repair;
mod shell;
mod train;

use std::path::Path;
use std::process::ExitCode;

use crate::error::{Error, ErrorKind};
use crate::hub::{HubCache, locate};
use crate::model::Model;
use crate::task::caught;
use arguments::{Arguments, CliCommand, is_near};
use console::Console;

/// Runs the program with the arguments of the process.
pub fn run() -> ExitCode {
    let arguments = match Arguments::typed(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are not faults; clap knows which stream and status each has.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let console = Console::new(arguments.is_quiet());
    // The window closes on an interrupt by itself.
    if arguments.command.is_some() {
        console.take_interrupts();
    }
    match caught(|| dispatch(arguments, &console)) {
        Ok(()) => {
            console.close();
            ExitCode::SUCCESS
        }
        Err(error) => {
            console.fail(&error);
            ExitCode::from(status(&error))
        }
    }
}

/// 1 failed, 2 wrong usage, 130 interrupted.
fn status(error: &Error) -> u8 {
    match error.kind() {
        ErrorKind::Failed => 1,
        ErrorKind::Usage => 2,
        ErrorKind::Cancelled => 130,
    }
}

fn dispatch(mut arguments: Arguments, console: &Console) -> crate::Result<()> {
    arguments.idle.judge(console)?;
    for model in arguments.models() {
        let located = locate(model, &HubCache::of_user())?;
        located.note.iter().for_each(|note| console.warn(note));
        *model = located.path;
    }
    warn_of_left_weights(&mut arguments, console);
    match arguments.command {
        None => {
            if let Some(model) = &arguments.model {
                check_there(model)?;
            }
            window(arguments.model)
        }
        Some(CliCommand::Inspect(args)) => inspect::run(&args, console),
        Some(CliCommand::Models(args)) => models::run(&args, console),
        Some(CliCommand::Download(args)) => models::download(&args, console),
        Some(CliCommand::Features(args)) => features::run(&args, console),
        Some(CliCommand::Analyze(args)) => analyze::run(&args, console),
        Some(CliCommand::Merge(args)) => analyze::merge(&args, console),
        Some(CliCommand::Plan(args)) => plan::run(&args, console),
        Some(CliCommand::Evaluate(args)) => evaluate::run(&args, console),
        Some(CliCommand::Curve(args)) => curve::run(&args, console),
        Some(CliCommand::Figure(args)) => figure::run(&args, console),
        Some(CliCommand::Repair(args)) => repair::run(&args, console),
        Some(CliCommand::Prune(args)) => prune::run(&args, console),
        Some(CliCommand::Compare(args)) => compare::run(&args, console),
        Some(CliCommand::Convert(args)) => convert::run(&args, console),
        Some(CliCommand::Completions(args)) => shell::completions(&args, console),
        Some(CliCommand::Man(args)) => shell::man(&args, console),
        Some(CliCommand::Train(args)) => train::run(&args, console),
        Some(CliCommand::Experiment(args)) => experiment::run(&args, console),
    }
}

/// Says what of the weights of the models that are named is not read. What cannot be opened its command tells.
fn warn_of_left_weights(arguments: &mut Arguments, console: &Console) {
    // It prints this with all that it tells.
    if matches!(arguments.command, Some(CliCommand::Inspect(_))) {
        return;
    }
    for model in arguments.models() {
        console.warn_all(&Model::open(model).map(|model| model.left_weights()).unwrap_or_default());
    }
}

/// Refuses what the window could not open because there is nothing of that name: most often a command that was mistyped.
fn check_there(model: &Path) -> crate::Result<()> {
    if locate(model, &HubCache::of_user())?.path.exists() {
        return Ok(());
    }
    let typed = model.display().to_string();
    let whole = Arguments::whole();
    let near = whole.get_subcommands().map(|command| command.get_name()).find(|name| is_near(name, &typed));
    let hint = near.map_or_else(
        || "pillars --help lists the commands".to_owned(),
        |name| format!("did you mean 'pillars {name}'? pillars --help lists the commands"),
    );
    Err(Error::usage(format!("'{typed}' is no command, and there is no such file or folder")).hint(hint))
}

#[cfg(feature = "gui")]
fn window(model: Option<std::path::PathBuf>) -> crate::Result<()> {
    crate::gui::run(model)
}

#[cfg(not(feature = "gui"))]
fn window(_model: Option<std::path::PathBuf>) -> crate::Result<()> {
    Err(Error::usage("this build has no window").hint("name a command (pillars --help), or build with --features gui"))
}
