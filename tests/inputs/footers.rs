//! Parquet files whose metadata lies: about counts, offsets, sizes, the schema and its own length.

use super::Verdict::{Fails, Rows};
use super::{Input, Verdict, X};
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use bytes::Bytes;
use lockgate_core::error::code::*;
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::{
    ColumnChunkMetaDataBuilder, ParquetMetaData, ParquetMetaDataReader, ParquetMetaDataWriter, RowGroupMetaDataBuilder,
};
use parquet::file::properties::WriterProperties;
use std::sync::Arc;

pub fn inputs() -> Vec<Input> {
    [lengths(), counts(), schemas()].into_iter().flatten().collect()
}

fn file(name: &'static str, bytes: Vec<u8>, verdict: Verdict) -> Input {
    Input { name, file: "rows.parquet", bytes, source: X, keeps: "y", verdict }
}

/// 100 rows of `x` and `s`.
fn honest() -> Vec<u8> {
    let x: ArrayRef = Arc::new(Int64Array::from_iter_values(0..100));
    let s: ArrayRef = Arc::new(StringArray::from_iter_values((0..100).map(|x| format!("s{x}"))));
    write(&[("x", x), ("s", s)], WriterProperties::builder().build())
}

/// A file of these columns.
pub fn write(columns: &[(&str, ArrayRef)], properties: WriterProperties) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter(columns.iter().map(|(name, column)| (*name, column.clone()))).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

/// Where the footer begins.
fn footer(bytes: &[u8]) -> usize {
    let length: [u8; 4] = bytes[bytes.len() - 8..bytes.len() - 4].try_into().unwrap();
    bytes.len() - 8 - u32::from_le_bytes(length) as usize
}

/// The file with other metadata.
fn with(change: impl FnOnce(ParquetMetaData) -> ParquetMetaData) -> Vec<u8> {
    let bytes = Bytes::from(honest());
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&bytes).unwrap();
    let mut out = bytes[..footer(&bytes)].to_vec();
    ParquetMetaDataWriter::new(&mut out, &change(metadata)).finish().unwrap();
    out
}

/// The file with another only row group.
fn group(change: impl FnOnce(RowGroupMetaDataBuilder) -> RowGroupMetaDataBuilder) -> Vec<u8> {
    with(|metadata| {
        let mut builder = metadata.into_builder();
        let group = builder.take_row_groups().remove(0);
        builder.add_row_group(change(group.into_builder()).build().unwrap()).build()
    })
}

/// The file with other metadata of the column `x`.
fn column(change: impl FnOnce(ColumnChunkMetaDataBuilder) -> ColumnChunkMetaDataBuilder) -> Vec<u8> {
    with(|metadata| {
        let mut builder = metadata.into_builder();
        let group = builder.take_row_groups().remove(0);
        let mut columns = group.columns().to_vec();
        columns[0] = change(columns[0].clone().into_builder()).build().unwrap();
        builder.add_row_group(group.into_builder().set_column_metadata(columns).build().unwrap()).build()
    })
}

