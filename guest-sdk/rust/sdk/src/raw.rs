//! Raw columns: what crosses between guest and host, as the WIT types have it.
//!
//! Everything else in this crate is a way to read these and to write them. They are types of our own, not the
//! generated ones, so that the same batch code runs natively in tests, where there are no bindings.

/// The buffers of one column.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Column {
    /// One bit a row, least significant first, `⌈rows / 8⌉` bytes; none when no row is null.
    pub validity: Option<Vec<u8>>,
    /// Fixed width and bool: `[data]`; utf8 and binary: `[offsets (i32, rows + 1 of them), data]`. Little-endian.
    pub buffers: Vec<Vec<u8>>,
}

/// Columns with equally many rows.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Batch {
    /// Rows in every column.
    pub rows: u32,
    /// The columns, in the order of the port's fields.
    pub columns: Vec<Column>,
}

impl Batch {
    /// [`Batch::rows`] as a length.
    pub fn len(&self) -> usize {
        usize::try_from(self.rows).unwrap_or(usize::MAX)
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }
}

/// What comes out of one port.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct PortOutput {
    /// The new columns.
    pub data: Batch,
    /// For each output row the `u32` (little-endian) index of the input row that it came from; none is one to one.
    pub origin: Option<Vec<u8>>,
}

/// The rows that failed.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Failures {
    /// `u32` (little-endian) indexes of input rows, ascending.
    pub rows: Vec<u8>,
    /// A utf8 column of messages: offsets and data.
    pub messages: Vec<Vec<u8>>,
}

/// What a call gives back.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Output {
    /// One for each output port.
    pub ports: Vec<PortOutput>,
    /// The rows that failed, if any.
    pub failed: Option<Failures>,
}
