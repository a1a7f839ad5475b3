//! API tokens: `lgt_<id>_<secret>_<checksum>`.
//!
//! The prefix and the checksum are there so that scanners of public code find a leaked token and are hardly ever wrong.
//! The id is 80 random bits and public: the record is found by it. The secret is 256 random bits, so that its plain
//! SHA-256 is kept: there is nothing to guess that a slow hash would protect. The checksum is a CRC-32 (IEEE) and tells a
//! token that was cut off from one that is wrong; it protects nothing.
//!
//! Id and secret are in lower-case base 32: a double click selects the whole token.

use crate::secret::Secret;
use lockgate_core::error::code;
use lockgate_core::{Digest, Error, Result};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// What every token begins with.
pub const PREFIX: &str = "lgt_";

/// What the set-up token begins with: the same form, but not in the store.
pub const SETUP_PREFIX: &str = "lgs_";

/// What every join token begins with: it lets one TaskManager join, and does nothing else.
pub const JOIN_PREFIX: &str = "lgj_";

const ID_BYTES: usize = 10;
const SECRET_BYTES: usize = 32;
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// SHA-256 of a token's secret, as it is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Hash(Digest);

/// A token as a client sends it, taken apart.
#[derive(Debug)]
pub struct Presented<'a> {
    /// Public: which record.
    pub id: &'a str,
    secret: Secret<String>,
}

impl Hash {
    fn of(secret: &str) -> Self {
        Self(Digest::of(secret.as_bytes()))
    }

    /// Whether `presented` has the secret that this is the hash of, in a time that does not depend on where they differ.
    pub fn is_of(&self, presented: &Presented<'_>) -> bool {
        self.0.as_bytes().ct_eq(Self::of(presented.secret.expose()).0.as_bytes()).into()
    }
}

/// Makes a token: its id, the whole text, which is shown once and kept nowhere, and what is kept of it.
///
/// # Errors
/// `LG0003` if the system has no random numbers.
pub fn issue(prefix: &str) -> Result<(String, Secret<String>, Hash)> {
    let id = text(&*random::<ID_BYTES>()?);
    let secret = Zeroizing::new(text(&*random::<SECRET_BYTES>()?));
    let body = Zeroizing::new(format!("{prefix}{id}_{}", *secret));
    let whole = format!("{}_{}", *body, checksum(&body));
    Ok((id, Secret::new(whole), Hash::of(&secret)))
}

/// Takes the text of a token apart.
///
/// # Errors
/// `LG1105` if it is not whole.
pub fn parse<'a>(text: &'a str, prefix: &str) -> Result<Presented<'a>> {
    let cut = || Error::new(code::TOKEN_MALFORMED, "the token is cut off or misspelt: its checksum does not fit");
    let (body, sum) = text.rsplit_once('_').ok_or_else(cut)?;
    if checksum(body) != sum {
        return Err(cut());
    }
    let (id, secret) = body.strip_prefix(prefix).and_then(|rest| rest.split_once('_')).ok_or_else(cut)?;
    let fine = |part: &str, bytes: usize| {
        part.len() == (bytes * 8).div_ceil(5) && part.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7'))
    };
    if !fine(id, ID_BYTES) || !fine(secret, SECRET_BYTES) {
        return Err(cut());
    }
    Ok(Presented { id, secret: Secret::new(secret.to_owned()) })
}

/// A token of these parts, with the checksum that fits.
#[cfg(test)]
pub fn assemble(prefix: &str, id: &str, secret: &str) -> String {
    let body = format!("{prefix}{id}_{secret}");
    format!("{body}_{}", checksum(&body))
}

/// Random bytes from the system.
fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(&mut *bytes)
        .map_err(|error| Error::new(code::INTERNAL, format!("the system has no random numbers: {error}")))?;
    Ok(bytes)
}

/// Base 32 (RFC 4648) in lower case, without padding.
fn text(bytes: &[u8]) -> String {
    let bit = |at: usize| bytes.get(at / 8).is_some_and(|byte| byte >> (7 - at % 8) & 1 == 1);
    let digits = (bytes.len() * 8).div_ceil(5);
    let digit = |place: usize| (0..5).fold(0_usize, |value, at| value << 1 | usize::from(bit(place * 5 + at)));
    (0..digits).filter_map(|place| ALPHABET.get(digit(place))).map(|byte| char::from(*byte)).collect()
}

/// What four bits of a CRC-32 become: a token's is computed with every request, and bit by bit that took longer than
/// everything else that is done with it.
#[rustfmt::skip]
const NIBBLES: [u32; 16] = [
    0x0000_0000, 0x1db7_1064, 0x3b6e_20c8, 0x26d9_30ac, 0x76dc_4190, 0x6b6b_51f4, 0x4db2_6158, 0x5005_713c,
    0xedb8_8320, 0xf00f_9344, 0xd6d6_a3e8, 0xcb61_b38c, 0x9b64_c2b0, 0x86d3_d2d4, 0xa00a_e278, 0xbdbd_f21c,
];

/// CRC-32 (IEEE 802.3), eight hexadecimal digits.
fn checksum(text: &str) -> String {
    let shifted = |crc: u32| {
        let nibble = NIBBLES.get((crc & 15) as usize).copied().unwrap_or_default();
        crc >> 4 ^ nibble
    };
    let crc = text.bytes().fold(u32::MAX, |crc, byte| shifted(shifted(crc ^ u32::from(byte))));
    format!("{:08x}", !crc)
}

#[cfg(test)]
mod unit {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_issued_is_taken_and_nothing_else() {
        let (id, whole, hash) = issue(PREFIX).unwrap();
        let presented = parse(whole.expose(), PREFIX).unwrap();
        assert_eq!(presented.id, id);
        assert!(hash.is_of(&presented));
        let (_, other, other_hash) = issue(PREFIX).unwrap();
        assert!(!hash.is_of(&parse(other.expose(), PREFIX).unwrap()) && !other_hash.is_of(&presented));
        assert!(!format!("{presented:?}{whole:?}").contains(whole.expose().split('_').nth(2).unwrap()));
        assert!(parse(whole.expose(), SETUP_PREFIX).is_err());
        let kept = serde_json::to_string(&hash).unwrap();
        assert_eq!(serde_json::from_str::<Hash>(&kept).unwrap(), hash);
    }

    #[test]
    fn a_token_has_the_form_that_is_told_to_scanners() {
        let (id, whole, _) = issue(PREFIX).unwrap();
        let parts: Vec<&str> = whole.expose().split('_').collect();
        assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [3, 16, 52, 8]);
        assert_eq!((parts[0], parts[1]), ("lgt", &*id));
        assert_eq!(checksum("123456789"), "cbf43926", "CRC-32's own check value");
        assert_eq!(text(b"foobar"), "mzxw6ytboi", "RFC 4648's own example");
    }

    #[test]
    fn one_that_is_cut_off_is_told_so() {
        let (_, whole, _) = issue(PREFIX).unwrap();
        for end in 0..whole.expose().len() {
            assert_eq!(parse(&whole.expose()[..end], PREFIX).unwrap_err().code(), code::TOKEN_MALFORMED, "{end}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_taken_by_chance_or_panics(text in "\\PC*") {
            prop_assert!(parse(&text, PREFIX).is_err());
            let framed = format!("lgt_{text}");
            let summed = format!("{framed}_{}", checksum(&framed));
            prop_assert!(parse(&summed, PREFIX).is_err());
        }
    }
}
