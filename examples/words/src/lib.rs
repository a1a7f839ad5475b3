//! Text to words: several rows for one.

#![forbid(unsafe_code)]

use lockgate_sdk::prelude::*;

/// The words of a line, without what stands around them.
#[udf]
fn word(line: &str) -> impl Iterator<Item = &str> {
    line.split_whitespace()
        .map(|word| word.trim_matches(|character: char| !character.is_alphanumeric()))
        .filter(|word| !word.is_empty())
}

/// How many characters a word has.
#[udf]
fn length(word: &str) -> u32 {
    word.chars().count().try_into().unwrap_or(u32::MAX)
}

lockgate_sdk::export!(word, length);

#[cfg(test)]
mod tests {
    use super::*;
    use lockgate_sdk::testing;

    #[test]
    fn splits_lines() {
        let run = testing::call::<word>().column("line", ["“and what", "— —", "is the use?”"]).run().unwrap();
        assert_eq!(run.column::<&str>("word"), ["and", "what", "is", "the", "use"]);
        assert_eq!(run.origin(), [0, 0, 2, 2, 2]);
    }

    #[test]
    fn counts_characters() {
        let run = testing::call::<length>().column("word", [Some("über"), None]).run().unwrap();
        assert_eq!(run.column::<Option<u32>>("length"), [Some(4), None]);
    }
}
