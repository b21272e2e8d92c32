//! Which heads stay.

use std::collections::BTreeMap;
use std::collections::btree_map;

use serde::{Deserialize, Serialize};

use super::{Head, Site};
use crate::error::{Error, Result};

/// The heads that stay at every site that is named, ascending, each once; a site that is not named keeps all.
///
/// In files a map from sites to lists: `{"encoder.0": [0, 3]}`. What is read from a file is checked, what is set is
/// sorted, so that it is checked once. Whether a model has these heads is asked once, by [`Kept::check`], where
/// kept heads meet a model.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<Site, Vec<usize>>", into = "BTreeMap<Site, Vec<usize>>")]
pub struct Kept(BTreeMap<Site, Vec<usize>>);

impl Kept {
    /// Every head of every site.
    pub fn all() -> Self {
        Self::default()
    }

    /// Sets what stays at `site`, in any order; a head that is named twice counts once.
    pub fn set(&mut self, site: Site, heads: impl IntoIterator<Item = usize>) {
        let mut heads: Vec<usize> = heads.into_iter().collect();
        heads.sort_unstable();
        heads.dedup();
        self.0.insert(site, heads);
    }

    /// Keeps every head of `site` again.
    pub fn unset(&mut self, site: Site) {
        self.0.remove(&site);
    }

    /// What stays at `site`, ascending; `None` where the site is not named and so keeps all.
    pub fn get(&self, site: Site) -> Option<&[usize]> {
        self.0.get(&site).map(Vec::as_slice)
    }

    /// What stays of the `heads` heads of `site`, ascending.
    pub fn at(&self, site: Site, heads: usize) -> Vec<usize> {
        self.0.get(&site).cloned().unwrap_or_else(|| (0..heads).collect())
    }

    /// Whether a head stays.
    pub fn keeps(&self, head: Head) -> bool {
        self.0.get(&head.site).is_none_or(|kept| kept.binary_search(&head.head).is_ok())
    }

    /// Whether something is said of `site`.
    pub fn names(&self, site: Site) -> bool {
        self.0.contains_key(&site)
    }

    /// Sites that are named.
    pub fn sites(&self) -> usize {
        self.0.len()
    }

    /// Whether no site is named.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Heads that stay at the sites that are named, together.
    pub fn heads(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    /// What stays, by site.
    pub fn iter(&self) -> impl Iterator<Item = (Site, &[usize])> {
        self.0.iter().map(|(site, heads)| (*site, heads.as_slice()))
    }

    /// Checks against a model, given the number of query heads of each of its sites.
    ///
    /// # Errors
    /// A site that the model does not have, or a head beyond those of its site.
    pub fn check(&self, heads_at: impl Fn(Site) -> Option<usize>) -> Result<()> {
        for (site, kept) in self.iter() {
            let Some(heads) = heads_at(site) else {
                return Err(Error::new(format!("heads are kept at {site}, which the model does not have")));
            };
            if let Some(head) = kept.last().filter(|head| **head >= heads) {
                let range = match heads {
                    0 => "no heads".to_owned(),
                    _ => format!("{heads} heads (0 to {})", heads - 1),
                };
                return Err(Error::new(format!("there is no head {head} of {site}, which has {range}")));
            }
        }
        Ok(())
    }
}

impl TryFrom<BTreeMap<Site, Vec<usize>>> for Kept {
    type Error = Error;

    fn try_from(kept: BTreeMap<Site, Vec<usize>>) -> Result<Self> {
        match kept.iter().find(|(_, heads)| !heads.is_sorted_by(|a, b| a < b)) {
            Some((site, _)) => Err(Error::new(format!("the heads kept at {site} are not ascending, each once"))),
            None => Ok(Self(kept)),
        }
    }
}

impl From<Kept> for BTreeMap<Site, Vec<usize>> {
    fn from(kept: Kept) -> Self {
        kept.0
    }
}

impl<H: IntoIterator<Item = usize>> FromIterator<(Site, H)> for Kept {
    fn from_iter<I: IntoIterator<Item = (Site, H)>>(kept: I) -> Self {
        let mut all = Self::default();
        for (site, heads) in kept {
            all.set(site, heads);
        }
        all
    }
}

impl IntoIterator for Kept {
    type Item = (Site, Vec<usize>);
    type IntoIter = btree_map::IntoIter<Site, Vec<usize>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::SiteKind;

    #[test]
    fn a_file_is_a_map_of_ascending_lists_and_what_is_set_is_sorted() {
        let site = Site::new(SiteKind::Encoder, 0);
        let kept: Kept = serde_json::from_str(r#"{"encoder.0":[0,3]}"#).unwrap();
        assert_eq!(kept, Kept::from_iter([(site, [3, 0, 3])]));
        assert_eq!(serde_json::to_string(&kept).unwrap(), r#"{"encoder.0":[0,3]}"#);
        for wrong in [r#"{"encoder.0":[3,0]}"#, r#"{"encoder.0":[1,1]}"#] {
            let error = serde_json::from_str::<Kept>(wrong).unwrap_err().to_string();
            assert!(error.contains("not ascending"), "{error}");
        }
    }

    #[test]
    fn a_model_has_every_head_that_is_named_or_the_check_fails() {
        let site = |layer| Site::new(SiteKind::Decoder, layer);
        let kept = Kept::from_iter([(site(1), [0, 3])]);
        let heads_at = |heads| move |s: Site| (s.layer < 2).then_some(heads);
        kept.check(heads_at(4)).unwrap();
        assert!(kept.check(heads_at(3)).unwrap_err().to_string().contains("head 3 of decoder.1"));
        assert!(Kept::from_iter([(site(2), [0])]).check(heads_at(4)).is_err());
        assert!(kept.keeps(Head::new(site(0), 7)) && kept.keeps(Head::new(site(1), 3)));
        assert!(!kept.keeps(Head::new(site(1), 1)));
        assert_eq!((kept.at(site(0), 2), kept.at(site(1), 4)), (vec![0, 1], vec![0, 3]));
    }
}
