//! Compressed streams: bombs of all kinds, and streams that are damaged, cut or something else.

use super::Verdict::{Dead, Fails, Rows};
use super::{BAD, Input, Verdict, X, rows};
use flate2::Compression;
use flate2::write::GzEncoder;
use lockgate_core::error::code::*;
use std::io::Write as _;

pub fn inputs() -> Vec<Input> {
    let gzipped = |name, bytes, verdict| file(name, "rows.json.gz", bytes, verdict);
    let packed = |name, bytes, verdict| file(name, "rows.json.zst", bytes, verdict);
    let honest = gzip(&rows(1_000));
    let mut checksum = honest.clone();
    let at = checksum.len() - 8;
    checksum[at] ^= 1;
    let cut = honest[..honest.len() - 9].to_vec();
    // Flags say that a name follows, which has no end.
    let header = [&[0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 0][..], &vec![b'n'; 8 << 20]].concat();
    let frame = zstd(&rows(1_000), 3);
    vec![
        // 16 GiB in 16 MiB: members of zeros, each within the ratio's grace.
        gzipped("gzip-bomb-of-many-members", gzip(&vec![0; 16 << 20]).repeat(1_000), Fails(EXPANSION)),
        gzipped("gzip-bomb-of-lines", gzip(&b"\n".repeat(32 << 20)), Fails(EXPANSION)),
        gzipped("gzip-bomb-of-rows", gzip(&b"{\"x\":1}\n".repeat(4 << 20)), Fails(EXPANSION)),
        gzipped("gzip-within-gzip", gzip(&gzip(&rows(1_000))), Dead(BAD, 1, 0)),
        gzipped("gzip-members-of-nothing", gzip(&[]).repeat(10_000), Rows(0)),
        gzipped("gzip-with-an-endless-header", header, Fails(CORRUPT_STREAM)),
        gzipped("gzip-with-a-wrong-checksum", checksum, Fails(CORRUPT_STREAM)),
        gzipped("gzip-cut-short", cut, Fails(CORRUPT_STREAM)),
        gzipped("gzip-with-a-tail", [honest.clone(), b"more".to_vec()].concat(), Fails(CORRUPT_STREAM)),
        gzipped("gzip-that-is-text", rows(10), Fails(CORRUPT_STREAM)),
        packed("zstd-bomb", zstd(&vec![0; 64 << 20], 3), Fails(EXPANSION)),
        packed("zstd-bomb-of-many-frames", zstd(&vec![0; 16 << 20], 3).repeat(1_000), Fails(EXPANSION)),
        packed("zstd-with-a-window-of-128-mib", window(27), Fails(WINDOW_TOO_LARGE)),
        packed("zstd-with-a-window-of-2-gib", window(31), Fails(WINDOW_TOO_LARGE)),
        packed("zstd-frames-of-nothing", [0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0].repeat(200_000), Rows(0)),
        packed(
            "zstd-that-skips-without-end",
            [&[0x50, 0x2a, 0x4d, 0x18][..], &[0xff; 4], &[0; 100]].concat(),
            Fails(CORRUPT_STREAM),
        ),
        packed(
            "zstd-that-wants-a-dictionary",
            [0x28, 0xb5, 0x2f, 0xfd, 0x21, 7, 10, 0x51, 0, 0].to_vec(),
            Fails(CORRUPT_STREAM),
        ),
        packed("zstd-cut-short", frame[..frame.len() - 5].to_vec(), Fails(CORRUPT_STREAM)),
        packed("zstd-that-is-gzip", honest, Fails(CORRUPT_STREAM)),
    ]
}

fn file(name: &'static str, file: &'static str, bytes: Vec<u8>, verdict: Verdict) -> Input {
    Input { name, file, bytes, source: X, keeps: "y", verdict }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn zstd(bytes: &[u8], level: i32) -> Vec<u8> {
    zstd::bulk::compress(bytes, level).expect("memory")
}

/// A frame of one raw block that says its window has 2 to the power of `log` bytes (RFC 8878, 3.1.1.1.2).
fn window(log: u8) -> Vec<u8> {
    [&[0x28, 0xb5, 0x2f, 0xfd, 0, (log - 10) << 3][..], &[0x19, 0, 0, b'x', b'y', b'z']].concat()
}
