//! Text from guests, made fit to be shown: bounded, valid UTF-8, without characters that steer a terminal or a log.

/// The longest text of a guest that an error carries, in bytes.
pub const MAX_MESSAGE: usize = 1 << 10;

/// At most about `max` bytes of `text`, control characters and those that change the direction of writing escaped.
pub fn tame(text: &str, max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(max));
    for character in text.chars() {
        if out.len() >= max {
            out.push('…');
            break;
        }
        let steers = matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if steers || (character.is_control() && character != '\t') {
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
        assert_eq!(tame("a\u{1b}[31m\r\nb\u{202e}\u{61c}é", 100), "a\\u{1b}[31m\\r\\nb\\u{202e}\\u{61c}é");
        assert!(tame(&"é".repeat(5_000), 100).len() < 110);
    }
}
