//! Analyses of the parts of a corpus as one of the whole.

use super::document::Analysis;
use super::sample::SAMPLE;
use super::sentences::is_told_anew;
use super::tally::{Tally, join_baselines, site_names};
use crate::corpus::{BatchOrder, Reading, Shard};
use crate::error::{Error, Result};
use crate::words::counted;

/// Begin of the note on missing pieces, which is told anew where more parts come.
const MISSING: &str = "incomplete: ";

/// Begin of the note on parts of different texts, which is told anew too.
const DIFFERENT: &str = "parts of different texts are added: ";

/// Missing pieces that are named.
const SHOWN: usize = 8;

/// Adds analyses of different parts of a corpus, in the order given: the same as one analysis of the whole. Another
/// model, other settings, batches that a part before has read and pieces by `--shard` of different texts that are not there
/// whole are refused. Whether groups are more than chance is known of the
/// whole where the first part was large enough to tell; else a note says why not.
///
/// # Errors
/// Where there is no part, or parts do not belong together.
pub fn merge(parts: &[Analysis]) -> Result<Analysis> {
    merge_named(parts, &|index| format!("analysis {}", index + 1))
}

/// [`merge`] whose errors call the part of each index, from 0, by its name.
///
/// # Errors
/// As [`merge`].
pub fn merge_named(parts: &[Analysis], name: &dyn Fn(usize) -> String) -> Result<Analysis> {
    let Some((first, rest)) = parts.split_first() else {
        return Err(Error::usage("there is nothing to merge"));
    };
    let mut tally = Tally::of(first)?;
    let mut inputs = vec![first.settings.input.clone()];
    let mut baselines: Vec<_> = first.sites.iter().map(|s| s.baselines.clone()).collect();
    for (index, part) in (1..).zip(rest) {
        check_fits(first, part).map_err(|what| {
            Error::new(format!("{} is of {what} than {}", name(index), name(0)))
                .hint("merge analyses of parts of one corpus, made with the same model and settings")
        })?;
        let earlier = parts.iter().take(index).position(|earlier| reads_again(earlier, part));
        if let Some(earlier) = earlier {
            let of = part.readings().map(file_of).find(|name| !name.is_empty());
            let of = of.map_or_else(String::new, |name| format!(" of {name}"));
            return Err(Error::new(format!(
                "{} and {} read the same batches{of}, which would count twice",
                name(earlier),
                name(index)
            ))
            .hint("leave one of them out, or analyze parts that have nothing in common, as by --shard 1/2 and 2/2"));
        }
        tally.add(&Tally::of(part)?)?;
        if !inputs.contains(&part.settings.input) {
            inputs.push(part.settings.input.clone());
        }
        for (sum, site) in baselines.iter_mut().zip(&part.sites) {
            *sum = join_baselines(sum, &site.baselines);
        }
    }
    check_pieces(parts, name)?;
    if rest.is_empty() {
        let mut only = first.clone();
        only.notes.retain(|note| !note.starts_with(MISSING));
        only.notes.extend(missing_pieces(&only.readings().cloned().collect::<Vec<_>>()));
        return Ok(only);
    }
    let mut merged = tally.finish(&first.model)?;
    for (index, part) in parts.iter().enumerate() {
        let own: Vec<&Reading> = part.readings().collect();
        let mut before = parts.iter().take(index).flat_map(Analysis::readings);
        if before.any(|other| own.iter().any(|own| other.overlaps(own))) {
            merged.notes.push(format!("{} reads text that one before it read: that counts twice", name(index)));
        }
    }
    // What earlier releases merged says nothing of its parts: then nothing is known of what is missing.
    if parts.iter().all(|part| part.readings().next().is_some()) {
        merged.merged = parts.iter().flat_map(Analysis::readings).cloned().collect();
        merged.notes.extend(different_texts(&merged.merged));
        merged.notes.extend(missing_pieces(&merged.merged));
    }
    // What was too little of a part may be enough of the whole.
    let is_told = |note: &String| note.starts_with(MISSING) || note.starts_with(DIFFERENT) || is_told_anew(note);
    let stays = |note: &&String| !is_told(note);
    for note in parts.iter().flat_map(|part| &part.notes).filter(stays) {
        if !merged.notes.contains(note) {
            merged.notes.push(note.clone());
        }
    }
    merged.settings.input = inputs.join(" + ");
    merged.settings.shard = None;
    for (site, baselines) in merged.sites.iter_mut().zip(baselines) {
        site.baselines = baselines;
    }
    if parts.iter().any(|part| part.evidence.is_some() || part.not_compared.is_some()) {
        carry_evidence(&mut merged, first);
    }
    merged.conclude();
    if first.settings.cka {
        merged.notes.push("linear CKA does not add over parts; analyze the whole corpus to get it".to_owned());
    }
    Ok(merged)
}

