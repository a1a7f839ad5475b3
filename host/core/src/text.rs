//! Text of strangers (guests, manifests, servers), made fit to be shown: bounded, without characters that steer a terminal or
//! a log.

/// Whether a character can steer a terminal or the direction of writing: Unicode's control characters, separators of lines and
/// paragraphs, marks, embeddings, overrides and isolates.
pub fn steers(character: char) -> bool {
    let turns =
        matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    character.is_control() || turns
}

/// At most about `max` bytes of `text`, in one line, with everything that [`steers`] but tabs spelt out.
pub fn tame(text: &str, max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(max));
    for character in text.chars() {
        if out.len() >= max {
            out.push('…');
            break;
        }
        if steers(character) && character != '\t' {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_steers_nor_floods() {
        assert_eq!(tame("a\u{1b}[31m\r\nb\t\u{202e}\u{61c}é", 100), "a\\u{1b}[31m\\r\\nb\t\\u{202e}\\u{61c}é");
        assert!(tame(&"é".repeat(5_000), 100).len() < 110);
    }
}
