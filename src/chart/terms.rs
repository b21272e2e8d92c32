//! What the words over and beside numbers mean, once for tables, panels and figures.

use super::measure::Measure;
use crate::analysis::baseline;

/// Words as they stand in the window, and what they mean with the unit, as sentences without their full stop.
const TERMS: &[(&str, &str)] = &[
    // Places.
    ("site", "Attention layer: its stack (encoder, decoder or cross) and its number from 0"),
    ("layer", "Attention layer: its stack (encoder, decoder or cross) and its number from 0"),
    ("head", "Query head by its number in its layer, from 0"),
    ("heads", "Query heads; layers that share weights count once"),
    ("kv head", "Key/value head that the query head reads; the same number means shared keys and values"),
    ("key/value", "The key/value head that this query head reads, and the query heads that share it"),
    ("state", "Whether the plan keeps the head; a pinned head stays as it is whatever the method says"),
    ("before pruning", "The number of this head in the model from which this one was pruned"),
    ("kept", "Whether the head stays by the plan: 1 stays, 0 goes; of a layer, how many stay"),
    ("heads kept", "Query heads that stay by the plan"),
    ("heads kept share", "Heads that stay as a share of all heads of the model"),
    ("kept share", "Heads that stay as a share of all heads of the model"),
    ("same group", "Whether both heads are in one group: 1 they are, 0 they are not"),
    ("kind", "What the head does, by the clearest of the known kinds that reaches its threshold; – none"),
    ("redundancy in layer", "Whether anything speaks for redundant heads in the layer: 1 yes, 0 no, – unknown"),
    ("other head", "The second query head of the pair, by its number in the layer"),
    ("other group", "Group of the second head of the pair"),
    // Two sides.
    ("kept first", "Heads that the first of both keeps"),
    ("kept second", "Heads that the second of both keeps"),
    ("kept in both", "How many heads both keep"),
    (
        "adjusted rand",
        "How far the groups of both agree: 1 the same groups, 0 as chance would have it (adjusted Rand index)",
    ),
    ("cosine difference", "Mean difference between the cosines of two heads in the first and in the second"),
    ("mean cosine", "Mean cosine of the heads of the first to the same heads of the second: 1 the same"),
    ("least alike head", "The head that differs most between both"),
    ("least cosine", "Cosine of that head to itself in the other"),
    // Groups.
    ("group", "Number of the head's group in its layer; numbers of different layers have nothing in common"),
    ("groups", "How many groups the heads of the layer form"),
    ("x", "Place of the head on the map, across; the unit is that of the distances"),
    ("y", "Place of the head on the map, upwards; the unit is that of the distances"),
    ("cosine", "Cosine of two maps over all that was read: 1 the same direction, 0 unrelated, −1 opposite"),
    ("distance", "Distance of two maps over all that was read, by the metric of the run; 0 the same"),
    ("likeness", "How alike two heads are, by the measure that the view shows"),
    ("cka", "Likeness of two heads up to rotation and scale: 0 unrelated, 1 the same (Kornblith et al. 2019)"),
    ("linear cka", "Likeness of two heads up to rotation and scale: 0 unrelated, 1 the same (Kornblith et al. 2019)"),
    ("norms", "Length of each head's map over all that was read: how loud the head is"),
    ("map", "Feature map: what of a head is compared, such as its output or its attention"),
    (
        "mean silhouette",
        "How much closer heads are to their own group than to the next, on average: 1 clear groups, 0 none",
    ),
    ("dunn", "Least distance between groups by the largest within one; – where every head is alone"),
    ("dunn index", "Least distance between groups by the largest within one; – where every head is alone"),
    ("inertia", "Sum of squared distances of the heads to the centers of their groups"),
    ("inertia share", "Inertia as a share of that of a single group: what groups leave unexplained"),
    ("dead heads", "Heads whose map is zero everywhere"),
    // Votes.
    (
        "votes",
        "Votes that the head won: one per batch and feature map, to the head nearest to the hidden unit of its group",
    ),
    (
        "vote share",
        "Votes of the head as a share of all it could win: one per batch and feature map. Those of a layer sum to its number of groups",
    ),
    ("vote margin", "Votes between the weakest kept head and the strongest other one"),
    (
        "mean margin",
        "How much closer to the hidden unit the head was than the runner-up when it won: 0 a tie, 1 no rival",
    ),
    ("threshold", "Share of the votes it could win from which a head stays"),
    ("chance", "What every head would get if votes were drawn by lot"),
    ("batches", "Batches read so far"),
    ("settled share", "Share of layers whose kept heads are the final ones after so many batches"),
    ("settled", "Share of layers whose kept heads are the final ones after so many batches; of a layer 1 or 0"),
    // Attention.
    ("query", "Place of the token that looks, from 0"),
    ("key", "Place of the token that is looked at, from 0"),
    ("query token", "The token that looks"),
    ("key token", "The token that is looked at"),
    (
        "weight",
        "Attention weight: how much of what the head passes on for a query comes from a key; those of a query sum to 1",
    ),
    // Quality.
    ("loss", "Mean negative logarithm of the probability of the right answer, in nats; less is better"),
    ("loss per token", "Mean negative logarithm of the probability of the right token, in nats; less is better"),
    (
        "perplexity",
        "Exponential of the loss per token: among how many equally likely tokens the model is in doubt; less is better",
    ),
    ("after masking", "Perplexity with the removed heads masked, before fine-tuning; less is better"),
    ("after fine-tuning", "Perplexity after fine-tuning with the heads removed; less is better"),
    (
        "bleu of held-out pairs",
        "Agreement of translations with the references of held-out pairs, 0 to 100; more is better",
    ),
    ("metric", "The metric of the model's own task, such as accuracy or F1; more is better"),
    ("f1", "Harmonic mean of precision and recall, 0 to 1; more is better"),
    ("f1 micro", "Harmonic mean of precision and recall over all classes together, 0 to 1; more is better"),
    ("f1 macro", "Harmonic mean of precision and recall, the mean over the classes, 0 to 1; more is better"),
    ("precision", "Share of what was found that is right, 0 to 1; more is better"),
    ("recall", "Share of what is right that was found, 0 to 1; more is better"),
    ("recall at 10", "Share of the documents that answer that are among the first 10, 0 to 1; more is better"),
    ("recall at 100", "Share of the documents that answer that are among the first 100, 0 to 1; more is better"),
    ("ndcg at 10", "How well the first 10 documents are ordered, 0 to 1; more is better (nDCG)"),
    ("matthews", "Matthews' correlation of the classes with the labels, −1 to 1; more is better"),
    ("pearson", "Pearson's correlation with the labels, −1 to 1; more is better"),
    ("spearman", "Spearman's rank correlation with the labels, −1 to 1; more is better"),
    ("mean squared error", "Mean squared difference to the labels, in their unit squared; less is better"),
    ("exact match", "Share of answers that are right to the letter, 0 to 1; more is better"),
    ("acc", "Share of questions whose right ending is the likeliest, 0 to 1; more is better"),
    ("acc norm", "Share of questions whose right ending is the likeliest for each character, 0 to 1; more is better"),
    ("top 5", "Share of images whose class is among the five likeliest, 0 to 1; more is better"),
    ("wer", "Words to change, add or leave out for the right text, as a share of its words; less is better"),
    ("cer", "Characters to change, add or leave out for the right text, as a share of its characters; less is better"),
    ("agreement", "Share of positions at which the same token has the highest probability as in the whole model"),
    ("accuracy", "Share of tokens or labels that are predicted right; more is better"),
    ("cosine of embeddings", "Mean cosine between the embeddings of the plan and of the whole model: 1 the same"),
    ("same answer", "Share of inputs to which the model gives the same answer as before pruning"),
    ("same first token", "Share of positions at which the same token has the highest probability as before pruning"),
    ("tokens/s", "Tokens computed in a second of one forward pass with masked heads; an exported model is faster"),
    ("images/s", "Images computed in a second of one forward pass with masked heads; an exported model is faster"),
    (
        "spectrograms/s",
        "Spectrograms computed in a second of one forward pass with masked heads; an exported model is faster",
    ),
    (
        "recordings/s",
        "Recordings computed in a second of one forward pass with masked heads; an exported model is faster",
    ),
    ("pareto front", "Whether no other point is both smaller and better: 1 none is, 0 some is"),
    ("method", "How the heads that stay were chosen"),
    ("plan", "Name of the plan; click to edit it"),
    ("whole model", "The model as it was opened, with every head"),
    ("this plan", "The same weights with the pruned heads masked, or repaired where that is said"),
    (
        "random heads",
        "As many heads in every layer, drawn at random several times, mean and standard deviation: a method has to beat this",
    ),
    ("measured on", "The text that quality was measured on"),
    (
        "model",
        "What was measured: the whole model, what the plan leaves, random heads, or the change from first to second",
    ),
    ("score", "The number that was measured, by the measure of its row"),
    ("times as fast", "How many times as fast as the whole model the plan was as it was exported, run against run"),
    ("beaten by", "A plan that has no more parameters, is no worse, and is better in one of the two"),
    ("items", "How many items the numbers are from: rows, texts, or sequences"),
    ("on held-out data", "The stage of the training, measured on data that it did not learn from"),
    ("loss per label", "Mean negative logarithm of the probability of the right label, in nats; less is better"),
    ("does", "What the head does, by the clearest of the known kinds that reaches its threshold"),
    ("on held-out batches", "Ways of repair that were tried, measured on batches that the repair did not read"),
    // Costs.
    ("measure", "What is measured"),
    ("unit", "What the numbers count"),
    ("before", "Of the model as it is"),
    ("after", "Of the model that the plan leaves"),
    ("change", "After as a difference to before; less is a saving"),
    ("after share", "After as a share of before"),
    ("least", "With one head left in every layer: no plan of heads goes below this"),
    ("parameters", "Every number of the model"),
    ("parameters without embeddings", "Every number of the model but those of its embeddings, as the paper counts"),
    ("flops", "Multiply-adds of one forward pass for each token; one multiply-add counts once"),
    ("flops per token", "Multiply-adds of one forward pass for each token; one multiply-add counts once"),
    ("flops per patch", "Multiply-adds of one forward pass for each patch of the image; one multiply-add counts once"),
    ("flops per frame", "Multiply-adds of one forward pass for each frame of sound; one multiply-add counts once"),
    ("kv cache", "Keys and values that every generated token leaves behind, in bytes"),
    ("cache per token", "Keys and values that every generated token leaves behind, in bytes"),
    ("weights", "All tensors on disk, in bytes"),
    ("size", "Bytes of the written folder's weights, before and after"),
    ("speed", "Measured on one batch: the median of several runs before and after"),
    ("difference", "Largest difference between the written model and what it must equal; rounding explains up to 1e-4"),
    ("compared", "What was compared between the written model and what it must equal"),
    ("on", "How many positions were compared, and of what"),
    ("folder", "Where it was written"),
    // Repair.
    ("masked", "Share of the layer's output that is lost where heads are masked: 0 nothing, 1 all"),
    ("repaired", "Share of the layer's output that is lost after repair: 0 nothing, 1 all"),
    (
        "fitted",
        "Share of the layer's output that is lost after repair, on the batches that it was fitted to: 0 nothing, 1 all",
    ),
    (
        "held out",
        "Share of the layer's output that is lost after repair, on batches that the fit did not read: 0 nothing, 1 all",
    ),
    ("explained", "Share of the layer's output that the heads that stay can say after repair: 1 all of it"),
    ("ridge", "How strongly new output projections are held near the old ones; 0 not at all"),
    ("tokens", "Tokens that the numbers rest on"),
    // Axes.
    ("number of groups", "Into how many groups the heads of the layer are put"),
    ("share of heads kept", "Heads that stay as a share of all heads of the model"),
    ("votes won of those possible", "Votes of the head as a share of all it could win, one per batch and feature map"),
    (
        "mean winning margin",
        "How much closer to the hidden unit the head was than the runner-up when it won: 0 a tie, 1 no rival",
    ),
    (
        "layers whose kept heads equal the final ones",
        "Share of layers whose kept heads are the final ones after so many batches; of a layer 0 or 100 %",
    ),
    (
        "lost of what the attention of the layer adds",
        "Share of the layer's output that is lost, by squared length: 0 nothing, 100 % all of it",
    ),
    ("encoder layer", "Attention layer of the encoder by its number, from 0"),
    ("decoder layer", "Attention layer of the decoder by its number, from 0"),
    ("cross layer", "Layer by its number from 0, in which the decoder looks at the encoder"),
    ("grouping", "Mean silhouette of the groups of all layers: 1 clear groups, 0 none"),
    ("translation", "Agreement of translations with the references of held-out pairs, BLEU from 0 to 100"),
    ("movement", "Distance that hidden units moved since the last look, as a share of their length"),
    // Training.
    ("series", "Which line of the plot"),
    ("step", "Step of the optimizer, from 0"),
    ("value", "The number at that step, in the unit of its measure"),
    // Layers.
    ("layer kept share", "Heads of the layer that stay, as a share of all it has"),
    ("layer explained share", "Share of the differences between the layer's heads that groups explain: 1 all"),
    ("layer silhouette", "Mean silhouette of the layer's heads: 1 clear groups, 0 none"),
    ("layer kept vote share", "Share of the layer's votes that went to heads that stay"),
    ("layer margin", "Mean margin by which heads of the layer won: 0 ties, 1 no rival"),
    ("layer largest norm share", "Share of the layer's squared norm that its loudest head carries"),
    ("layer heads of known kind", "Heads of the layer of which some kind reaches its threshold"),
    ("layer heads of kind", "Heads of the layer that are of the kind that is shown"),
    ("layer mean", "Mean of the number that is shown over the heads of the layer"),
];

