//! Parquet files that are small and decode to much: pages that unpack to hundreds of megabytes, dictionaries and shared
//! prefixes that repeat a long text in every row.

use super::Verdict::{Fails, Rows};
use super::{Input, Verdict};
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use lockgate_core::error::code::*;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, GzipLevel};
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};
use std::sync::Arc;

const SCHEMA: &str = "schema = [\"x: int64\", \"s: utf8\"]";

pub fn inputs() -> Vec<Input> {
    let zstd = Compression::ZSTD(Default::default());
    let page = |codec| file(1, 130 << 20, properties(codec).set_dictionary_enabled(false));
    let dictionary = properties(zstd).set_dictionary_page_size_limit(64 << 20);
    let prefixes =
        properties(zstd).set_dictionary_enabled(false).set_column_encoding("s".into(), Encoding::DELTA_BYTE_ARRAY);
    vec![
        input("parquet-page-bomb-of-snappy", page(Compression::SNAPPY), Fails(PARQUET_LIMIT)),
        input("parquet-page-bomb-of-zstd", page(zstd), Fails(PARQUET_LIMIT)),
        input("parquet-page-bomb-of-gzip", page(Compression::GZIP(GzipLevel::default())), Fails(PARQUET_LIMIT)),
        // 1.2 GiB of text in less than 10 KiB.
        input("parquet-dictionary-that-expands", file(300, 4 << 20, dictionary), Rows(300)),
        input("parquet-prefixes-that-expand", file(300, 4 << 20, prefixes), Rows(300)),
    ]
}

fn input(name: &'static str, bytes: Vec<u8>, verdict: Verdict) -> Input {
    Input { name, file: "rows.parquet", bytes, source: SCHEMA, keeps: "s", verdict }
}

fn properties(codec: Compression) -> WriterPropertiesBuilder {
    WriterProperties::builder().set_compression(codec).set_data_page_size_limit(1 << 30)
}

/// So many rows, each with a text of so many bytes, always the same. Written in parts, to hold little of it at once.
fn file(rows: usize, length: usize, properties: WriterPropertiesBuilder) -> Vec<u8> {
    let text = "a".repeat(length);
    let part = rows.min(20);
    let columns = |from: usize| -> [(&str, ArrayRef); 2] {
        let x = Int64Array::from_iter_values((from..from + part).map(|x| x as i64));
        [("x", Arc::new(x)), ("s", Arc::new(StringArray::from_iter_values((0..part).map(|_| text.as_str()))))]
    };
    let batches = (0..rows).step_by(part).map(|from| RecordBatch::try_from_iter(columns(from)).unwrap());
    let mut writer = None;
    for batch in batches {
        let new = || ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties.clone().build())).unwrap();
        writer.get_or_insert_with(new).write(&batch).unwrap();
    }
    writer.expect("a batch").into_inner().unwrap()
}
