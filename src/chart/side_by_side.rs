//! Two analyses, or two models on one input, beside each other.

use super::caption::Caption;
use super::lens::Lens;
use super::overview::Overview;
use super::table::{Cell, Table};
use super::view::HeadColor;
use crate::analysis::{Analysis, AnalysisAgreement};
use crate::error::{Error, Result};
use crate::network::{FeatureMap, Site};
use crate::words::printed;

/// What one layer has in common with itself on the other side.
#[derive(Clone, Debug, PartialEq)]
pub struct AgreementRow {
    pub site: Site,
    /// Heads that stay, or are there, on each side.
    pub kept: [Vec<usize>; 2],
    /// How far the groups agree, -1 to 1 (adjusted Rand); of two models, absent.
    pub groups: Option<f64>,
    /// Mean absolute difference of the cosines between two heads; of two models the mean cosine of a head to itself.
    pub cosine: Option<f64>,
    /// The head that is least like itself on the other side, with its cosine; of two analyses, absent.
    pub least: Option<(usize, f64)>,
}

impl AgreementRow {
    /// Heads of both sides.
    pub fn in_both(&self) -> usize {
        let [first, second] = &self.kept;
        first.iter().filter(|head| second.contains(head)).count()
    }
}

/// Two overviews beside each other, and what their layers agree in.
#[derive(Clone, Debug, PartialEq)]
pub struct SideBySide {
    pub caption: Caption,
    /// What stands left and what right.
    pub names: [String; 2],
    pub sides: [Overview; 2],
    pub rows: Vec<AgreementRow>,
    /// The name of the column of cosines.
    pub cosine_column: &'static str,
}

impl SideBySide {
    /// Groups and kept heads of two analyses.
    ///
    /// # Errors
    /// Where they have no layer of one size in common.
    pub fn of_analyses(analyses: [&Analysis; 2], names: [String; 2], feature: Option<FeatureMap>) -> Result<Self> {
        let [first, second] = analyses;
        let agreement = AnalysisAgreement::of(first, second);
        if agreement.sites.is_empty() {
            return Err(Error::new("the two analyses have no attention layer with as many heads in common")
                .hint("compare analyses of one model, or of models of one shape"));
        }
        let map = Lens::new(first, feature, None)?.feature;
        let side = |analysis: &Analysis| -> Result<Overview> {
            // What only one of them analyzed is seen through what the other has.
            let lens = Lens::new(analysis, Some(map), None).or_else(|_| Lens::new(analysis, None, None))?;
            Ok(lens.overview(&HeadColor::Group))
        };
        let mut caption =
            Caption::new("Two analyses side by side", format!("{} · {}", names[0], names[1])).note(format!(
                "{:.1} % of the heads that the first keeps are kept by the second",
                100.0 * agreement.kept_in_common
            ));
        if let Some(mean) = agreement.mean_adjusted_rand {
            let mean = printed(format!("{mean:.3}"));
            caption =
                caption.note(format!("groups agree by {mean} on average (adjusted Rand): 1 the same, 0 as by chance"));
        }
        if !agreement.same_model {
            caption = caption.note("They are of different models of one shape: their heads need not correspond");
        }
        if let Some(setting) = agreement.differs_in {
            caption = caption.note(format!("Their settings differ ({setting})"));
        }
        let row = |site: &crate::analysis::SiteAgreement| {
            let found = site.features.get(&map).or_else(|| site.features.values().next());
            AgreementRow {
                site: site.site,
                kept: site.kept.clone(),
                groups: found.map(|f| f.adjusted_rand),
                cosine: found.map(|f| f.cosine_difference),
                least: None,
            }
        };
        let rows = agreement.sites.iter().map(row).collect();
        Ok(Self { caption, names, sides: [side(first)?, side(second)?], rows, cosine_column: "cosine_difference" })
    }

    /// Every number, a row for each layer.
    pub fn table(&self) -> Table {
        let columns = [
            "site",
            "kept_first",
            "kept_second",
            "kept_in_both",
            "adjusted_rand",
            self.cosine_column,
            "least_alike_head",
            "least_cosine",
        ];
        let mut table = Table::new(columns);
        let list = |heads: &[usize]| heads.iter().map(usize::to_string).collect::<Vec<_>>().join(" ");
        for row in &self.rows {
            table.push([
                Cell::from(row.site.to_string()),
                list(&row.kept[0]).into(),
                list(&row.kept[1]).into(),
                row.in_both().into(),
                row.groups.into(),
                row.cosine.into(),
                row.least.map(|(head, _)| head).into(),
                row.least.map(|(_, cosine)| cosine).into(),
            ]);
        }
        table
    }
}
