//! Columns that lie: every rule of the contract broken once.

use crate::bindings::lockgate::udf::types::{Failures, Output};
use crate::{Attack, column, honest, longs, output, words};

pub fn attacks() -> Vec<(&'static str, &'static str, Attack)> {
    vec![
        ("honest", "int64", |x| Ok(honest(x))),
        ("no-port", "int64", |_| Ok(Output { ports: vec![], failed: None })),
        ("two-ports", "int64", |x| {
            let mut out = honest(x);
            out.ports.extend(honest(x).ports);
            Ok(out)
        }),
        ("no-column", "int64", |x| Ok(output(x.len(), vec![]))),
        ("two-columns", "int64", |x| Ok(output(x.len(), vec![column(vec![longs(x)]), column(vec![longs(x)])]))),
        ("no-buffer", "int64", |x| Ok(output(x.len(), vec![column(vec![])]))),
        ("two-buffers", "int64", |x| Ok(output(x.len(), vec![column(vec![longs(x), longs(x)])]))),
        ("short-buffer", "int64", |x| Ok(output(x.len(), vec![column(vec![longs(&x[1..])])]))),
        ("long-buffer", "int64", |x| Ok(output(x.len(), vec![column(vec![[longs(x), vec![0]].concat()])]))),
        ("more-rows", "int64", |x| Ok(output(x.len() + 1, vec![column(vec![longs(x)])]))),
        ("huge-rows", "int64", |x| Ok(output(u32::MAX as usize, vec![column(vec![longs(x)])]))),
        ("fewer-rows-without-origin", "int64", |x| Ok(honest(&x[1..]))),
        ("validity-short", "int64", |x| validity(x, vec![])),
        ("validity-long", "int64", |x| validity(x, vec![0xff; x.len() / 8 + 2])),
        ("null-where-none-may-be", "int64", |x| validity(x, vec![0; x.len().div_ceil(8)])),
        ("bool-short", "bool", |x| Ok(output(x.len(), vec![column(vec![vec![0; x.len().div_ceil(8) - 1]])]))),
        ("bool-long", "bool", |x| Ok(output(x.len(), vec![column(vec![vec![0; x.len().div_ceil(8) + 1]])]))),
        ("offsets-short", "utf8", |x| text(x, words((0..x.len()).map(|_| 0)), b"")),
        ("offsets-from-one", "utf8", |x| text(x, words((0..=x.len()).map(|_| 1)), b"a")),
        ("offsets-fall", "utf8", |x| text(x, words((0..=x.len()).map(|at| [0, 2, 1][at.min(2)])), b"a")),
        ("offsets-negative", "utf8", |x| {
            text(x, words((0..=x.len()).map(|at| if at == 1 { u32::MAX } else { 0 })), b"")
        }),
        ("offsets-overrun", "utf8", |x| text(x, words((0..=x.len()).map(|at| if at == 0 { 0 } else { 9 })), b"a")),
        ("offsets-end-early", "utf8", |x| text(x, words((0..=x.len()).map(|_| 0)), b"abc")),
        ("utf8-invalid", "utf8", |x| text(x, words((0..=x.len()).map(|at| at.min(1) as u32)), b"\xff")),
        ("utf8-split", "utf8", |x| text(x, words((0..=x.len()).map(|at| at.min(2) as u32)), "ä".as_bytes())),
        ("binary-offsets-fall", "binary", |x| text(x, words((0..=x.len()).map(|at| [0, 2, 1][at.min(2)])), b"a")),
        ("decimal-too-wide", "decimal128(3, 0)", |x| {
            let values = x.iter().flat_map(|_| 1_000_i128.to_le_bytes()).collect();
            Ok(output(x.len(), vec![column(vec![values])]))
        }),
        ("origin-short", "int64", |x| origin(x, words(0..x.len() as u32 - 1))),
        ("origin-odd", "int64", |x| origin(x, vec![0; 4 * x.len() + 1])),
        ("origin-falls", "int64", |x| origin(x, words((0..x.len() as u32).rev()))),
        ("origin-overruns", "int64", |x| origin(x, words(x.iter().map(|_| x.len() as u32)))),
        ("failed-odd", "int64", |_| failed(vec![0; 3], text_column(1))),
        ("failed-overruns", "int64", |x| failed(words([x.len() as u32]), text_column(1))),
        ("failed-twice", "int64", |_| failed(words([0, 0]), text_column(2))),
        ("failed-falls", "int64", |_| failed(words([1, 0]), text_column(2))),
        ("failed-too-few-messages", "int64", |_| failed(words([0, 1]), text_column(1))),
        ("failed-no-messages", "int64", |_| failed(words([0]), vec![])),
        ("failed-bad-text", "int64", |_| failed(words([0]), vec![words([0, 1]), b"\xff".to_vec()])),
        ("failed-and-kept", "int64", |x| {
            let mut out = origin(x, words(0..x.len() as u32))?;
            out.failed = Some(Failures { rows: words([0]), messages: text_column(1) });
            Ok(out)
        }),
    ]
}

fn validity(x: &[i64], bits: Vec<u8>) -> Result<Output, String> {
    let mut y = column(vec![longs(x)]);
    y.validity = Some(bits);
    Ok(output(x.len(), vec![y]))
}

fn text(x: &[i64], offsets: Vec<u8>, data: &[u8]) -> Result<Output, String> {
    Ok(output(x.len(), vec![column(vec![offsets, data.to_vec()])]))
}

fn origin(x: &[i64], origin: Vec<u8>) -> Result<Output, String> {
    let mut out = honest(x);
    out.ports[0].origin = Some(origin);
    Ok(out)
}

/// No output row, these failed.
fn failed(rows: Vec<u8>, messages: Vec<Vec<u8>>) -> Result<Output, String> {
    let mut out = honest(&[]);
    out.ports[0].origin = Some(vec![]);
    out.failed = Some(Failures { rows, messages });
    Ok(out)
}

/// A utf8 column of `rows` times "no".
fn text_column(rows: u32) -> Vec<Vec<u8>> {
    vec![words((0..=rows).map(|at| 2 * at)), "no".repeat(rows as usize).into_bytes()]
}