/// What is other of `part` than of `first`, where they do not add up.
fn check_fits(first: &Analysis, part: &Analysis) -> Result<(), String> {
    let (model, other) = (&first.model, &part.model);
    if model.fingerprint != other.fingerprint || site_names(first) != site_names(part) {
        return Err(format!("another model ({})", other.path));
    }
    if model.dtype != other.dtype {
        return Err(format!("a model run in another type ({})", other.dtype));
    }
    match first.settings.conflict(&part.settings) {
        Some(setting) => Err(format!("other settings ({setting})")),
        None => Ok(()),
    }
}

/// Whether batches that `earlier` sums are summed by `part` again. Where nothing is known of what was read, equal numbers tell.
fn reads_again(earlier: &Analysis, part: &Analysis) -> bool {
    earlier == part || earlier.readings().any(|a| part.readings().any(|b| a.shares_batches(b)))
}

fn file_of(reading: &Reading) -> String {
    let name = reading.source.as_ref().and_then(|input| input.path().file_name());
    name.unwrap_or_default().to_string_lossy().into_owned()
}

/// Which texts were read, in the order of their first parts: readings of each.
fn by_text(readings: &[Reading]) -> Vec<Vec<&Reading>> {
    let mut texts: Vec<Vec<&Reading>> = Vec::new();
    for reading in readings.iter().filter(|reading| !reading.fingerprint.is_empty()) {
        let own = texts.iter_mut().find(|text| text.iter().any(|known| known.fingerprint == reading.fingerprint));
        match own {
            Some(text) => text.push(reading),
            None => texts.push(vec![reading]),
        }
    }
    texts
}

/// Refuses pieces by `--shard` of several texts where one of these is not whole: they are pieces of no one corpus, though their
/// numbers may look so.
fn check_pieces(parts: &[Analysis], name: &dyn Fn(usize) -> String) -> Result<()> {
    let all: Vec<(usize, &Reading)> = parts
        .iter()
        .enumerate()
        .flat_map(|(index, part)| part.readings().map(move |reading| (index, reading)))
        .collect();
    let pieces: Vec<Reading> =
        all.iter().map(|(_, reading)| (*reading).clone()).filter(|r| r.shard.is_some()).collect();
    let texts = by_text(&pieces);
    let is_part = |text: &&Vec<&Reading>| {
        let own: Vec<Reading> = text.iter().map(|reading| (*reading).clone()).collect();
        !missing_pieces(&own).is_empty()
    };
    let Some(part) = texts.iter().find(is_part).filter(|_| texts.len() > 1) else { return Ok(()) };
    let other = texts.iter().find(|text| text.first() != part.first());
    let (Some(one), Some(other)) = (part.first(), other.and_then(|text| text.first())) else { return Ok(()) };
    let words = |reading: &Reading| {
        let index = all.iter().find(|(_, known)| *known == reading).map_or(0, |(index, _)| *index);
        let shard = reading.shard.map_or_else(String::new, |shard| format!("part {shard} of "));
        format!("{} is {shard}{}", name(index), file_of(reading))
    };
    Err(Error::new(format!("{} and {}, which is another text", words(one), words(other)))
        .hint("merge all parts of each text, or analyze the other part of the same file"))
}

