//! Raw columns: what crosses between guest and host, as the WIT types have it, with no library's types.
//!
//! The sandbox moves these, the dataflow checks them and makes Arrow arrays of them. Nothing that came from a guest
//! is trusted while it has one of these types.

/// A column on its way into a guest, borrowed from wherever it lies.
#[derive(Clone, Copy, Debug)]
pub struct ColumnRef<'a> {
    /// One bit a row, least significant first, `⌈rows / 8⌉` bytes; none when no row is null.
    pub validity: Option<&'a [u8]>,
    /// The buffers in the order of the Arrow columnar format, exact sizes, offsets from 0.
    pub buffers: &'a [&'a [u8]],
}

/// A batch on its way into a guest.
#[derive(Clone, Copy, Debug)]
pub struct BatchRef<'a> {
    /// Rows in every column.
    pub rows: u32,
    /// The columns, in the order of the port's fields.
    pub columns: &'a [ColumnRef<'a>],
}

/// A column that a guest gave back: not checked yet.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Column {
    /// See [`ColumnRef::validity`].
    pub validity: Option<Vec<u8>>,
    /// See [`ColumnRef::buffers`].
    pub buffers: Vec<Vec<u8>>,
}

/// One output port of a call: not checked yet.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct PortOutput {
    /// Rows in every column, says the guest.
    pub rows: u32,
    /// The new columns.
    pub columns: Vec<Column>,
    /// For each output row the `u32` (little-endian) index of the input row that it came from; none is one to one.
    pub origin: Option<Vec<u8>>,
}

/// The rows that failed: not checked yet.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Failures {
    /// `u32` (little-endian) indexes of input rows, ascending.
    pub rows: Vec<u8>,
    /// A utf8 column of messages: offsets and data.
    pub messages: Vec<Vec<u8>>,
}

/// What a call gave back: not checked yet.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Output {
    /// One for each output port.
    pub ports: Vec<PortOutput>,
    /// The rows that failed, if any.
    pub failed: Option<Failures>,
}
