//! Text of the suite's size and look.

use super::event::Dice;
use std::fmt::Write;

const FIRST_NAMES: &[&str] =
    &["Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah", "Deiter", "Walter"];
const LAST_NAMES: &[&str] = &["Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones", "Noris"];
const CITIES: &[&str] =
    &["Phoenix", "Los Angeles", "San Francisco", "Boise", "Portland", "Bend", "Redmond", "Seattle", "Kent", "Cheyenne"];
const STATES: &[&str] = &["AZ", "CA", "ID", "OR", "WA", "WY"];

/// Appends `count` lower-case letters.
pub fn letters(out: &mut String, dice: &mut Dice, count: u64) {
    let mut left = count;
    while left > 0 {
        // Ten letters of each draw: 26^10 is well below 2^64.
        let mut bits = dice.next();
        for _ in 0..left.min(10) {
            out.push(char::from(b'a' + (bits % 26) as u8));
            bits /= 26;
        }
        left = left.saturating_sub(10);
    }
}

/// Appends words of letters, up to `most` bytes, at least one.
pub fn words(out: &mut String, dice: &mut Dice, most: u64) {
    let mut left = most / 2 + dice.below(most / 2 + 1);
    letters(out, dice, left.min(7));
    left = left.saturating_sub(7);
    while left > 1 {
        let length = (2 + dice.below(8)).min(left - 1);
        out.push(' ');
        letters(out, dice, length);
        left -= length + 1;
    }
}

/// Appends `before` and a number.
pub fn number(out: &mut String, before: &str, number: u64) {
    // Writing to a string cannot fail.
    let _ = write!(out, "{before}{number}");
}

/// Appends a person's name.
pub fn name(out: &mut String, dice: &mut Dice) {
    out.push_str(choose(FIRST_NAMES, dice));
    out.push(' ');
    out.push_str(choose(LAST_NAMES, dice));
}

/// A city.
pub fn city(dice: &mut Dice) -> &'static str {
    choose(CITIES, dice)
}

/// A state.
pub fn state(dice: &mut Dice) -> &'static str {
    choose(STATES, dice)
}

fn choose(from: &'static [&'static str], dice: &mut Dice) -> &'static str {
    from.get(dice.below(from.len() as u64) as usize).copied().unwrap_or_default()
}
