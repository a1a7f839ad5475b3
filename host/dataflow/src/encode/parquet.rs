//! Parquet with pages compressed by zstd.
//!
//! Row groups end after a number of rows or, sooner, of bytes: what is buffered stays bounded, and a reader of the file
//! needs no more memory for one than we did.

use super::{fits, not_taken};
use crate::Encoder;
use crate::schema::arrow_schema;
use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::SchemaRef;
use lockgate_core::error::code;
use lockgate_core::types::Field;
use lockgate_core::{Error, Result};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use std::io::Write;

const ROW_GROUP_ROWS: usize = 256 << 10;
const ROW_GROUP_BYTES: usize = 16 << 20;

/// Writes Parquet.
pub(super) struct Parquet {
    schema: SchemaRef,
    writer: ArrowWriter<Vec<u8>>,
}

impl Parquet {
    pub(super) fn new(fields: &[Field]) -> Result<Self> {
        let schema = arrow_schema(fields);
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(super::ZSTD_LEVEL).map_err(refused)?))
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .build();
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(Vec::new(), schema.clone(), options).map_err(refused)?;
        Ok(Self { schema, writer })
    }

    /// Hands on what the writer has finished.
    fn send(&mut self, out: &mut dyn Write) -> Result<()> {
        let bytes = self.writer.inner_mut();
        if !bytes.is_empty() {
            out.write_all(bytes).map_err(|error| not_taken(&error))?;
            bytes.clear();
        }
        Ok(())
    }
}

impl Encoder for Parquet {
    fn write(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> Result<()> {
        fits(batch, &self.schema)?;
        let count = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), batch.columns().to_vec(), &count)
            .map_err(|error| Error::new(code::NOT_ENCODABLE, format!("the batch does not fit the sink: {error}")))?;
        self.writer.write(&batch).map_err(refused)?;
        if self.writer.in_progress_size() >= ROW_GROUP_BYTES {
            self.writer.flush().map_err(refused)?;
        }
        self.send(out)
    }

    fn finish(mut self: Box<Self>, out: &mut dyn Write) -> Result<()> {
        self.writer.finish().map_err(refused)?;
        self.send(out)
    }
}

fn refused(error: ParquetError) -> Error {
    Error::new(code::NOT_ENCODABLE, format!("Parquet cannot be written: {error}"))
}
