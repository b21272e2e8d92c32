//! `pillars completions` and `pillars man`.

use std::path::Path;

use super::args::{CompletionsArgs, ManArgs};
use super::arguments::Arguments;
use super::console::Console;
use crate::checkpoint::{make_folders, write_atomically};
use crate::error::Result;

pub(super) fn completions(args: &CompletionsArgs, console: &Console) -> Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Arguments::whole(), "pillars", &mut text);
    console.print(String::from_utf8_lossy(&text).trim_end())
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
    fn manual_pages_say_of_which_version_and_day_they_are() {
        let of = page(&Arguments::whole(), "pillars").unwrap();
        let day = of.lines().find(|line| line.starts_with(".TH")).unwrap();
        assert!(day.contains(concat!("pillars ", env!("CARGO_PKG_VERSION"))), "{day}");
        assert!(released().len() == "2026-01-31".len() && day.contains(released()), "{day}");
    }
}
