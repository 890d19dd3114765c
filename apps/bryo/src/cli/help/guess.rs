//! What a misspelt word may have meant.

/// Words of the list that are two edits or less away from `word`, or begin with it; the nearest first, three at most.
pub fn similar<'a>(word: &str, list: &[&'a str]) -> Vec<&'a str> {
    let reach = if word.chars().count() <= 3 { 1 } else { 2 };
    let mut near: Vec<(usize, &str)> = list
        .iter()
        .map(|candidate| (distance(word, candidate), *candidate))
        .filter(|(far, candidate)| *far <= reach || (word.len() > 1 && candidate.starts_with(word)))
        .collect();
    near.sort_unstable();
    near.dedup();
    near.truncate(3);
    near.into_iter().map(|(_, candidate)| candidate).collect()
}

/// How many letters have to be put in, taken out, replaced or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let at = |row: &[usize], i: usize| row.get(i).copied().unwrap_or(usize::MAX / 2);
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let replaced = at(&above, j) + usize::from(x != y);
            let mut least = replaced.min(at(&above, j + 1) + 1).min(at(&row, j) + 1);
            let crossed = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            if crossed {
                least = least.min(at(&before, j - 1) + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let list = ["ps", "pull", "push", "images", "inspect", "network", "run"];
        assert_eq!(similar("imagse", &list), ["images"]);
        assert_eq!(similar("pul", &list), ["pull"]);
        assert_eq!(similar("netwrk", &list), ["network"]);
        assert_eq!(similar("rnu", &list), ["run"]);
        assert_eq!(similar("insp", &list), ["inspect"]);
        assert!(similar("frobnicate", &list).is_empty());
        assert_eq!(distance("", "abc"), 3);
    }
}
