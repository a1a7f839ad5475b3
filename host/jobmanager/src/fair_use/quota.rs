//! How much a tenant may have. Kept as numbers by kind, so that a further quota is one line here and nothing elsewhere.

use lockgate_core::error::code;
use lockgate_core::{Error, Result, human};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

macro_rules! kinds {
    ($($(#[doc = $doc:literal])* $kind:ident $text:literal, $unit:ident, $default:expr;)*) => {
        /// What is counted.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Kind { $($(#[doc = $doc])* $kind,)* }

        impl Kind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            /// As configuration, API and errors write it: `upload-bytes-per-day`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$kind => $text,)* }
            }

            /// Whether it counts bytes.
            pub const fn is_bytes(self) -> bool {
                match self { $(Self::$kind => matches!(Unit::$unit, Unit::Bytes),)* }
            }

            /// What a tenant has for which nothing else is said.
            pub const fn default_value(self) -> u64 {
                match self { $(Self::$kind => $default,)* }
            }
        }
    };
}

/// The most that a tenant counts beside others, and a job beside its tenant's others.
pub const MAX_WEIGHT: u32 = 1_000;

enum Unit {
    Bytes,
    Count,
}

kinds! {
    /// Jobs that are not deleted.
    Jobs "jobs", Count, 100;
    /// Slots of all running jobs.
    Slots "slots", Count, 32;
    /// Memory of all running jobs, in bytes.
    Memory "memory", Bytes, 16 << 30;
    /// Fuel a second of all running jobs.
    FuelPerSecond "fuel-per-second", Count, 20_000_000_000;
    /// Bytes uploaded within an hour.
    UploadBytesPerHour "upload-bytes-per-hour", Bytes, 2 << 30;
    /// Bytes uploaded within a day.
    UploadBytesPerDay "upload-bytes-per-day", Bytes, 8 << 30;
    /// Bytes of bundles that are kept.
    BundleBytes "bundle-bytes", Bytes, 8 << 30;
    /// API tokens that are neither revoked nor expired.
    Tokens "tokens", Count, 500;
    /// Requests a second, of all its principals together.
    RequestsPerSecond "requests-per-second", Count, 200;
    /// No bound, but how much the tenant counts beside others when they share the cluster: from 1 to 1,000.
    Weight "weight", Count, 1;
}

/// What a tenant may have: where nothing is set, the default counts.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Quota(BTreeMap<Kind, u64>);

/// What a tenant has, or asks for in addition.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Usage(BTreeMap<Kind, u64>);

impl Quota {
    /// The value of a quota.
    pub fn get(&self, kind: Kind) -> u64 {
        self.0.get(&kind).copied().unwrap_or(kind.default_value())
    }

    /// The value of a quota that is set here, without any default.
    pub fn own(&self, kind: Kind) -> Option<u64> {
        self.0.get(&kind).copied()
    }

    /// How much the tenant counts beside others.
    pub fn weight(&self) -> u32 {
        u32::try_from(self.get(Kind::Weight)).unwrap_or(u32::MAX).clamp(1, MAX_WEIGHT)
    }

    /// Sets one.
    pub fn set(&mut self, kind: Kind, value: u64) {
        self.0.insert(kind, value);
    }

    /// This quota where it says something, `default` elsewhere.
    #[must_use]
    pub fn or(&self, default: &Self) -> Self {
        let mut all = default.0.clone();
        all.extend(&self.0);
        Self(all)
    }
}

impl Usage {
    /// Nothing.
    pub fn none() -> Self {
        Self::default()
    }

    /// This much of one kind besides.
    #[must_use]
    pub fn with(mut self, kind: Kind, amount: u64) -> Self {
        self.add(kind, amount);
        self
    }

    /// How much of a kind.
    pub fn get(&self, kind: Kind) -> u64 {
        self.0.get(&kind).copied().unwrap_or_default()
    }

