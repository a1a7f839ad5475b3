//! "Did you mean": the nearest of the names that exist.

/// The distance is quadratic in the length, and nobody mistypes a name longer than this.
const MAX_LENGTH: usize = 64;

/// The candidate nearest to `wanted`, if it is near enough to be what was meant.
pub fn nearest<'a>(wanted: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if wanted.len() > MAX_LENGTH {
        return None;
    }
    let allowed = (wanted.chars().count() / 3).clamp(1, 4);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= MAX_LENGTH)
        .map(|candidate| (strsim::osa_distance(wanted, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

/// A sentence for [`Error::help`](crate::Error::help): the nearest candidate, or all of them when they are few.
pub fn help<'a>(wanted: &str, candidates: impl IntoIterator<Item = &'a str> + Clone) -> String {
    if let Some(near) = nearest(wanted, candidates.clone()) {
        return format!("did you mean `{near}`?");
    }
    let all: Vec<&str> = candidates.into_iter().take(41).collect();
    match all.len() {
        0 => "there is none to choose from".into(),
        1..=40 => format!("there is: {}", all.join(", ")),
        _ => format!("there is: {}, …", all.get(..40).unwrap_or_default().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let keys = ["on-error", "on-overrun", "input", "inputs"];
        assert_eq!(nearest("on_error", keys), Some("on-error"));
        assert_eq!(nearest("inptu", keys), Some("input"));
        assert_eq!(nearest("zzz", keys), None);
        assert_eq!(help("on-eror", keys), "did you mean `on-error`?");
        assert_eq!(help("zzz", ["a", "b"]), "there is: a, b");
        assert_eq!(help("zzz", []), "there is none to choose from");
        assert_eq!(nearest(&"a".repeat(100_000), keys), None);
    }
}
