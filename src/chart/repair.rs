//! What each layer loses with its heads, without repair and with it.

use std::collections::BTreeMap;

use super::axis::Axis;
use super::caption::Caption;
use super::ink::Ink;
use super::number::Unit;
use super::plot::{Bars, Plot};
use super::table::Table;
use crate::network::{Kept, Site};
use crate::repair::{Repair, RepairMode, SiteRepair};
use crate::words::counted;

/// Names of layers that stand side by side under the bars; of more, every second or third is written.
const NAMED: usize = 12;
/// The name of what the fit gives on the text that it read.
const FITTED: &str = "on the text it was fitted on";

/// An error of a layer.
type SiteError = fn(&SiteRepair) -> Option<f64>;

/// One layer that loses heads.
#[derive(Clone, Debug, PartialEq)]
pub struct RepairRow {
    pub site: Site,
    pub kept: usize,
    /// What becomes of it.
    pub found: SiteRepair,
}

/// What every layer that loses heads loses with them: shares of what its attention adds.
#[derive(Clone, Debug, PartialEq)]
pub struct RepairBars {
    pub caption: Caption,
    /// What the second bar is: `after refit`.
    pub after: String,
    /// The layers, in the order of the model.
    pub rows: Vec<RepairRow>,
}

impl RepairBars {
    /// Of a repair that was made.
    pub fn of(repair: &Repair) -> Self {
        let record = &repair.record;
        let model = std::path::Path::new(&record.model.path).file_name().map(|n| n.to_string_lossy().into_owned());
        let parts = [model.unwrap_or_default(), format!("{} on {}", record.mode, record.input)];
        let mut caption = Caption::new("What each layer loses", parts.join(" · "));
        caption.subtitle = format!("{} · {}", caption.subtitle, counted(record.tokens, "tokens"));
        if record.mode == RepairMode::Stream {
            caption = caption.note(
                "In the stream a layer also makes up for what layers before it lost: its measure is what it would have to add.",
            );
        }
        Self::from_sites(caption, &format!("after {}", record.mode), &record.sites, &record.kept)
    }

    /// Of what a refit would leave of a plan, as second moments tell it; `subtitle` names model and plan.
    pub fn predicted(subtitle: String, sites: &BTreeMap<Site, SiteRepair>, kept: &Kept) -> Self {
        Self::from_sites(Caption::new("What each layer would lose", subtitle), "after refit", sites, kept)
    }

    fn from_sites(caption: Caption, after: &str, sites: &BTreeMap<Site, SiteRepair>, kept: &Kept) -> Self {
        let row = |(site, found): (&Site, &SiteRepair)| RepairRow {
            site: *site,
            kept: kept.get(*site).map_or(0, <[usize]>::len),
            found: *found,
        };
        let caption = caption.note(
            "Shares of what the attention of a layer adds, as mean squares; above 100 % is worse than adding nothing.",
        );
        Self { caption, after: after.to_owned(), rows: sites.iter().map(row).collect() }
    }

    /// The bars of every layer: masked, repaired, and what the fit gives on the text that it read.
    pub fn plot(&self) -> Plot {
        let high = self.rows.iter().flat_map(|r| [r.found.masked, r.found.held_out.unwrap_or(r.found.fitted)]);
        let high = high.filter(|v| v.is_finite());
        let y = Axis::linear(
            "Lost of what the attention of the layer adds",
            Unit::Share,
            (0.0, high.fold(0.02, f64::max)),
            5,
        );
        let mut plot = Plot::new("What each layer loses", self.axis(), y);
        let places = || self.rows.iter().enumerate().map(|(place, row)| (place as f64, &row.found));
        let is_judged = self.rows.iter().any(|row| row.found.held_out.is_some());
        let mut kinds: Vec<(&str, Ink, SiteError)> = vec![("masked", Ink::Before, |f| Some(f.masked))];
        if is_judged {
            kinds.push((&self.after, Ink::Kept, |f| f.held_out));
        }
        // What a fit gives on its own text is no measure of it.
        kinds.push((FITTED, Ink::Muted, |f| Some(f.fitted)));
        let lanes = kinds.len();
        for (lane, (name, ink, of)) in kinds.into_iter().enumerate() {
            plot.bars.push(Bars {
                name: name.to_owned(),
                bars: places()
                    .filter_map(|(place, found)| Some([place, of(found)?]))
                    .filter(|bar| bar[1].is_finite())
                    .collect(),
                ink,
                is_horizontal: false,
                lane: (lane, lanes),
            });
        }
        plot.remark = "Bars for each layer: without repair and with it".to_owned();
        plot
    }

