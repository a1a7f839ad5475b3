//! Bisection: which rows of a batch make a function fail.
//!
//! A batch that fails is halved, left half first, until parts succeed or have one row. A small part is taken row by row
//! instead: every call is allowed a base of fuel, and where that is the larger share, halving on costs more in bases
//! than it saves in rows.
//!
//! The budget, for a batch of `n` rows, without the call that failed first:
//!
//! - calls: fewer than `2 n`, because every call either decides its rows or has at least two parts;
//! - fuel: at most twice [`Limits::batch_fuel`]`(n)`. A call counts with the fuel that it used, at least
//!   `fuel-per-record` (a new instance costs the host time even if the guest uses none), and is made only if all that
//!   it could use is left;
//! - output: together at most [`Limits::batch_bytes`]`(n)`, as for a call that succeeds.
//!
//! One row that uses up whatever fuel it gets is always found within that. Parts are decided from left to right, so
//! what is not decided when the budget is spent is one range of rows.
//!
//! [`Limits::batch_fuel`]: lockgate_core::limits::Limits::batch_fuel
//! [`Limits::batch_bytes`]: lockgate_core::limits::Limits::batch_bytes

use super::{Cause, Function, Piece};
use crate::chain::Desk;
use crate::{Failure, Tracked, Udf};
use lockgate_core::error::{Error, Result, code};
use lockgate_core::limits::Limits;
use lockgate_core::plan::OnError;
use std::ops::Range;

/// A part whose rows are allowed at most this many times a call's base is taken row by row. From 2 on, one endless row
/// is found within the budget; the rest is for the least that each call counts.
const SINGLY: u64 = 4;

impl Function {
    /// Finds the poison rows of a batch on which the function failed; the pieces are the calls that succeeded.
    ///
    /// # Errors
    /// The failure, if it cannot be divided or the operator's failures fail the job; `LG0651` if the budget is spent
    /// and the manifest says that this fails the job.
    pub(super) fn divide(
        &mut self,
        first: Failure,
        input: &Tracked,
        split: &str,
        udf: &mut dyn Udf,
        desk: &mut Desk<'_>,
    ) -> Result<Vec<Piece>> {
        let rows = input.batch.num_rows();
        let (on_error, on_overrun) = (self.function()?.on_error, self.function()?.on_overrun);
        if !first.divisible || on_error == OnError::Fail {
            return Err(self.place(first.error, &(0..rows), input, split));
        }
        let mut budget = Budget::new(self.limits(), rows);
        let mut pieces = Vec::new();
        let mut parts = Vec::new();
        let mut failure = first;
        self.split_or_condemn(0..rows, &failure, &mut parts, input, split, desk)?;
        while let Some(part) = parts.pop() {
            let rest = part.start..rows;
            if !budget.allows(self.limits(), part.len()) {
                self.give_up(on_overrun, rest, &failure.error, input, split, desk)?;
                break;
            }
            match self.call(input, part.clone(), split, udf)? {
                Ok(piece) => {
                    if !budget.spend(piece.fuel, piece.bytes) {
                        self.give_up(on_overrun, rest, &failure.error, input, split, desk)?;
                        break;
                    }
                    self.refuse(&piece, input, split, desk)?;
                    pieces.push(piece);
                }
                Err(failed) if !failed.divisible => return Err(self.place(failed.error, &part, input, split)),
                Err(failed) => {
                    budget.spend(failed.fuel, 0);
                    failure = failed;
                    self.split_or_condemn(part, &failure, &mut parts, input, split, desk)?;
                }
            }
        }
        Ok(pieces)
    }

    /// Puts the parts of a part that failed on the stack, the leftmost on top, or, if it is one row, sends that to the
    /// dead letters.
    fn split_or_condemn(
        &self,
        part: Range<usize>,
        failure: &Failure,
        parts: &mut Vec<Range<usize>>,
        input: &Tracked,
        split: &str,
        desk: &mut Desk<'_>,
    ) -> Result<()> {
        if part.len() == 1 {
            desk.count(self.node, |counters| counters.failed += 1);
            let message = cause_of(&failure.error);
            let cause = Cause {
                code: failure.error.code(),
                message: &message,
                backtrace: failure.backtrace.as_deref(),
                fuel: Some(failure.fuel),
            };
            return self.dead_letter(self.function()?.on_error, part.start, &cause, input, split, desk);
        }
        let limits = self.limits();
        let (rows, base) = (limits.fuel_per_record.saturating_mul(part.len() as u64), limits.fuel_per_batch);
        if rows <= base.saturating_mul(SINGLY) {
            parts.extend(part.rev().map(|row| row..row + 1));
        } else {
            let middle = part.start + part.len() / 2;
            parts.extend([middle..part.end, part.start..middle]);
        }
        Ok(())
    }

    /// The budget is spent: what is left of the batch goes where the manifest says.
    fn give_up(
        &self,
        policy: OnError,
        rest: Range<usize>,
        error: &Error,
        input: &Tracked,
        split: &str,
        desk: &mut Desk<'_>,
    ) -> Result<()> {
        let message =
            format!("not decided within the budget for dividing a batch: {}: {}", error.code(), cause_of(error));
        desk.count(self.node, |counters| counters.failed += rest.len() as u64);
        if policy == OnError::Fail {
            let error = Error::new(code::BISECTION_OVERRUN, message);
            return Err(self.place(error, &rest, input, split));
        }
        let cause = Cause { code: code::BISECTION_OVERRUN, message: &message, backtrace: None, fuel: None };
        rest.into_iter().try_for_each(|row| self.dead_letter(policy, row, &cause, input, split, desk))
    }
}

/// Place and cause, without the code.
fn cause_of(error: &Error) -> String {
    error.place().map_or_else(|| error.cause().to_owned(), |place| format!("{place}: {}", error.cause()))
}

/// What dividing a batch may still cost.
struct Budget {
    fuel: u64,
    bytes: u64,
    least: u64,
}

impl Budget {
    fn new(limits: &Limits, rows: usize) -> Self {
        let rows = u32::try_from(rows).unwrap_or(u32::MAX);
        Self {
            fuel: limits.batch_fuel(rows).saturating_mul(2),
            bytes: limits.batch_bytes(rows),
            least: limits.fuel_per_record,
        }
    }

    /// Whether all the fuel that a call on `rows` rows may use is left.
    fn allows(&self, limits: &Limits, rows: usize) -> bool {
        limits.batch_fuel(u32::try_from(rows).unwrap_or(u32::MAX)) <= self.fuel
    }

    /// Takes off what a call cost; false if its output is more than was left.
    fn spend(&mut self, fuel: u64, bytes: u64) -> bool {
        self.fuel = self.fuel.saturating_sub(fuel.max(self.least));
        let left = self.bytes.checked_sub(bytes);
        self.bytes = left.unwrap_or(0);
        left.is_some()
    }
}
