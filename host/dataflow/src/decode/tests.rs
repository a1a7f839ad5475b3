//! Decoding every format: round trips, bad records, positions, bombs.

use super::*;
use crate::{Decoded, Input, Rows};
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use bytes::Bytes;
use flate2::write::GzEncoder;
use lockgate_core::plan::{OnError, SourceConnector};
use proptest::prelude::*;
use std::io::Write;

/// Bytes in memory, handed out at most `most` at a time.
pub(crate) struct Memory {
    bytes: Bytes,
    most: usize,
    /// Bytes read.
    pub(crate) read: u64,
}

impl Memory {
    pub(crate) fn new(bytes: impl Into<Bytes>) -> Self {
        Self { bytes: bytes.into(), most: usize::MAX, read: 0 }
    }

    pub(crate) fn by(bytes: impl Into<Bytes>, most: usize) -> Self {
        Self { most, ..Self::new(bytes) }
    }
}

impl Input for Memory {
    fn size(&self) -> Option<u64> {
        Some(self.bytes.len() as u64)
    }

    fn read(&mut self, offset: u64, length: usize) -> Result<Bytes> {
        let start = usize::try_from(offset).unwrap().min(self.bytes.len());
        let end = (start + length.min(self.most)).min(self.bytes.len());
        self.read += (end - start) as u64;
        Ok(self.bytes.slice(start..end))
    }
}

pub(crate) fn source(kind: FormatKind) -> Source {
    Source {
        connector: SourceConnector::Stdin,
        format: Some(Format { kind, compression: Compression::Auto }),
        on_error: OnError::Fail,
        projection: None,
    }
}

pub(crate) fn csv(header: bool) -> FormatKind {
    FormatKind::Csv { header, delimiter: b',', null: String::new() }
}

pub(crate) fn decode_all(
    source: &Source,
    fields: &[Field],
    split: &str,
    batch_rows: u32,
    start: Option<&[u8]>,
    input: &mut dyn Input,
) -> Result<Vec<Decoded>> {
    drain(decoder(source, fields, split, batch_rows, start)?, input)
}

pub(crate) fn drain(mut decoder: Box<dyn Decoder>, input: &mut dyn Input) -> Result<Vec<Decoded>> {
    let mut all = Vec::new();
    while let Some(decoded) = decoder.next(input)? {
        all.push(decoded);
    }
    assert!(decoder.next(input)?.is_none());
    Ok(all)
}

fn small() -> Limits {
    Limits { record: 40, batch_bytes: 100, ratio: 8, ratio_from: 64 << 10, ..Limits::DEFAULT }
}

pub(crate) fn field(name: &str, logical: &str, nullable: bool) -> Field {
    Field::new(name, logical.parse().unwrap(), nullable)
}