/// What stands behind a term for one of its ends.
const ENDS: &[(&str, &str)] = &[
    (" by chance", "What chance would give"),
    (" low", "Lower end of the interval, or of the band of random draws"),
    (" high", "Upper end of the interval, or of the band of random draws"),
    (" deviation", "Standard deviation over the seeds"),
];

/// What a word over or beside a number means, with its unit; upper case and underscores do not matter. `None` where the word
/// is not known or says all.
pub fn meaning(word: &str) -> Option<String> {
    // Behind a bracket, a comma or a colon stands the unit, or which way is better.
    let word = word.split([',', '(', ':']).next().unwrap_or_default();
    let name = word.trim().replace(['_', '\n'], " ").to_lowercase();
    let of = |name: &str| TERMS.iter().find(|(term, _)| *term == name).map(|(_, meaning)| (*meaning).to_owned());
    // Some write a hyphen where others write a space.
    if let Some(found) = of(&name).or_else(|| of(&name.replace('-', " "))) {
        return Some(found);
    }
    if let Some(measure) = measure_named(&name) {
        return Some(measure.meaning().to_owned());
    }
    ENDS.iter().find_map(|(end, what)| {
        let rest = meaning(name.strip_suffix(end)?)?;
        Some(format!("{what}. {rest}"))
    })
}

