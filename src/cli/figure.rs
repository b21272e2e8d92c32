//! `pillars figure`: the pictures of the window, without it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;

use super::console::Console;
use super::numbers::positive;
use crate::analysis::{Analysis, Document, Moments};
use crate::chart::{ANALYSIS_VIEWS, AnalysisView, CurveView, Picture, RepairBars, Request, Theme, build};
use crate::checkpoint::FileKind;
use crate::error::{Error, Result};
use crate::evaluation::curve::Curves;
use crate::figure::{DEFAULT_SCALE, claim, write};
use crate::network::{FeatureMap, Site};
use crate::plan::Plan;
use crate::repair::{Repair, explained};
use crate::task::Ticket;

/// A picture of an analysis, of quality curves, or of a repair.
#[derive(Clone, Debug)]
pub(super) enum AnyView {
    Analysis(AnalysisView),
    Curves(CurveView),
    Repair,
    /// What a refit would leave of every layer of a plan.
    Explained,
    /// None: which there are depends on the file.
    Unknown(String),
}

/// The view of a repair.
const REPAIR: &str = "repair";
/// The view of what a refit of a plan would leave.
const EXPLAINED: &str = "explained";

impl fmt::Display for AnyView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Analysis(view) => view.fmt(f),
            Self::Curves(view) => view.fmt(f),
            Self::Repair => f.write_str(REPAIR),
            Self::Explained => f.write_str(EXPLAINED),
            Self::Unknown(text) => f.write_str(text),
        }
    }
}

impl FromStr for AnyView {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            REPAIR => return Ok(Self::Repair),
            EXPLAINED => return Ok(Self::Explained),
            _ => {}
        }
        match CurveView::named(text) {
            Some(view) => view.map(Self::Curves),
            None => Ok(text.parse().map_or_else(|_| Self::Unknown(text.to_owned()), Self::Analysis)),
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct FigureArgs {
    /// Analysis, quality curves or repair to draw
    #[arg(value_name = "FILE")]
    pub document: PathBuf,
    #[arg(long, value_name = "NAME", help = view_help())]
    pub view: AnyView,
    /// Attention layer, e.g. encoder.3; without it all
    #[arg(long, value_name = "SITE")]
    pub site: Option<Site>,
    /// Feature map to look through
    #[arg(long, value_name = "MAP")]
    pub feature: Option<FeatureMap>,
    /// Plan whose choice is marked, instead of the votes' own
    #[arg(long, value_name = "P.json")]
    pub plan: Option<PathBuf>,
    /// Draw on dark instead of white
    #[arg(long)]
    pub dark: bool,
    /// PNG pixels per unit
    #[arg(long, default_value_t = DEFAULT_SCALE, value_name = "X", value_parser = positive)]
    pub scale: f64,
    /// File to write; its extension names the format: svg, png or csv; an earlier picture of that name is replaced
    #[arg(long, value_name = "F")]
    pub out: PathBuf,
}

/// The views of every kind of file.
fn view_help() -> String {
    format!(
        "What to draw. Of an analysis: {ANALYSIS_VIEWS}; where it lacks what a view shows, the error lists those that it can fill. With \
         --plan and second moments beside it {EXPLAINED}, what a refit would leave of every layer. Of quality curves: quality, \
         pareto-parameters, pareto-flops, pareto-speed, each with -loss, -perplexity, -accuracy, -agreement or -cosine behind it for a \
         measure other than the usual one. Of a repair: {REPAIR}"
    )
}

pub(super) fn run(args: &FigureArgs, console: &Console) -> Result<()> {
    let theme = if args.dark { &Theme::DARK } else { &Theme::LIGHT };
    let picture = match &args.view {
        AnyView::Analysis(view) => of_analysis(args, view).map_err(|e| match other_views(&args.document) {
            Some(views) => e.hint(format!("the views of this file are {views}")),
            None => e,
        })?,
        AnyView::Curves(view) => {
            of_whole_model(args)?;
            let curves = Curves::read(&args.document)
                .map_err(|e| e.hint(format!("{view} shows what pillars curve wrote; other views show an analysis")))?;
            view.picture(&curves).map_err(|e| e.at(&args.document))?
        }
        AnyView::Repair => {
            of_whole_model(args)?;
            let repair = Repair::read(&args.document)
                .map_err(|e| e.hint("the view repair shows what pillars repair wrote; other views show an analysis"))?;
            Picture::Repair(RepairBars::of(&repair))
        }
        AnyView::Explained => of_plan(args)?,
        AnyView::Unknown(text) => {
            let views = other_views(&args.document).unwrap_or_else(|| ANALYSIS_VIEWS.to_owned());
            return Err(Error::usage(format!("'{text}' is no view")).hint(format!("choose from {views}")));
        }
    };
    let figure = picture.figure(theme);
    let inputs: Vec<&Path> = args.plan.as_deref().into_iter().chain([args.document.as_path()]).collect();
    let out = claim(&figure, &args.out, &inputs)?;
    write(&figure, out.path(), args.scale)?;
    console.wrote(out.path());
    console.print(&format!("{} of {} in {}", args.view, args.document.display(), args.out.display()))
}

/// The views of a file that is no analysis; `None` of others.
fn other_views(document: &Path) -> Option<String> {
    if FileKind::Document(Curves::FORMAT).is_of(document) {
        return Some(CurveView::ALL.map(|view| view.to_string()).join(", "));
    }
    Repair::read(document).is_ok().then(|| REPAIR.to_owned())
}

fn of_whole_model(args: &FigureArgs) -> Result<()> {
    if args.site.is_some() || args.feature.is_some() || args.plan.is_some() {
        return Err(
            Error::usage(format!("{} shows the whole model", args.view)).hint("leave out --site, --feature and --plan")
        );
    }
    Ok(())
}

fn of_plan(args: &FigureArgs) -> Result<Picture> {
    if args.site.is_some() || args.feature.is_some() {
        return Err(Error::usage(format!("{EXPLAINED} shows the whole model")).hint("leave out --site and --feature"));
    }
    let Some(path) = &args.plan else {
        return Err(Error::usage(format!("{EXPLAINED} shows what a plan would lose")).hint("name the plan with --plan"));
    };
    let (analysis, plan) = (Analysis::read(&args.document)?, Plan::read_any(path)?);
    let moments = Moments::read_beside(&args.document, &analysis)?;
    let found = explained(&moments, &plan, &Ticket::default()).map_err(|e| e.at(path))?;
    let name = |path: &Path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let model = name(Path::new(&analysis.model.path));
    let subtitle = format!("{model} · {} · {}", name(path), moments.input);
    Ok(Picture::Repair(RepairBars::predicted(subtitle, &found, &plan.kept)))
}

fn of_analysis(args: &FigureArgs, view: &AnalysisView) -> Result<Picture> {
    let analysis = Analysis::read(&args.document)?;
    let plan = args.plan.as_deref().map(Plan::read_any).transpose()?;
    if let (Some(plan), Some(path)) = (&plan, &args.plan) {
        plan.validate(&analysis).map_err(|e| e.at(path))?;
    }
    let request = Request { site: args.site, feature: args.feature, plan: plan.as_ref(), ..Request::new(view.clone()) };
    build(&analysis, &request).map_err(|e| e.at(&args.document))
}