pub(crate) fn failure<T>(result: Result<T>) -> lockgate_core::error::Code {
    result.err().expect("must be refused").code()
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn text(decoded: &[Decoded]) -> Vec<String> {
    let column = |decoded: &Decoded| {
        let column = decoded.tracked.batch.column(0).as_string::<i32>();
        column.iter().map(|text| text.unwrap().to_owned()).collect::<Vec<_>>()
    };
    decoded.iter().flat_map(column).collect()
}

/// What can be compared of a batch.
type Comparable = (arrow_array::RecordBatch, Rows, Vec<(u64, String)>, Vec<u8>);

pub(crate) fn comparable(decoded: &[Decoded]) -> Vec<Comparable> {
    let bad =
        |decoded: &Decoded| decoded.bad.iter().map(|bad| (bad.row, format!("{} {}", bad.error, bad.input))).collect();
    decoded.iter().map(|d| (d.tracked.batch.clone(), d.tracked.rows.clone(), bad(d), d.position.clone())).collect()
}

fn lines_fields() -> Vec<Field> {
    vec![field("line", "utf8", false)]
}

#[test]
fn lines_are_what_stands_between_line_breaks() {
    let bytes = b"\xef\xbb\xbfone\r\n\ntwo\xff\n\xc3\xa4\nlast".to_vec();
    let all =
        decode_all(&source(FormatKind::Lines), &lines_fields(), "x", 10, None, &mut Memory::by(bytes, 2)).unwrap();
    assert_eq!(text(&all), ["one", "", "ä", "last"]);
    assert_eq!(all[0].tracked.rows, Rows::Each([0, 1, 3, 4].into()));
    assert_eq!((all[0].bad[0].row, all[0].bad[0].input.as_str()), (2, "two\u{fffd}\n"));
    assert_eq!(all[0].bad[0].error.code(), code::BAD_RECORD);
}

#[test]
fn lines_have_one_column() {
    for fields in [vec![field("text", "utf8", false)], vec![field("line", "binary", false)]] {
        assert_eq!(failure(decoder(&source(FormatKind::Lines), &fields, "x", 1, None)), code::SCHEMA_MISMATCH);
    }
}

#[test]
fn an_empty_split_has_no_batch() {
    for kind in [FormatKind::Lines, FormatKind::Json, csv(true)] {
        assert!(decode_all(&source(kind), &lines_fields(), "x", 8, None, &mut Memory::new("")).unwrap().is_empty());
    }
}

#[test]
fn an_endless_line_is_one_bad_record() {
    for most in [7, 41, 1000] {
        let bytes =
            [b"short\n".to_vec(), vec![b'x'; 5000], b"\nnext\n".to_vec(), vec![b'y'; 41], b"\n".to_vec()].concat();
        let decoder = decoder_within(small(), &source(FormatKind::Lines), &lines_fields(), "x", 8, None).unwrap();
        let all = drain(decoder, &mut Memory::by(bytes, most)).unwrap();
        assert_eq!(text(&all), ["short", "next"]);
        let bad: Vec<_> =
            all.iter().flat_map(|d| &d.bad).map(|bad| (bad.row, bad.error.code(), bad.input.len())).collect();
        assert_eq!(bad, [(1, code::RECORD_TOO_LONG, 40), (3, code::RECORD_TOO_LONG, 40)]);
    }
}

#[test]
fn the_beginning_of_a_bad_record_is_at_most_4_kib() {
    let line = format!("a{}\n", "é".repeat(5000));
    let all = decode_all(&source(FormatKind::Json), &[field("a", "int64", true)], "x", 8, None, &mut Memory::new(line));
    assert_eq!(all.unwrap()[0].bad[0].input.len(), 4095);
}

#[test]
fn json_numbers_bad_records_and_skips_blank_lines() {
    let bytes = "{\"n\":1}\n\n{\"n\":null}\n{\"m\":1}\n{\"n\":\"x\"}\nnonsense\n  \n{\"n\":6}\n{\"n\":1e2}";
    let all =
        decode_all(&source(FormatKind::Json), &[field("n", "int64", false)], "x", 100, None, &mut Memory::new(bytes));
    let all = all.unwrap();
    assert_eq!(all[0].tracked.batch.column(0).as_primitive::<Int64Type>().values(), &[1, 6]);
    assert_eq!(all[0].tracked.rows, Rows::Each([0, 5].into()));
    let bad: Vec<_> = all[0].bad.iter().map(|bad| (bad.row, bad.error.code())).collect();
    let value = code::BAD_VALUE;
    assert_eq!(bad, [(1, value), (2, value), (3, value), (4, code::BAD_RECORD), (6, value)]);
}

#[test]
fn a_record_that_fails_in_its_last_column_leaves_nothing_behind() {
    let fields = [field("a", "utf8", false), field("b", "int8", true), field("c", "bool", false)];
    let bytes = "{\"a\":\"x\",\"b\":1,\"c\":7}\n{\"a\":\"y\",\"b\":300,\"c\":true}\n{\"a\":\"z\",\"b\":3,\"c\":true}\n";
    let all = decode_all(&source(FormatKind::Json), &fields, "x", 100, None, &mut Memory::new(bytes)).unwrap();
    assert_eq!(text(&all), ["z"]);
    assert_eq!(all[0].tracked.rows, Rows::Each([2].into()));
}

#[test]
fn csv_finds_columns_by_the_header() {
    let fields = [field("b", "int32", true), field("a", "utf8", false)];
    let bytes = "a,x,b\r\n\"q\"\"uo,te\nd\",,1\r\n\r\nplain,y,\r\nshort,1\nlong,1,2,3\nbad,1,z\n";
    for most in [1, 3, 1000] {
        let all = decode_all(&source(csv(true)), &fields, "x", 100, None, &mut Memory::by(bytes, most)).unwrap();
        let batch = &all[0].tracked.batch;
        let names: Vec<_> = batch.column(1).as_string::<i32>().iter().flatten().collect();
        assert_eq!(names, ["q\"uo,te\nd", "plain"]);
        assert_eq!(batch.column(0).null_count(), 1);
        let bad: Vec<_> = all[0].bad.iter().map(|bad| (bad.row, bad.error.code())).collect();
        assert_eq!(bad, [(2, code::BAD_RECORD), (3, code::BAD_RECORD), (4, code::BAD_VALUE)]);
    }
}

#[test]
fn csv_refuses_a_header_without_the_columns() {
    let fields = [field("a", "utf8", true)];
    for header in ["b,c\n1,2\n", "a,a\n1,2\n"] {
        let all = decode_all(&source(csv(true)), &fields, "x", 8, None, &mut Memory::new(header));
        assert_eq!(failure(all), code::SCHEMA_MISMATCH);
    }
}

/// A stream that somebody stops.
struct Stopped(Memory);

impl Input for Stopped {
    fn size(&self) -> Option<u64> {
        None
    }

    fn read(&mut self, offset: u64, length: usize) -> Result<Bytes> {
        self.0.read(offset, length)
    }

    fn cut(&self) -> bool {
        true
    }
}

#[test]
fn a_stopped_stream_loses_its_unfinished_record_and_no_other() {
    let (line, a) = ([field("line", "utf8", false)], [field("a", "utf8", false)]);
    let zipped = gzip(b"a\nb\nc");
    for (kind, fields, name, bytes, rows) in [
        (FormatKind::Lines, &line, "x", b"a\nb\nc".to_vec(), 2),
        (FormatKind::Lines, &line, "x", b"a\nb\n".to_vec(), 2),
        (FormatKind::Lines, &line, "x", b"c".to_vec(), 0),
        (FormatKind::Json, &a, "x", b"{\"a\":\"x\"}\n{\"a\":".to_vec(), 1),
        (csv(true), &a, "x", b"a\nx\ny".to_vec(), 1),
        (FormatKind::Lines, &line, "x.gz", zipped[..zipped.len() - 8].to_vec(), 2),
    ] {
        let mut input = Stopped(Memory::new(bytes));
        let all = decode_all(&source(kind.clone()), fields, name, 8, None, &mut input).unwrap();
        let read: usize = all.iter().map(|decoded| decoded.tracked.batch.num_rows() + decoded.bad.len()).sum();
        assert_eq!(read, rows, "{kind:?} {name}");
    }
}

#[test]
fn csv_without_a_header_goes_by_place() {
    let fields = [field("c", "int32", true), field("a", "utf8", true)];
    let decode = |projection, bytes: &'static str| {
        let source = Source { projection, ..source(csv(false)) };
        decode_all(&source, &fields, "x", 8, None, &mut Memory::new(bytes)).unwrap().remove(0)
    };
    let plain = decode(None, "1,x\n2,y,more\n");
    assert_eq!((plain.tracked.batch.num_rows(), plain.bad.len()), (1, 1));
    let projected = decode(Some(vec![2, 0]), "x,skipped,1\ny,skipped,2,more\nz,short\n");
    assert_eq!((projected.tracked.batch.num_rows(), projected.bad.len()), (2, 1));
    assert_eq!(projected.tracked.batch.column(1).as_string::<i32>().value(1), "y");
}

