//! What an event holds, after the suite's generator: hot auctions and bidders, prices over six decades, ids that refer
//! to what came before.
//!
//! Every column draws its chance from the seed, the event and the column's own salt, so that a projection changes no
//! value. Only integers are computed with: equal seeds give equal events on every machine.

use super::text;
use lockgate_core::error::{Error, Result, code};
use lockgate_core::plan::NexmarkTable;
use lockgate_core::types::{Field, LogicalType};

/// Events of all tables in a group.
pub const GROUP: u64 = 50;
/// The first event's time, 2015-07-15T00:00:00, in microseconds; events follow each other every 100 µs.
const BASE_TIME: u64 = 1_436_918_400_000_000;
const MICROS_PER_EVENT: u64 = 100;
const FIRST_ID: u64 = 1000;
const FIRST_CATEGORY: u64 = 10;
const CATEGORIES: u64 = 5;
/// Among how many of the latest auctions and persons the others choose, and how far ahead they look.
const RECENT_AUCTIONS: u64 = 100;
const RECENT_PERSONS: u64 = 1000;
const LEAD: u64 = 10;
/// Every hundredth auction or person is hot.
const HOT: u64 = 100;
const CHANNELS: u64 = 10_000;
const HOT_CHANNELS: [&str; 4] = ["Google", "Facebook", "Baidu", "Apple"];

/// The places of a table's events in a group.
#[derive(Clone, Copy)]
pub struct Share {
    /// The first place.
    pub first: u64,
    /// How many there are.
    pub len: u64,
}

/// The places of a table's events in a group.
pub const fn share(table: NexmarkTable) -> Share {
    match table {
        NexmarkTable::Person => Share { first: 0, len: 1 },
        NexmarkTable::Auction => Share { first: 1, len: 3 },
        NexmarkTable::Bid => Share { first: 4, len: 46 },
    }
}

/// Makes a column's value for (seed, event).
#[derive(Clone, Copy, Debug)]
pub enum Column {
    /// A 64-bit integer.
    Int(fn(u64, u64) -> i64),
    /// Microseconds without zone.
    Time(fn(u64, u64) -> i64),
    /// Text, appended.
    Text(fn(u64, u64, &mut String)),
}

/// The column of a table that `field` names.
///
/// # Errors
/// `LG0690` if there is none of that name and type.
pub fn column(table: NexmarkTable, field: &Field) -> Result<Column> {
    let found = match table {
        NexmarkTable::Bid => bid(&field.name),
        NexmarkTable::Auction => auction(&field.name),
        NexmarkTable::Person => person(&field.name),
    };
    let fits = |column: &Column| {
        let data_type = match column {
            Column::Int(_) => LogicalType::Int64,
            Column::Time(_) => LogicalType::Timestamp { utc: false },
            Column::Text(_) => LogicalType::Utf8,
        };
        data_type == field.data_type
    };
    found.filter(fits).ok_or_else(|| {
        let (name, data_type) = (&field.name, field.data_type);
        Error::new(
            code::NEXMARK_COLUMN,
            format!("table {table:?} of Nexmark has no column {name:?} of type {data_type}"),
        )
    })
}

fn bid(name: &str) -> Option<Column> {
    Some(match name {
        "auction" => Column::Int(|seed, event| {
            let (last, mut dice) = (last_auction(event), Dice::new(seed, event, 1));
            // Every other bid is on a hot auction.
            let auction = if dice.below(2) > 0 { last / HOT * HOT } else { recent(&mut dice, last, RECENT_AUCTIONS) };
            (FIRST_ID + auction).cast_signed()
        }),
        "bidder" => Column::Int(|seed, event| {
            let (last, mut dice) = (last_person(event), Dice::new(seed, event, 2));
            // Three bids of four are by hot bidders.
            let hot = last / HOT * HOT + 1;
            let person = if dice.below(4) > 0 { hot } else { recent(&mut dice, last, RECENT_PERSONS) };
            (FIRST_ID + person).cast_signed()
        }),
        "price" => Column::Int(|seed, event| price(&mut Dice::new(seed, event, 3))),
        "channel" => Column::Text(|seed, event, out| match channel(seed, event) {
            Ok(hot) => out.push_str(hot),
            Err(number) => text::number(out, "channel-", number),
        }),
        "url" => Column::Text(|seed, event, out| {
            let channel = channel(seed, event);
            // A channel has one address.
            let address = channel.map_or_else(|number| number, |hot| CHANNELS + hot.len() as u64);
            let mut dice = Dice::new(seed, address, 5);
            out.push_str("https://www.nexmark.com");
            for _ in 0..3 {
                out.push('/');
                text::letters(out, &mut dice, 5);
            }
            out.push_str("/item.htm?query=1");
            if let Err(number) = channel {
                text::number(out, "&channel_id=", number);
            }
        }),
        "date_time" => Column::Time(|_, event| time(event)),
        "extra" => Column::Text(|seed, event, out| extra(seed, event, 18, out)),
        _ => return None,
    })
}