/// That several texts were read, where there were.
fn different_texts(readings: &[Reading]) -> Option<String> {
    let texts = by_text(readings);
    let names: Vec<String> = texts.iter().filter_map(|text| text.first()).map(|reading| file_of(reading)).collect();
    (names.len() > 1).then(|| format!("{DIFFERENT}{}", names.join(", ")))
}

/// Which pieces of each input that several processes shared are not among those that were read, in sentences.
fn missing_pieces(readings: &[Reading]) -> Vec<String> {
    let mut notes = Vec::new();
    for (place, first) in readings.iter().enumerate() {
        let is_first = readings.iter().take(place).all(|before| before.fingerprint != first.fingerprint);
        let own = readings.iter().filter(|reading| reading.fingerprint == first.fingerprint);
        let Some(read) = own.map(|reading| reading.shard).collect::<Option<Vec<_>>>().filter(|_| is_first) else {
            continue;
        };
        let of = read.iter().map(|shard| shard.of()).max().unwrap_or_default();
        let mut missing: Vec<String> = (0..of)
            .filter_map(|index| Shard::new(index, of))
            .filter(|shard| !read.contains(shard))
            .take(SHOWN + 1)
            .map(|shard| shard.to_string())
            .collect();
        if missing.is_empty() {
            continue;
        }
        let (word, verb) = if missing.len() == 1 { ("part", "is") } else { ("parts", "are") };
        if missing.len() > SHOWN {
            missing.truncate(SHOWN);
            missing.push("and more".to_owned());
        }
        notes.push(format!("{MISSING}{word} {} of {} {verb} not here", missing.join(", "), file_of(first)));
    }
    notes
}

/// Whether the first `sequences` of an analysis are not those of the whole that it is a part of: batches of others lie between.
fn begins_elsewhere(first: &Analysis, sequences: usize) -> bool {
    let piece = first.readings().next().and_then(|reading| Some((reading, reading.shard?)));
    piece.is_some_and(|(reading, shard)| shard.of() > 1 && (shard.index() > 0 || sequences > reading.batch_size))
}

/// Keeps in `merged`, which sums several parts, what the first of them found beside chance, as far as an analysis of the whole
/// would find the same: the comparison reads the first sequences of the input alone, and depends on the number of groups. What
/// is not known of the whole stays absent, and [`Analysis::not_compared`] says why.
fn carry_evidence(merged: &mut Analysis, first: &Analysis) {
    // Parts of one input by --shard looked at its first sequences, all that there were of them.
    let is_whole =
        first.evidence.as_ref().is_some_and(|summary| summary.of_whole) && by_text(&merged.merged).len() == 1;
    let lacking = match &first.evidence {
        Some(_) if is_whole => None,
        None => Some(first.not_compared.clone().unwrap_or_else(|| "the first part does not say".to_owned())),
        Some(summary) if summary.sequences < SAMPLE.0 => {
            let read = counted(summary.sequences, "sequences");
            Some(format!("the first part has {read}, and the comparison takes {}", SAMPLE.0))
        }
        Some(summary) if !summary.of_whole && begins_elsewhere(first, summary.sequences) => {
            Some("the first part was read by --shard, so the whole begins with other sequences".to_owned())
        }
        Some(summary) if !summary.of_whole && first.settings.order != BatchOrder::AsRead => {
            Some("batches do not follow the input, so the whole begins with other sequences".to_owned())
        }
        Some(_) => None,
    };
    let mut is_lost = false;
    for site in &mut merged.sites {
        let of_site = first.site(site.site);
        for (map, feature) in &mut site.features {
            let groups = feature.live_groups();
            let found = of_site.and_then(|s| s.features.get(map)).and_then(|f| f.evidence);
            feature.evidence =
                found.filter(|e| lacking.is_none() && e.groups == groups).map(|e| e.judge(feature.stability));
            is_lost |= feature.evidence.is_none() && feature.comparable_groups().is_some();
        }
    }
    match is_lost {
        false => merged.evidence.clone_from(&first.evidence),
        true => {
            let other = || "they have other numbers of groups than in the first part".to_owned();
            merged.not_compared = Some(lacking.unwrap_or_else(other));
        }
    }
}
