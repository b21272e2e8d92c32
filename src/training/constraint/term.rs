//! The two terms of every layer, from Gram matrices.

use std::collections::BTreeMap;

use candle_core::Tensor;

use super::gram::gram_numbers;
use super::linear::explained_term;
use super::{Constraint, Diversity, GramGraph, Homogeneity};
use crate::analysis::Gram;
use crate::error::{Error, Result};
use crate::network::Site;
use crate::tensor::{constant, doubles};

/// The terms of one layer, scalars that know how they came about.
#[derive(Clone, Debug)]
pub struct SiteTerms {
    /// Mean over heads of `cos(x_h, z_g(h))`.
    pub homogenization: Tensor,
    /// Mean over pairs of groups of `cos(z_c, z_c')`, or of its square; absent where there is one group.
    pub diversification: Option<Tensor>,
}

/// Homogenization and diversification of one layer from its Gram matrix `[H, H]` and the group of every head, which is
/// a constant here. `numbers` are those of the matrix; dead heads have no direction and take no part.
///
/// With `A [C, H]` the averaging over a group's heads, `A G` holds `<z_c, x_h>` and `A G A^T` holds `<z_c, z_c'>`.
pub fn site_terms(gram: &Tensor, numbers: &Gram, groups: &[usize], diversity: Diversity) -> Result<Option<SiteTerms>> {
    let heads = gram.dim(0)?;
    if groups.len() != heads || numbers.heads() != heads {
        return Err(Error::new(format!("{} assignments do not fit {heads} heads", groups.len())));
    }
    let alive: Vec<usize> = (0..heads).filter(|h| !numbers.is_dead(*h)).collect();
    let mut labels: Vec<usize> = alive.iter().map(|h| groups[*h]).collect();
    labels.sort_unstable();
    labels.dedup();
    let count = labels.len();
    if count == 0 {
        return Ok(None);
    }
    let mut member = vec![0f64; count * heads];
    let mut mean = vec![0f64; count * heads];
    for (c, label) in labels.iter().enumerate() {
        let own: Vec<usize> = alive.iter().copied().filter(|h| groups[*h] == *label).collect();
        for h in &own {
            member[c * heads + h] = 1.0;
            mean[c * heads + h] = 1.0 / own.len() as f64;
        }
    }
    let (dtype, device) = (gram.dtype(), gram.device());
    let matrix = |values: Vec<f64>, rows: usize, columns: usize| -> Result<Tensor> {
        constant(values, (rows, columns), dtype, device)
    };
    let diagonal = |m: &Tensor, n: usize| -> Result<Tensor> {
        let eye = (0..n * n).map(|i| if i % (n + 1) == 0 { 1.0 } else { 0.0 }).collect();
        Ok((m * matrix(eye, n, n)?)?.sum(1)?)
    };
    // A group whose members cancel has a center without direction; its cosines are 0, not NaN.
    let guard = (0..heads).map(|h| numbers.norm2(h)).sum::<f64>().max(f64::from(f32::MIN_POSITIVE)) * 1e-12;

    let averaging = matrix(mean, count, heads)?;
    let membership = matrix(member.clone(), count, heads)?;
    let center_head = averaging.matmul(gram)?;
    let center_center = center_head.matmul(&averaging.t()?.contiguous()?)?;
    let center_norm = (diagonal(&center_center, count)?.relu()? + guard)?.sqrt()?;
    // Dead heads get norm 1: they are in no group, so they add nothing below.
    let shift = (0..heads).map(|h| if alive.contains(&h) { 0.0 } else { 1.0 }).collect();
    let head_norm = (diagonal(gram, heads)? + matrix(shift, 1, heads)?.squeeze(0)?)?.sqrt()?;
    let norms = center_norm.unsqueeze(1)?.matmul(&head_norm.unsqueeze(0)?)?;
    let homogenization = ((center_head / norms)? * membership)?.sum_all()?;
    let homogenization = (homogenization / alive.len() as f64)?;

    let pairs = count * (count - 1) / 2;
    let diversification = if pairs == 0 {
        None
    } else {
        let norms = center_norm.unsqueeze(1)?.matmul(&center_norm.unsqueeze(0)?)?;
        let cosines = (center_center / norms)?;
        let cosines = if diversity == Diversity::SquaredCosine { cosines.sqr()? } else { cosines };
        let upper = (0..count * count).map(|i| if i / count < i % count { 1.0 / pairs as f64 } else { 0.0 }).collect();
        Some((cosines * matrix(upper, count, count)?)?.sum_all()?)
    };
    Ok(Some(SiteTerms { homogenization, diversification }))
}