    /// Counts more.
    pub fn add(&mut self, kind: Kind, amount: u64) {
        let value = self.0.entry(kind).or_default();
        *value = value.saturating_add(amount);
    }

    /// Counts less, at the least nothing.
    pub fn subtract(&mut self, kind: Kind, amount: u64) {
        let value = self.0.entry(kind).or_default();
        *value = value.saturating_sub(amount);
    }
}

/// Whether `asked` fits beside what is used.
///
/// # Errors
/// `LG1112` for the first quota that it would exceed, with its value and its use.
pub fn check(quota: &Quota, used: &Usage, asked: &Usage) -> Result<()> {
    for (kind, amount) in asked.0.iter().filter(|(_, amount)| **amount > 0) {
        let (value, used) = (quota.get(*kind), used.get(*kind));
        if used.checked_add(*amount).is_none_or(|sum| sum > value) {
            let show = |number| if kind.is_bytes() { human::bytes(number) } else { human::grouped(number) };
            let cause = format!(
                "quota {} is {}, {} are used and {} more are asked for",
                kind.as_str(),
                show(value),
                show(used),
                show(*amount)
            );
            return Err(Error::new(code::QUOTA_EXCEEDED, cause));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_allowed_and_one_more_is_not() {
        for kind in Kind::ALL {
            let mut quota = Quota::default();
            quota.set(*kind, 10);
            let used = Usage::none().with(*kind, 7);
            check(&quota, &used, &Usage::none().with(*kind, 3)).unwrap();
            let error = check(&quota, &used, &Usage::none().with(*kind, 4)).unwrap_err();
            assert_eq!(error.code(), code::QUOTA_EXCEEDED);
            for part in [kind.as_str(), "10", "7", "4"] {
                assert!(error.cause().contains(part), "{error} does not say {part}");
            }
            let all = Usage::none().with(*kind, u64::MAX);
            assert!(check(&quota, &used, &all).is_err(), "{kind:?}: the sum wraps");
        }
    }

    #[test]
    fn whoever_is_over_a_quota_may_still_ask_for_what_it_does_not_count() {
        let mut quota = Quota::default();
        quota.set(Kind::Jobs, 1);
        let used = Usage::none().with(Kind::Jobs, 5);
        check(&quota, &used, &Usage::none().with(Kind::Slots, 1)).unwrap();
        check(&quota, &used, &Usage::none().with(Kind::Jobs, 0)).unwrap();
    }

    #[test]
    fn the_tenants_own_quota_comes_before_the_default() {
        let mut default = Quota::default();
        default.set(Kind::Jobs, 3);
        default.set(Kind::Slots, 4);
        let mut own = Quota::default();
        own.set(Kind::Jobs, 0);
        let both = own.or(&default);
        assert_eq!((both.get(Kind::Jobs), both.get(Kind::Slots)), (0, 4));
        assert_eq!(both.get(Kind::Memory), Kind::Memory.default_value());
        assert_eq!((own.weight(), both.weight()), (1, 1));
        for (set, counts) in [(0, 1), (7, 7), (u64::MAX, MAX_WEIGHT)] {
            own.set(Kind::Weight, set);
            assert_eq!(own.weight(), counts);
        }
    }

    #[test]
    fn use_is_counted_up_and_down() {
        let mut usage = Usage::none().with(Kind::Jobs, 2);
        usage.add(Kind::Jobs, u64::MAX);
        assert_eq!(usage.get(Kind::Jobs), u64::MAX);
        usage.subtract(Kind::Slots, 5);
        assert_eq!(usage.get(Kind::Slots), 0);
        let text = serde_json::to_string(&Usage::none().with(Kind::UploadBytesPerDay, 9)).unwrap();
        assert_eq!(text, r#"{"upload-bytes-per-day":9}"#);
        assert_eq!(serde_json::from_str::<Usage>(&text).unwrap().get(Kind::UploadBytesPerDay), 9);
    }
}
