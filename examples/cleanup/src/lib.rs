//! Mends what people type into forms: white space, case, the order of names, addresses that are none.

#![forbid(unsafe_code)]

use lockgate_sdk::prelude::*;

/// A name with single spaces, first name first, and capitals at the beginning of its parts. Null where there is none.
#[udf]
fn full_name(name: &str, out: &mut TextWriter) -> Option<()> {
    let (last, first) = name.split_once(',').unwrap_or((name, ""));
    let mut empty = true;
    for part in first.split_whitespace().chain(last.split_whitespace()) {
        if !std::mem::take(&mut empty) {
            out.push(' ');
        }
        capitalise(part, out);
    }
    (!empty).then_some(())
}

/// An address in lower case without white space around it.
#[udf]
fn address(email: &str) -> Result<String, Error> {
    let email = email.trim();
    match email.split_once('@') {
        Some((name, host)) if !name.is_empty() && host.contains('.') && !host.contains('@') => Ok(email.to_lowercase()),
        _ => Err(Error::new(format_args!("{email:?} is no address"))),
    }
}

/// A town with single spaces and capitals at the beginning of its parts.
#[udf]
fn town(city: &str, out: &mut TextWriter) {
    for (index, part) in city.split_whitespace().enumerate() {
        if index > 0 {
            out.push(' ');
        }
        capitalise(part, out);
    }
}

/// Writes `part` with a capital at its beginning and after each apostrophe or hyphen.
fn capitalise(part: &str, out: &mut TextWriter) {
    let mut start = true;
    for character in part.chars() {
        if start {
            character.to_uppercase().for_each(|c| out.push(c));
        } else {
            character.to_lowercase().for_each(|c| out.push(c));
        }
        start = matches!(character, '\'' | '-');
    }
}

lockgate_sdk::export!(full_name, address, town);

#[cfg(test)]
mod tests {
    use super::*;
    use lockgate_sdk::testing;

    #[test]
    fn mends_names() {
        let run = testing::call::<full_name>()
            .column("name", ["BÉLA  çelik", "O'brien, farah", " ", "jean-luc\u{a0}picard\t"])
            .run()
            .unwrap();
        let names = run.column::<Option<&str>>("full_name");
        assert_eq!(names, [Some("Béla Çelik"), Some("Farah O'Brien"), None, Some("Jean-Luc Picard")]);
    }

    #[test]
    fn mends_addresses() {
        let run = testing::call::<address>().column("email", [" Noor@Example.ORG", "noor", "a@b@c.org"]).run().unwrap();
        assert_eq!(run.column::<&str>("address"), ["noor@example.org"]);
        assert_eq!(run.failures().len(), 2);
        let run = testing::call::<town>().column("city", ["  são   PAULO"]).run().unwrap();
        assert_eq!(run.column::<&str>("town"), ["São Paulo"]);
    }
}