/// Sum of scalars, read in one transfer.
fn sum(scalars: &[Tensor]) -> Result<f64> {
    Ok(if scalars.is_empty() { 0.0 } else { doubles(&Tensor::stack(scalars, 0)?)?.iter().sum() })
}

/// The constraint on one batch.
#[derive(Clone, Debug)]
pub struct ConstraintTerm {
    /// What is added to the mean task loss per token; `None` where the weights are zero.
    pub loss: Option<Tensor>,
    /// Mean over layers of the first term.
    pub homogenization: f64,
    /// Mean over layers of the second term, 0 for a layer of one group.
    pub diversification: f64,
    /// What the heads of every layer were grouped by, and how.
    pub sites: BTreeMap<Site, (Gram, Vec<usize>)>,
}

/// `L_z` of a batch of `tokens` predicted tokens from the Gram matrices of its layers; `group` says which group each
/// head is in, anew for every batch.
pub fn term(
    constraint: &Constraint,
    grams: &BTreeMap<Site, Tensor>,
    tokens: usize,
    mut group: impl FnMut(Site, &Gram) -> Result<Vec<usize>>,
) -> Result<ConstraintTerm> {
    let mut result = ConstraintTerm { loss: None, homogenization: 0.0, diversification: 0.0, sites: BTreeMap::new() };
    let layers = grams.len() as f64;
    let scale = constraint.scale(grams.len(), tokens);
    let (mut alike, mut apart) = (Vec::new(), Vec::new());
    for (site, gram) in grams {
        let values = gram_numbers(gram)?;
        let groups = group(*site, &values)?;
        if let Some(terms) = site_terms(gram, &values, &groups, constraint.diversity)? {
            let mut add = |x: &Tensor, weight: f64| -> Result<()> {
                if weight != 0.0 {
                    let part = (x * weight)?;
                    result.loss = Some(match result.loss.take() {
                        Some(sum) => (sum + part)?,
                        None => part,
                    });
                }
                Ok(())
            };
            if constraint.homogeneity == Homogeneity::Cosine {
                add(&terms.homogenization, -constraint.alpha * scale)?;
            }
            alike.push(terms.homogenization.detach());
            if let Some(diversification) = &terms.diversification {
                add(diversification, constraint.beta * scale)?;
                apart.push(diversification.detach());
            }
        }
        result.sites.insert(*site, (values, groups));
    }
    result.homogenization = sum(&alike)? / layers;
    result.diversification = sum(&apart)? / layers;
    Ok(result)
}

