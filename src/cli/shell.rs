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
    clap_mangen::Man::new(command.clone()).title(title).render(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