    fn axis(&self) -> Axis {
        let first = self.rows.first().map(|row| row.site.kind);
        let one_kind = self.rows.iter().all(|row| Some(row.site.kind) == first);
        let name = |row: &RepairRow| if one_kind { row.site.layer.to_string() } else { row.site.to_string() };
        let label = match first.filter(|_| one_kind) {
            Some(kind) => format!("{} layer", kind.name()),
            None => String::new(),
        };
        let mut axis = Axis::named(label, self.rows.iter().map(name).collect());
        let step = self.rows.len().div_ceil(NAMED);
        axis.ticks.retain(|tick| (*tick as usize).is_multiple_of(step));
        axis
    }

    /// Every number of the picture: a row for each layer.
    pub fn table(&self) -> Table {
        let mut table =
            Table::new(["site", "kept", "masked", "repaired", "fitted", "held_out", "explained", "ridge", "tokens"]);
        for RepairRow { site, kept, found } in &self.rows {
            table.push([
                site.to_string().into(),
                (*kept).into(),
                found.masked.into(),
                found.held_out.into(),
                found.fitted.into(),
                found.held_out.into(),
                found.explained().into(),
                found.ridge.into(),
                found.tokens.into(),
            ]);
        }
        table
    }

    /// One sentence: how much of what attention adds is lost on the way, as means over the layers; and whether the fit
    /// holds on the text it was fitted on alone. `None` where no layer loses a head.
    pub fn summary(&self) -> Option<String> {
        let count = self.rows.len();
        if count == 0 {
            return None;
        }
        let mean = |of: fn(&SiteRepair) -> f64| self.rows.iter().map(|r| of(&r.found)).sum::<f64>() / count as f64;
        let (masked, fitted) = (mean(|f| f.masked), mean(|f| f.fitted));
        let write = |x: f64| Unit::Share.format(x);
        let text = format!("Layers that lose heads lose {} of what they add when masked", write(masked));
        if self.rows.iter().any(|r| r.found.held_out.is_none()) {
            let after = &self.after;
            return Some(format!("{text}; what they lose {after} is not known, since no text was held out of the fit"));
        }
        let after = mean(|f| f.held_out.unwrap_or(f.fitted));
        let mut text = format!("{text}, {} {}", write(after), self.after);
        if after > 2.0 * fitted && after > fitted + 0.05 {
            text = format!(
                "{text}; on the text that it was fitted on {}: more text would make it hold elsewhere",
                write(fitted)
            );
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sites(count: usize) -> BTreeMap<Site, SiteRepair> {
        let of = |i: usize| SiteRepair {
            tokens: 1000,
            ridge: 1e-3,
            masked: 0.5 + i as f64 / 100.0,
            fitted: 0.1,
            held_out: Some(0.2),
        };
        (0..count).map(|i| (format!("encoder.{i}").parse().unwrap(), of(i))).collect()
    }

    #[test]
    fn bars_of_a_layer_stand_side_by_side() {
        let bars = RepairBars::predicted("m · Plan 1".to_owned(), &sites(3), &Kept::default());
        let plot = bars.plot();
        assert_eq!(
            plot.bars.iter().map(|b| b.bars.clone()).collect::<Vec<_>>(),
            [
                vec![[0.0, 0.5], [1.0, 0.51], [2.0, 0.52]],
                vec![[0.0, 0.2], [1.0, 0.2], [2.0, 0.2]],
                vec![[0.0, 0.1], [1.0, 0.1], [2.0, 0.1]],
            ]
        );
        let shifts = [0, 1, 2].map(|i: usize| plot.bars[i].shift(0.9));
        assert!(shifts.iter().zip([-0.3, 0.0, 0.3]).all(|(a, b)| (a - b).abs() < 1e-12), "{shifts:?}");
        assert_eq!(
            (plot.x.names.as_slice(), plot.x.label.as_str()),
            (&["0", "1", "2"].map(str::to_owned)[..], "encoder layer")
        );
        assert!(bars.summary().unwrap().contains("51 %") && bars.summary().unwrap().contains("20 % after refit"));
    }

    #[test]
    fn a_fit_that_holds_on_its_own_text_alone_is_said() {
        let mut few = sites(2);
        few.values_mut().for_each(|site| site.fitted = 0.01);
        let text = RepairBars::predicted(String::new(), &few, &Kept::default()).summary().unwrap();
        assert!(text.contains("fitted on 1 %"), "{text}");
        assert_eq!(RepairBars::predicted(String::new(), &BTreeMap::new(), &Kept::default()).summary(), None);
        // Where nothing was held out there is no bar, no share and no number that reads as success.
        few.values_mut().for_each(|site| site.held_out = None);
        let bars = RepairBars::predicted(String::new(), &few, &Kept::default());
        let names: Vec<String> = bars.plot().bars.into_iter().map(|b| b.name).collect();
        assert_eq!(names, ["masked", FITTED]);
        let text = bars.summary().unwrap();
        assert!(text.contains("not known") && !text.contains("1 %"), "{text}");
        // Many layers: some names are left out.
        let many = RepairBars::predicted(String::new(), &sites(40), &Kept::default()).plot();
        assert_eq!((many.x.ticks.len(), many.x.names.len()), (10, 40));
    }
}