#[test]
fn csv_fields_that_share_a_character_are_not_utf8() {
    let fields = [field("a", "utf8", true), field("b", "utf8", true)];
    let bytes = b"\xc3,\xa9\n\xc3\xa9,x\n".to_vec();
    let all = decode_all(&source(csv(false)), &fields, "x", 8, None, &mut Memory::new(bytes)).unwrap();
    assert_eq!(text(&all), ["é"]);
    assert_eq!((all[0].bad[0].row, all[0].bad[0].error.code()), (0, code::BAD_RECORD));
}

#[test]
fn csv_null_is_the_text_that_the_format_says() {
    let kind = FormatKind::Csv { header: true, delimiter: b';', null: "NA".into() };
    let fields =
        [field("a", "utf8", true), field("b", "utf8", false), field("c", "float64", true), field("d", "int8", false)];
    let bytes = "a;b;c;d\nNA;NA;NA;1\n;;1;1\nx;x;;1\nx;x;1;NA\n";
    let all = decode_all(&source(kind), &fields, "x", 8, None, &mut Memory::new(bytes)).unwrap();
    let batch = &all[0].tracked.batch;
    assert_eq!([0, 1, 2].map(|at| batch.column(at).null_count()), [1, 0, 1]);
    assert_eq!(batch.column(1).as_string::<i32>().value(0), "NA");
    assert_eq!(all[0].bad.iter().map(|bad| bad.row).collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn a_batch_is_full_when_its_text_passes_a_bound() {
    let bytes = format!("{}\n", "x".repeat(29)).repeat(10);
    let decoder = decoder_within(small(), &source(FormatKind::Lines), &lines_fields(), "x", 1000, None).unwrap();
    let all = drain(decoder, &mut Memory::new(bytes)).unwrap();
    assert_eq!(all.iter().map(|d| d.tracked.batch.num_rows()).collect::<Vec<_>>(), [4, 4, 2]);
}

#[test]
fn a_quote_never_closed_fails_the_split() {
    for most in [3, 41, 1000] {
        let bytes = format!("a\n1\n\"{}", "x\n".repeat(100));
        let fields = [field("a", "utf8", true)];
        let decoder = decoder_within(small(), &source(csv(true)), &fields, "x", 8, None).unwrap();
        assert_eq!(failure(drain(decoder, &mut Memory::by(bytes, most))), code::RECORD_TOO_LONG);
    }
}

#[test]
fn compressed_streams_are_read_whatever_their_members() {
    let parts = ["one\ntw", "o\n", "", "three\n"];
    let zstd: Vec<u8> = parts.iter().flat_map(|part| zstd::encode_all(part.as_bytes(), 1).unwrap()).collect();
    let gzip: Vec<u8> = parts.iter().flat_map(|part| gzip(part.as_bytes())).collect();
    for (split, bytes) in [("a.zst", zstd), ("b.gz", gzip)] {
        for most in [1, 7, 1000] {
            let input = &mut Memory::by(bytes.clone(), most);
            let all = decode_all(&source(FormatKind::Lines), &lines_fields(), split, 2, None, input).unwrap();
            assert_eq!(text(&all), ["one", "two", "three"], "{split}");
        }
        for refused in [&bytes[..bytes.len() - 1], &[&bytes[..], b"junk!"].concat(), b"", b"plain text"] {
            let input = &mut Memory::new(refused.to_vec());
            let all = decode_all(&source(FormatKind::Lines), &lines_fields(), split, 2, None, input);
            assert_eq!(failure(all), code::CORRUPT_STREAM, "{split} {refused:?}");
        }
    }
}

#[test]
fn bombs_are_refused_before_they_go_off() {
    let zeros = "0\n".repeat(32 << 20).into_bytes();
    for (split, bomb) in [("a.gz", gzip(&zeros)), ("a.zst", zstd::encode_all(&zeros[..], 3).unwrap())] {
        let fields = [field("line", "utf8", false)];
        let mut decoder = decoder(&source(FormatKind::Lines), &fields, split, 65_536, None).unwrap();
        let mut input = Memory::new(bomb);
        let mut rows = 0;
        let error = loop {
            match decoder.next(&mut input) {
                Ok(decoded) => rows += decoded.expect("must not end well").tracked.batch.num_rows(),
                Err(error) => break error,
            }
        };
        assert_eq!(error.code(), code::EXPANSION);
        assert!(rows <= 17 << 20, "{rows}");
    }
}

#[test]
fn a_large_zstd_window_is_refused() {
    for (log, refused) in [(23, false), (24, true), (31, true)] {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        if log <= 27 {
            encoder.window_log(log).unwrap();
        }
        // Longer than the window, or the frame would say that its content is all it needs.
        let mut bytes = vec![b'\n'; 100];
        encoder.write_all(&bytes).unwrap();
        bytes = encoder.finish().unwrap();
        if log > 27 {
            // The window's byte behind the magic and the frame's descriptor.
            bytes[5] = 21 << 3;
        }
        let all = decode_all(&source(FormatKind::Lines), &lines_fields(), "a.zst", 1000, None, &mut Memory::new(bytes));
        match refused {
            true => assert_eq!(failure(all), code::WINDOW_TOO_LARGE, "{log}"),
            false => assert_eq!(text(&all.unwrap()).len(), 100),
        }
    }
}

#[test]
fn a_plain_file_is_resumed_without_reading_it_again() {
    let bytes: String = (0..10_000).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    let size = bytes.len() as u64;
    let (source, fields) = (source(FormatKind::Json), [field("n", "int64", false)]);
    let all = decode_all(&source, &fields, "x", 1000, None, &mut Memory::new(bytes.clone())).unwrap();
    let mut input = Memory::new(bytes);
    let rest = decode_all(&source, &fields, "x", 1000, Some(&all[8].position), &mut input).unwrap();
    assert_eq!(comparable(&rest), comparable(&all[9..]));
    assert_eq!(rest[0].tracked.rows, Rows::From(9000));
    assert!(input.read < size / 9, "{}", input.read);
}

#[test]
fn positions_of_other_data_are_refused() {
    let all =
        decode_all(&source(FormatKind::Lines), &lines_fields(), "x", 1, None, &mut Memory::new("one\ntwo\n")).unwrap();
    let end = &all[1].position;
    let shorter = |split, bytes: Vec<u8>, kind| {
        failure(decode_all(&source(kind), &lines_fields(), split, 1, Some(end), &mut Memory::new(bytes)))
    };
    assert_eq!(shorter("x", b"one\n".to_vec(), FormatKind::Lines), code::INVALID_POSITION);
    assert_eq!(shorter("x.gz", gzip(b"one\n"), FormatKind::Lines), code::INVALID_POSITION);
    assert_eq!(shorter("x", b"line,and,more\n".to_vec(), csv(true)), code::INVALID_POSITION);
    assert_eq!(shorter("x", b"PAR1".to_vec(), FormatKind::Parquet), code::INVALID_POSITION);
    let same =
        decode_all(&source(FormatKind::Lines), &lines_fields(), "x", 1, Some(end), &mut Memory::new("one\ntwo\n"));
    assert!(same.unwrap().is_empty());
}

/// Text with some of everything.
fn messy() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => Just(&b"{\"a\":1,\"line\":\"x\"}"[..]), 2 => Just(&b"{\"line\":\"y\"}"[..]), 2 => Just(&b"7,zz"[..]),
        6 => Just(&b"\n"[..]), 2 => Just(&b"\r\n"[..]), 1 => Just(&b"\r"[..]), 1 => Just(&b"\""[..]), 1 => Just(&b","[..]),
        1 => Just(&b"\xff"[..]), 1 => Just(&b"\xef\xbb\xbf"[..]), 1 => Just(&b"a,line\n"[..]),
        1 => Just(&b"0123456789012345678901234567890123456789"[..]),
    ];
    proptest::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn resumed_runs_see_the_same_batches(
        bytes in messy(), rows in 1_u32..6, most in 1_usize..80, other in 1_usize..80, kind in 0..4, packing in 0..3,
    ) {
        let kind = [FormatKind::Lines, FormatKind::Json, csv(true), csv(false)][kind as usize].clone();
        // Whatever the header: a file of a single column has it.
        let bytes = if kind == csv(true) { [b"line\n", &bytes[..]].concat() } else { bytes };
        let (split, bytes) = match packing {
            0 => ("x", bytes),
            1 => ("x.gz", gzip(&bytes)),
            _ => ("x.zst", zstd::encode_all(&bytes[..], 1).unwrap()),
        };
        let (source, fields) = (source(kind), lines_fields());
        let run = |start: Option<&[u8]>, most| {
            let decoder = decoder_within(Limits { ratio: 1 << 20, ..small() }, &source, &fields, split, rows, start)?;
            drain(decoder, &mut Memory::by(bytes.clone(), most))
        };
        match run(None, most) {
            // Only a record without end.
            Err(error) => prop_assert_eq!(error.code(), code::RECORD_TOO_LONG),
            Ok(all) => {
                let whole = comparable(&all);
                let records = all.iter().map(|d| d.tracked.batch.num_rows() + d.bad.len());
                prop_assert!(records.clone().all(|records| (1..=rows as usize).contains(&records)));
                for at in 0..all.len() {
                    prop_assert_eq!(&comparable(&run(Some(&all[at].position), other).unwrap()), &whole[at + 1..]);
                }
                prop_assert_eq!(comparable(&run(None, other).unwrap()), whole);
            }
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), split in 0..4) {
        let split = ["x", "x.gz", "x.zst", "x"][split as usize];
        for kind in [FormatKind::Lines, FormatKind::Json, csv(true), FormatKind::Parquet] {
            let _ = decode_all(&source(kind), &lines_fields(), split, 3, None, &mut Memory::new(bytes.clone()));
        }
    }

    #[test]
    fn damaged_streams_never_panic(bytes in messy(), at: prop::sample::Index, with: u8) {
        for (split, mut bytes) in [("x.gz", gzip(&bytes)), ("x.zst", zstd::encode_all(&bytes[..], 1).unwrap())] {
            let at = at.index(bytes.len());
            bytes[at] = with;
            let _ = decode_all(&source(FormatKind::Lines), &lines_fields(), split, 3, None, &mut Memory::new(bytes));
        }
    }
}
