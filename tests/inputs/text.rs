//! JSON, CSV and lines: without end, too deep, too wide, too many, and no text at all.

use super::Verdict::{Dead, Fails, Rows};
use super::{BAD, Input, Verdict, X, rows};
use lockgate_core::error::code::*;

pub fn inputs() -> Vec<Input> {
    [json(), csv(), others()].into_iter().flatten().collect()
}

/// Longer than any record may be.
const LONG: usize = 17 << 20;

/// One record of text between two honest ones.
fn between(record: &[u8]) -> Vec<u8> {
    [b"{\"x\":1}\n", record, b"\n{\"x\":2}\n"].concat()
}

fn json() -> Vec<Input> {
    let bad = |name, record: Vec<u8>, code| Input::json(name, between(&record), Dead(code, 1, 2));
    let fine = |name, record: Vec<u8>| Input::json(name, between(&record), Rows(3));
    let nested = |open: &str, close: &str| {
        format!("{{\"x\":1,\"y\":{}{}}}", open.repeat(200_000), close.repeat(200_000)).into_bytes()
    };
    let valued = |value: &str| format!("{{\"x\":{value}}}").into_bytes();
    vec![
        fine("json-arrays-of-endless-depth", nested("[", "]")),
        bad("json-objects-of-endless-depth", nested("{\"a\":", "}"), BAD),
        bad("json-arrays-never-closed", valued(&"[".repeat(1 << 20)), BAD),
        bad(
            "json-depth-in-the-column-itself",
            valued(&format!("{}{}", "[".repeat(100_000), "]".repeat(100_000))),
            BAD_VALUE,
        ),
        bad("json-line-without-end", valued(&format!("\"{}\"", "a".repeat(LONG))), RECORD_TOO_LONG),
        Input::json("json-line-and-nothing-else", vec![b'['; 3 * LONG], Dead(RECORD_TOO_LONG, 1, 0)),
        bad("json-number-of-a-million-digits", valued(&"9".repeat(1_000_000)), BAD_VALUE),
        bad("json-number-of-an-endless-exponent", valued("1e999999999999"), BAD_VALUE),
        bad("json-number-just-too-large", valued("9223372036854775808"), BAD_VALUE),
        bad("json-number-that-is-none", valued("NaN"), BAD),
        fine("json-keys-twice-by-the-million", format!("{{{}\"x\":7}}", "\"x\":1,".repeat(1_000_000)).into_bytes()),
        fine(
            "json-keys-by-the-hundred-thousand",
            format!("{{{}\"x\":7}}", (0..100_000).map(|at| format!("\"k{at}\":1,")).collect::<String>()).into_bytes(),
        ),
        fine("json-with-a-key-of-megabytes", format!("{{\"{}\":1,\"x\":7}}", "k".repeat(8 << 20)).into_bytes()),
        fine("json-of-escapes", format!("{{\"y\":\"{}\",\"x\":7}}", "\\u0000".repeat(500_000)).into_bytes()),
        bad("json-lone-surrogates", b"{\"\\ud800\":1,\"x\":7}".to_vec(), BAD),
        bad("json-not-utf8", b"{\"x\":1,\"y\":\"\xff\xfe\"}".to_vec(), BAD),
        bad("json-with-nulls", b"{\"x\":1\0}".to_vec(), BAD),
        bad("json-of-utf16", "{\"x\":1}".encode_utf16().flat_map(u16::to_le_bytes).collect(), BAD),
        bad("json-null-where-none-may-be", valued("null"), BAD_VALUE),
        Input::json("json-records-by-the-million", b"{}\n".repeat(50_000), Dead(BAD_VALUE, 50_000, 0)),
        Input::json("json-lines-of-nothing", b"\n".repeat(4 << 20), Rows(0)),
        Input::json("json-of-nulls", vec![0; 1 << 20], Dead(BAD, 1, 0)),
        Input::json("json-of-carriage-returns", b"\r".repeat(1 << 20), Rows(0)),
        Input::json("one-byte", b"{".to_vec(), Dead(BAD, 1, 0)),
        Input::json("empty", Vec::new(), Rows(0)),
        Input::json("a-mark-and-nothing-else", b"\xef\xbb\xbf".to_vec(), Rows(0)),
    ]
}

fn csv() -> Vec<Input> {
    let file = |name, bytes: Vec<u8>, verdict: Verdict| Input {
        name,
        file: "rows.csv",
        bytes,
        source: X,
        keeps: "y",
        verdict,
    };
    let columns = |count: usize| (0..count).map(|at| format!("c{at},")).collect::<String>();
    let wide = |count: usize| format!("{}x\n{}1\n", columns(count), "0,".repeat(count)).into_bytes();
    vec![
        file("csv-of-a-million-columns", wide(1_000_000), Fails(SCHEMA_MISMATCH)),
        file("csv-of-a-thousand-columns", wide(1_000), Rows(1)),
        file(
            "csv-record-of-a-million-columns",
            format!("x\n{}\n2\n", "1,".repeat(1_000_000)).into_bytes(),
            Dead(BAD, 1, 1),
        ),
        file("csv-header-without-end", vec![b'x'; LONG], Fails(RECORD_TOO_LONG)),
        file("csv-quote-never-closed", [b"x\n1\n\"".to_vec(), b"2\n".repeat(9 << 20)].concat(), Fails(RECORD_TOO_LONG)),
        file(
            "csv-quote-in-the-header-never-closed",
            [b"\"x\n".to_vec(), b"2\n".repeat(9 << 20)].concat(),
            Fails(RECORD_TOO_LONG),
        ),
        file("csv-of-quotes", [b"x\n".to_vec(), b"\"".repeat(4 << 20)].concat(), Dead(BAD_VALUE, 1, 0)),
        file("csv-header-twice", b"x,x\n1,2\n".to_vec(), Fails(SCHEMA_MISMATCH)),
        file("csv-without-the-column", b"y\n1\n".to_vec(), Fails(SCHEMA_MISMATCH)),
        file("csv-header-not-utf8", b"x\xff\n1\n".to_vec(), Fails(SCHEMA_MISMATCH)),
        file("csv-not-utf8", b"x\n1\n\xff\n2\n".to_vec(), Dead(BAD, 1, 2)),
        file("csv-with-nulls", b"x\n1\n\0\n2\n".to_vec(), Dead(BAD_VALUE, 1, 2)),
        file("csv-formula", b"x\n1\n=cmd|'/c calc'!A1\n2\n".to_vec(), Dead(BAD_VALUE, 1, 2)),
        file("csv-empty", Vec::new(), Rows(0)),
    ]
}

/// Other formats than the file's name says, and bytes of other kinds.
fn others() -> Vec<Input> {
    let random: Vec<u8> = (0..1 << 20)
        .scan(1_u32, |state, _| {
            *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            Some((*state >> 24) as u8 & 0xfe | 1)
        })
        .filter(|byte| *byte != b'\n')
        .collect();
    let file =
        |name, file, bytes: Vec<u8>, verdict: Verdict| Input { name, file, bytes, source: X, keeps: "y", verdict };
    vec![
        Input::json(
            "an-executable",
            std::fs::read("/proc/self/exe").map(|bytes| bytes[..64].to_vec()).expect("this program"),
            Dead(BAD, 1, 0),
        ),
        Input::json("random-bytes", random, Dead(BAD, 1, 0)),
        file("json-as-csv", "rows.csv", rows(10), Fails(SCHEMA_MISMATCH)),
        file("json-as-parquet", "rows.parquet", rows(10), Fails(CORRUPT_PARQUET)),
    ]
}
