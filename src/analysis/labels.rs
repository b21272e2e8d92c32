//! Labels of groups.

/// Renumbers groups by their lowest member.
pub fn canonical(labels: &mut [usize]) {
    let mut names = vec![usize::MAX; labels.iter().max().map_or(0, |last| last + 1)];
    let mut next = 0;
    for label in labels {
        if names[*label] == usize::MAX {
            names[*label] = next;
            next += 1;
        }
        *label = names[*label];
    }
}
