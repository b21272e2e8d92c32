//! Named entities in sequences of tags, as seqeval finds them.
//!
//! Tags are `O`, or a letter of `B`, `I`, `E`, `S`, a hyphen and a type. What begins with `I` begins an entity all the same, as
//! in the conlleval script that seqeval follows.

use std::collections::BTreeSet;

/// Finds entities in tags by the names of the classes.
#[derive(Clone, Debug)]
pub(super) struct Entities {
    /// The letter of each class and the number of its type.
    tags: Vec<(char, usize)>,
}

/// Whether every name is a tag of entities, and some begins one.
pub(super) fn is_entity_scheme(names: &[String]) -> bool {
    let is_tag = |name: &String| {
        name == "O"
            || name
                .split_once('-')
                .is_some_and(|(letter, kind)| "BIES".contains(letter) && letter.len() == 1 && !kind.is_empty())
    };
    names.iter().all(is_tag) && names.iter().any(|name| name != "O")
}

impl Entities {
    pub(super) fn new(names: &[String]) -> Self {
        let mut kinds: Vec<&str> = Vec::new();
        let tags = names.iter().map(|name| {
            let (letter, kind) = name.split_once('-').unwrap_or((name, ""));
            let number = kinds.iter().position(|known| *known == kind).unwrap_or_else(|| {
                kinds.push(kind);
                kinds.len() - 1
            });
            (letter.chars().next().unwrap_or('O'), number)
        });
        Self { tags: tags.collect() }
    }

    /// Entities that are in both, in `said` and in `right`.
    pub(super) fn counts(&self, said: &[u32], right: &[u32]) -> [usize; 3] {
        let (said, right) = (self.find(said), self.find(right));
        [said.intersection(&right).count(), said.len(), right.len()]
    }

    /// Type, first and last place of each entity.
    fn find(&self, classes: &[u32]) -> BTreeSet<(usize, usize, usize)> {
        // Outside, with a type that no entity has.
        let outside = ('O', usize::MAX);
        let tag = |class: &u32| match self.tags.get(*class as usize) {
            Some(('O', _)) | None => outside,
            Some(tag) => *tag,
        };
        let (mut found, mut before, mut begin) = (BTreeSet::new(), outside, 0);
        for (place, tag) in classes.iter().map(tag).chain([outside]).enumerate() {
            if ends(before, tag) {
                found.insert((before.1, begin, place.saturating_sub(1)));
            }
            if begins(before, tag) {
                begin = place;
            }
            before = tag;
        }
        found
    }
}

/// Whether an entity ends between two tags.
fn ends((before, kind_before): (char, usize), (tag, kind): (char, usize)) -> bool {
    match before {
        'E' | 'S' => true,
        'B' | 'I' => matches!(tag, 'B' | 'S' | 'O') || kind_before != kind,
        _ => false,
    }
}

/// Whether an entity begins with the second of two tags.
fn begins((before, kind_before): (char, usize), (tag, kind): (char, usize)) -> bool {
    match tag {
        'B' | 'S' => true,
        'E' | 'I' => matches!(before, 'E' | 'S' | 'O') || kind_before != kind,
        _ => false,
    }
}
