//! Instants as EC2 writes them: `2026-01-02T03:04:05.000Z`, always in UTC, always with
//! milliseconds.

use crate::domain::time::Timestamp;
use serde::{Serialize, Serializer};
use std::{fmt, ops::Range};

/// An instant in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DateTime(pub Timestamp);

impl From<Timestamp> for DateTime {
    fn from(instant: Timestamp) -> Self {
        Self(instant)
    }
}

impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An instant beyond jiff's years (-9999 to 9999) can only be a broken record; the nearest
        // end of time says so more clearly than a failed describe would.
        let millis = self.0.as_millis();
        let instant = jiff::Timestamp::from_millisecond(millis).unwrap_or(if millis < 0 {
            jiff::Timestamp::MIN
        } else {
            jiff::Timestamp::MAX
        });
        let civil = jiff::tz::Offset::UTC.to_datetime(instant);
        let Ok(year) = u32::try_from(civil.year()) else {
            return write!(f, "{instant:.3}");
        };
        // jiff's own form costs as much as a whole instance of an answer that has seven of them.
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let mut digits = |places: Range<usize>, mut number: u32| {
            for place in places.rev() {
                text[place] += (number % 10) as u8;
                number /= 10;
            }
        };
        digits(0..4, year);
        digits(5..7, civil.month() as u32);
        digits(8..10, civil.day() as u32);
        digits(11..13, civil.hour() as u32);
        digits(14..16, civil.minute() as u32);
        digits(17..19, civil.second() as u32);
        digits(20..23, civil.millisecond() as u32);
        f.write_str(str::from_utf8(&text).expect("digits and what stands between them are ASCII"))
    }
}

impl Serialize for DateTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_written_in_utc_with_milliseconds() {
        let check = |millis, text: &str| assert_eq!(DateTime(Timestamp(millis)).to_string(), text);
        check(0, "1970-01-01T00:00:00.000Z");
        check(1_767_323_045_000, "2026-01-02T03:04:05.000Z");
        check(1_767_323_045_678, "2026-01-02T03:04:05.678Z");
    }

    #[test]
    fn an_instant_beyond_the_calendar_is_written_as_the_nearest_within() {
        assert!(DateTime(Timestamp(i64::MAX)).to_string().starts_with("9999-12-3"));
        assert!(DateTime(Timestamp(i64::MIN)).to_string().starts_with("-00"));
    }
}
