//! The nearest name, for hints.

/// Names longer than this are not compared.
const NAME_CHARS_MAX: usize = 64;

/// `did you mean "x"?` for the candidate most like `name`, if one is near enough.
pub fn hint<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(name, candidates).map(|found| format!("did you mean \"{found}\"?"))
}

/// The candidate with the smallest edit distance, if that is at most a third of the name's length (at least 1, ignoring case).
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted: Vec<char> = name.to_lowercase().chars().collect();
    if wanted.is_empty() || wanted.len() > NAME_CHARS_MAX {
        return None;
    }
    let limit = (wanted.len() / 3).max(1) + usize::from(wanted.len() > 3);
    candidates
        .into_iter()
        .map(|candidate| (distance(&wanted, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit && *distance < wanted.len())
        .min_by_key(|(distance, candidate)| (*distance, *candidate))
        .map(|(_, candidate)| candidate)
}

/// Edits from one to the other: insert, delete, replace, or swap two neighbours (optimal string alignment).
fn distance(wanted: &[char], candidate: &str) -> usize {
    let other: Vec<char> = candidate.to_lowercase().chars().collect();
    if other.len() > NAME_CHARS_MAX {
        return usize::MAX;
    }
    let mut rows = vec![vec![0; other.len() + 1]; wanted.len() + 1];
    rows[0] = (0..=other.len()).collect();
    for i in 1..=wanted.len() {
        rows[i][0] = i;
        for j in 1..=other.len() {
            let differ = usize::from(wanted[i - 1] != other[j - 1]);
            let mut best = (rows[i - 1][j] + 1)
                .min(rows[i][j - 1] + 1)
                .min(rows[i - 1][j - 1] + differ);
            if i > 1 && j > 1 && wanted[i - 1] == other[j - 2] && wanted[i - 2] == other[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[wanted.len()][other.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn finds_the_name_that_was_meant() {
        let names = ["amount", "country", "card", "ts"];
        assert_eq!(nearest("amuont", names), Some("amount"));
        assert_eq!(nearest("AMOUNT", names), Some("amount"));
        assert_eq!(nearest("cards", names), Some("card"));
        assert_eq!(nearest("payload", names), None);
        assert_eq!(nearest("", names), None);
        assert_eq!(nearest("x", ["y"]), None);
    }
}