/// Adds the share that representatives explain to the loss of `found`, where that is what the first term measures.
pub fn add_linear(constraint: &Constraint, graph: &GramGraph, tokens: usize, found: &mut ConstraintTerm) -> Result<()> {
    if constraint.homogeneity != Homogeneity::Linear || constraint.alpha == 0.0 {
        return Ok(());
    }
    let weight = -constraint.alpha * constraint.scale(graph.grams.len(), tokens);
    for (site, (gram, groups)) in &found.sites {
        let Some((rows, width)) = graph.rows.get(site) else { continue };
        if let Some(share) = explained_term(rows, *width, gram, groups)? {
            let part = (share * weight)?;
            found.loss = Some(match found.loss.take() {
                Some(sum) => (sum + part)?,
                None => part,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::super::Reduction;
    use super::*;
    use crate::analysis::Groups;
    use crate::network::SiteKind;

    /// `cos(a, b)` of two vectors, as written.
    fn cosine(a: &[f64], b: &[f64]) -> f64 {
        let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
        dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
    }

    fn maps(heads: usize, length: usize) -> Vec<Vec<f64>> {
        let value = |i: usize| ((i * 2_654_435_761) % 1000) as f64 / 500.0 - 1.0;
        (0..heads).map(|h| (0..length).map(|k| value(h * length + k + 1)).collect()).collect()
    }

    fn gram(rows: &[Vec<f64>]) -> Tensor {
        let x = Tensor::new(rows.to_vec(), &Device::Cpu).unwrap();
        x.matmul(&x.t().unwrap()).unwrap()
    }

    fn terms_of(gram: &Tensor, groups: &[usize], diversity: Diversity) -> Option<SiteTerms> {
        site_terms(gram, &gram_numbers(gram).unwrap(), groups, diversity).unwrap()
    }

    fn scalar(x: &Tensor) -> f64 {
        x.to_scalar().unwrap()
    }

    #[test]
    fn terms_from_the_gram_matrix_equal_the_formula_on_the_maps() {
        let rows = maps(5, 17);
        let groups = [0, 1, 0, 2, 1];
        // z_c = mean of x_h over the heads of c.
        let center = |c: usize| -> Vec<f64> {
            let own: Vec<_> = (0..5).filter(|h| groups[*h] == c).collect();
            (0..17).map(|k| own.iter().map(|h| rows[*h][k]).sum::<f64>() / own.len() as f64).collect()
        };
        let first = (0..5).map(|h| cosine(&rows[h], &center(groups[h]))).sum::<f64>() / 5.0;
        let pairs: Vec<f64> = [(0, 1), (0, 2), (1, 2)].iter().map(|(a, b)| cosine(&center(*a), &center(*b))).collect();
        for (diversity, second) in [
            (Diversity::Cosine, pairs.iter().sum::<f64>() / 3.0),
            (Diversity::SquaredCosine, pairs.iter().map(|c| c * c).sum::<f64>() / 3.0),
        ] {
            let terms = terms_of(&gram(&rows), &groups, diversity).unwrap();
            assert!((scalar(&terms.homogenization) - first).abs() < 1e-10);
            assert!((scalar(&terms.diversification.unwrap()) - second).abs() < 1e-10);
        }
    }

    #[test]
    fn one_group_has_no_second_term_and_all_apart_a_constant_first() {
        let gram = gram(&maps(4, 9));
        let one = terms_of(&gram, &[0; 4], Diversity::Cosine).unwrap();
        assert!(one.diversification.is_none());
        let apart = terms_of(&gram, &[0, 1, 2, 3], Diversity::Cosine).unwrap();
        assert!((scalar(&apart.homogenization) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn dead_heads_and_cancelling_groups_give_numbers_and_finite_gradients() {
        let mut rows = maps(4, 9);
        rows[1] = vec![0.0; 9];
        rows[3] = rows[2].iter().map(|x| -x).collect();
        let x = candle_core::Var::from_tensor(&Tensor::new(rows.clone(), &Device::Cpu).unwrap()).unwrap();
        let gram = x.matmul(&x.t().unwrap()).unwrap();
        let terms = terms_of(&gram, &[0, 1, 2, 2], Diversity::Cosine).unwrap();
        // Head 0 is its own center; the center of 2 and 3 has no direction: (1 + 0 + 0) / 3.
        assert!((scalar(&terms.homogenization) - 1.0 / 3.0).abs() < 1e-9);
        let sum = (terms.homogenization + terms.diversification.unwrap()).unwrap();
        let gradient = sum.backward().unwrap().get(&x).unwrap().to_vec2::<f64>().unwrap();
        assert!(gradient.iter().flatten().all(|g| g.is_finite()));
        assert!(gradient[1].iter().all(|g| *g == 0.0));
        let nothing = terms_of(&gram.zeros_like().unwrap(), &[0, 1, 2, 2], Diversity::Cosine);
        assert!(nothing.is_none());
    }

    #[test]
    fn reductions_weigh_as_they_say() {
        let site = |layer| Site::new(SiteKind::Decoder, layer);
        let grams = BTreeMap::from([(site(0), gram(&maps(4, 9))), (site(1), gram(&maps(4, 23)))]);
        let constraint = |reduction| Constraint {
            alpha: 0.3,
            beta: 0.9,
            reduction,
            groups: Groups::Fixed(2),
            ..Constraint::default()
        };
        let of = |c: &Constraint| term(c, &grams, 50, |_, _| Ok(vec![0, 1, 1, 0])).unwrap();
        let printed = of(&constraint(Reduction::Printed));
        let expected = -0.3 * printed.homogenization + 0.9 * printed.diversification;
        assert!((scalar(&printed.loss.unwrap()) - expected).abs() < 1e-10);
        // (sum over 2 layers) / 50 tokens = mean * 2 / 50.
        let summed = of(&constraint(Reduction::LayerSum));
        assert!((scalar(&summed.loss.unwrap()) - expected * 2.0 / 50.0).abs() < 1e-10);
        assert!(of(&Constraint { alpha: 0.0, beta: 0.0, ..Constraint::default() }).loss.is_none());
    }
}