fn lengths() -> Vec<Input> {
    let honest = honest();
    let end = honest.len();
    let with_length = |length: u32| [&honest[..end - 8], &length.to_le_bytes(), b"PAR1"].concat();
    let real = (end - 8 - footer(&honest)) as u32;
    let encrypted = [&honest[..end - 4], b"PARE"].concat();
    // A list of 2^31 row groups, in a handful of bytes.
    let lists = [&b"PAR1"[..], &[0x49, 0xfc, 0x80, 0x80, 0x80, 0x80, 0x08, 0], &8_u32.to_le_bytes(), b"PAR1"].concat();
    let deep = [b"PAR1".to_vec(), vec![0x1c; 100_000], 100_000_u32.to_le_bytes().to_vec(), b"PAR1".to_vec()].concat();
    vec![
        file("parquet-honest", honest.clone(), Rows(100)),
        file("parquet-empty", Vec::new(), Fails(CORRUPT_PARQUET)),
        file("parquet-of-one-byte", b"P".to_vec(), Fails(CORRUPT_PARQUET)),
        file("parquet-magic-and-nothing-else", b"PAR1PAR1".to_vec(), Fails(PARQUET_LIMIT)),
        file("parquet-cut-short", honest[..end - 1].to_vec(), Fails(CORRUPT_PARQUET)),
        file("parquet-without-its-beginning", honest[100..].to_vec(), Fails(CORRUPT_PARQUET)),
        file("parquet-footer-of-4-gib", with_length(u32::MAX), Fails(PARQUET_LIMIT)),
        file("parquet-footer-longer-than-the-file", with_length(8 << 20), Fails(CORRUPT_PARQUET)),
        file("parquet-footer-of-nothing", with_length(0), Fails(CORRUPT_PARQUET)),
        file("parquet-footer-a-byte-short", with_length(real - 1), Fails(CORRUPT_PARQUET)),
        file("parquet-that-is-encrypted", encrypted, Fails(CORRUPT_PARQUET)),
        file("parquet-with-lists-of-billions", lists, Fails(PARQUET_LIMIT)),
        file("parquet-footer-of-endless-depth", deep, Fails(PARQUET_LIMIT)),
    ]
}

fn counts() -> Vec<Input> {
    let corrupt = Fails(CORRUPT_PARQUET);
    vec![
        file("parquet-with-a-quintillion-rows", group(|group| group.set_num_rows(1 << 60)), corrupt),
        file("parquet-with-rows-below-nothing", group(|group| group.set_num_rows(-1)), corrupt),
        file("parquet-with-more-rows-than-values", group(|group| group.set_num_rows(200)), corrupt),
        file("parquet-with-more-values-than-there-are", column(|x| x.set_num_values(1 << 40)), corrupt),
        file("parquet-with-values-below-nothing", column(|x| x.set_num_values(-5)), corrupt),
        file(
            "parquet-column-behind-the-end",
            column(|x| x.set_dictionary_page_offset(None).set_data_page_offset(1 << 40)),
            corrupt,
        ),
        file("parquet-column-before-the-beginning", column(|x| x.set_data_page_offset(-1)), corrupt),
        file(
            "parquet-column-that-is-the-footer",
            column(|x| x.set_dictionary_page_offset(None).set_data_page_offset(footer(&honest()) as i64)),
            corrupt,
        ),
        file("parquet-column-of-an-exabyte", column(|x| x.set_total_compressed_size(1 << 60)), corrupt),
        file("parquet-column-of-less-than-nothing", column(|x| x.set_total_compressed_size(-1)), corrupt),
        file("parquet-column-of-nothing", column(|x| x.set_total_compressed_size(0)), corrupt),
        file(
            "parquet-column-of-another-codec",
            column(|x| x.set_compression(parquet::basic::Compression::SNAPPY)),
            corrupt,
        ),
        file("parquet-column-without-its-dictionary", column(|x| x.set_dictionary_page_offset(None)), corrupt),
    ]
}

fn schemas() -> Vec<Input> {
    let numbers = || Arc::new(Int64Array::from_iter_values(0..10)) as ArrayRef;
    let text = Arc::new(StringArray::from_iter_values((0..10).map(|x| x.to_string()))) as ArrayRef;
    let names: Vec<String> = (0..3_000).map(|at| format!("c{at}")).collect();
    let mut wide: Vec<(&str, ArrayRef)> = names.iter().map(|name| (name.as_str(), numbers())).collect();
    wide.push(("x", numbers()));
    let plain = || WriterProperties::builder().set_dictionary_enabled(false).build();
    vec![
        file("parquet-without-the-column", write(&[("y", numbers())], plain()), Fails(SCHEMA_MISMATCH)),
        file(
            "parquet-with-the-column-twice",
            write(&[("x", numbers()), ("x", numbers())], plain()),
            Fails(SCHEMA_MISMATCH),
        ),
        file("parquet-of-another-type", write(&[("x", text)], plain()), Fails(SCHEMA_MISMATCH)),
        file("parquet-of-thousands-of-columns", write(&wide, plain()), Rows(10)),
    ]
}