/// The measure of a head that is called so, by its own word or by its label.
fn measure_named(name: &str) -> Option<Measure> {
    let plain = name.replace(' ', "_");
    let own = Measure::named(&plain);
    if !matches!(own, Measure::Baseline(_)) {
        return Some(own);
    }
    let known = ["importance", "confidence", "magnitude", baseline::REPLACEABILITY, baseline::ENTROPY];
    let kinds = crate::analysis::HeadKind::ALL.iter().map(|kind| kind.name());
    let labeled = |measure: &Measure| measure.label().to_lowercase() == name || measure.name() == plain;
    let scores = known.into_iter().chain(kinds).map(Measure::named);
    Measure::OWN.into_iter().chain(scores).find(labeled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_term_is_told_once() {
        for (place, (term, meaning)) in TERMS.iter().enumerate() {
            assert!(TERMS[..place].iter().all(|(other, _)| other != term), "{term} stands twice");
            assert_eq!(*term, term.to_lowercase().replace('_', " "));
            assert!(!meaning.ends_with('.') && meaning.len() > 10, "{term}: {meaning}");
        }
    }

    #[test]
    fn words_are_found_however_they_are_written() {
        assert_eq!(meaning("KV_head"), meaning("kv head"));
        assert_eq!(meaning("held-out"), meaning("held_out"));
        assert!(meaning("held_out").unwrap().contains("Share of the layer's output"), "a meaning stands alone");
        assert_eq!(meaning("redundancy").unwrap(), Measure::Redundancy.meaning());
        assert_eq!(meaning("Winning margin").unwrap(), Measure::Margin.meaning());
        assert_eq!(meaning("importance").unwrap(), Measure::named("importance").meaning());
        assert!(meaning("perplexity_low").unwrap().starts_with("Lower end"));
        assert!(meaning("layer_explained_share_by_chance").unwrap().starts_with("What chance would give"));
        assert_eq!(meaning("Loss per token, nats (lower is better)"), meaning("loss per token"));
        assert_eq!(meaning("no such word"), None);
    }
}