fn auction(name: &str) -> Option<Column> {
    Some(match name {
        "id" => Column::Int(|_, event| (FIRST_ID + last_auction(event)).cast_signed()),
        "item_name" => Column::Text(|seed, event, out| text::words(out, &mut Dice::new(seed, event, 11), 20)),
        "description" => Column::Text(|seed, event, out| text::words(out, &mut Dice::new(seed, event, 12), 100)),
        "initial_bid" => Column::Int(|seed, event| price(&mut Dice::new(seed, event, 13))),
        "reserve" => Column::Int(|seed, event| {
            price(&mut Dice::new(seed, event, 13)).saturating_add(price(&mut Dice::new(seed, event, 14)))
        }),
        "date_time" => Column::Time(|_, event| time(event)),
        "expires" => Column::Time(|seed, event| {
            let events = 1 + Dice::new(seed, event, 15).below(2 * RECENT_AUCTIONS * GROUP / 3);
            time(event.saturating_add(events))
        }),
        "seller" => Column::Int(|seed, event| {
            let (last, mut dice) = (last_person(event), Dice::new(seed, event, 16));
            let hot = last / HOT * HOT;
            let person = if dice.below(4) > 0 { hot } else { recent(&mut dice, last, RECENT_PERSONS) };
            (FIRST_ID + person).cast_signed()
        }),
        "category" => {
            Column::Int(|seed, event| (FIRST_CATEGORY + Dice::new(seed, event, 17).below(CATEGORIES)).cast_signed())
        }
        "extra" => Column::Text(|seed, event, out| extra(seed, event, 280, out)),
        _ => return None,
    })
}

fn person(name: &str) -> Option<Column> {
    Some(match name {
        "id" => Column::Int(|_, event| (FIRST_ID + last_person(event)).cast_signed()),
        "name" => Column::Text(|seed, event, out| text::name(out, &mut Dice::new(seed, event, 21))),
        "email_address" => Column::Text(|seed, event, out| {
            let mut dice = Dice::new(seed, event, 22);
            text::letters(out, &mut dice, 7);
            out.push('@');
            text::letters(out, &mut dice, 5);
            out.push_str(".com");
        }),
        "credit_card" => Column::Text(|seed, event, out| {
            let mut dice = Dice::new(seed, event, 23);
            for group in 0..4 {
                text::number(out, if group == 0 { "" } else { " " }, 1000 + dice.below(9000));
            }
        }),
        "city" => Column::Text(|seed, event, out| out.push_str(text::city(&mut Dice::new(seed, event, 24)))),
        "state" => Column::Text(|seed, event, out| out.push_str(text::state(&mut Dice::new(seed, event, 25)))),
        "date_time" => Column::Time(|_, event| time(event)),
        "extra" => Column::Text(|seed, event, out| extra(seed, event, 80, out)),
        _ => return None,
    })
}

/// The number of the person of this event's group: that of a person's event, the latest one for another.
fn last_person(event: u64) -> u64 {
    event / GROUP
}

/// The number of the latest auction up to this event: an auction's own for its event.
fn last_auction(event: u64) -> u64 {
    let share = share(NexmarkTable::Auction);
    let (group, place) = (event / GROUP, event % GROUP);
    let begun = (place + 1).saturating_sub(share.first).min(share.len);
    (group * share.len + begun).saturating_sub(1)
}

/// One of the latest `most`, or of those that are yet to come.
fn recent(dice: &mut Dice, last: u64, most: u64) -> u64 {
    let first = last.saturating_sub(most);
    first + dice.below(last - first + 1 + LEAD)
}

/// 100 to 99,999,999 cents, each decade as likely as any other.
fn price(dice: &mut Dice) -> i64 {
    let decade = 100 * [1, 10, 100, 1_000, 10_000, 100_000].get(dice.below(6) as usize).copied().unwrap_or(1_u64);
    (decade + dice.below(9 * decade)).cast_signed()
}

/// A hot channel, for every other bid, or the number of another.
fn channel(seed: u64, event: u64) -> std::result::Result<&'static str, u64> {
    let mut dice = Dice::new(seed, event, 4);
    if dice.below(2) == 0 {
        return Err(dice.below(CHANNELS));
    }
    Ok(HOT_CHANNELS.get(dice.below(4) as usize).copied().unwrap_or_default())
}

fn time(event: u64) -> i64 {
    BASE_TIME.saturating_add(event.saturating_mul(MICROS_PER_EVENT)).min(i64::MAX as u64).cast_signed()
}

/// Padding of `mean` bytes, a fifth more or less.
fn extra(seed: u64, event: u64, mean: u64, out: &mut String) {
    let mut dice = Dice::new(seed, event, 6);
    let length = mean - mean / 5 + dice.below(2 * (mean / 5) + 1);
    text::letters(out, &mut dice, length);
}

/// Chance: SplitMix64 (Steele, Lea and Flood, 2014), begun anew for each value.
#[derive(Debug)]
pub struct Dice(u64);

impl Dice {
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

    /// The chance of one value of one event.
    pub fn new(seed: u64, event: u64, salt: u64) -> Self {
        let mut dice = Self(seed);
        dice.0 = dice.next() ^ event;
        dice.0 = dice.next() ^ salt;
        dice
    }

    /// 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(Self::STEP);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number below `bound`; 0 if that is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }
}
