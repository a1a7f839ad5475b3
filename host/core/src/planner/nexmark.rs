//! The tables of the Nexmark suite.

use crate::plan::NexmarkTable;
use crate::types::{Field, LogicalType};

/// The columns of a table of Nexmark, in the order of the suite, none of them nullable.
pub fn nexmark_fields(table: NexmarkTable) -> Vec<Field> {
    const INT: LogicalType = LogicalType::Int64;
    const TEXT: LogicalType = LogicalType::Utf8;
    const TIME: LogicalType = LogicalType::Timestamp { utc: false };
    let columns: &[(&str, LogicalType)] = match table {
        NexmarkTable::Bid => &[
            ("auction", INT),
            ("bidder", INT),
            ("price", INT),
            ("channel", TEXT),
            ("url", TEXT),
            ("date_time", TIME),
            ("extra", TEXT),
        ],
        NexmarkTable::Auction => &[
            ("id", INT),
            ("item_name", TEXT),
            ("description", TEXT),
            ("initial_bid", INT),
            ("reserve", INT),
            ("date_time", TIME),
            ("expires", TIME),
            ("seller", INT),
            ("category", INT),
            ("extra", TEXT),
        ],
        NexmarkTable::Person => &[
            ("id", INT),
            ("name", TEXT),
            ("email_address", TEXT),
            ("credit_card", TEXT),
            ("city", TEXT),
            ("state", TEXT),
            ("date_time", TIME),
            ("extra", TEXT),
        ],
    };
    columns.iter().map(|(name, data_type)| Field::new(*name, *data_type, false)).collect()
}
