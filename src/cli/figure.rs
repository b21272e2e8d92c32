//! `pillars figure`: the pictures of the window, without it.

use super::args::FigureArgs;
use super::console::Console;
use crate::analysis::{Analysis, Document};
use crate::error::Result;
use crate::figure::{Request, Theme, build, write};
use crate::plan::Plan;

pub(super) fn run(args: &FigureArgs, console: &Console) -> Result<()> {
    let analysis = Analysis::read(&args.analysis)?;
    let plan = args.plan.as_deref().map(Plan::read_any).transpose()?;
    let request = Request {
        site: args.site,
        feature: args.feature,
        plan: plan.as_ref(),
        theme: if args.dark { &Theme::DARK } else { &Theme::LIGHT },
        ..Request::new(args.view.clone())
    };
    write(&build(&analysis, &request)?, &args.out, args.scale)?;
    console.print(&format!("{} of {} in {}", args.view, args.analysis.display(), args.out.display()))
}
