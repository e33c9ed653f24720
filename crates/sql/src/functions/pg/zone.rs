//! Time zones by name or offset: `AT TIME ZONE`, and what uses it.

use std::str::FromStr;

use chrono::{LocalResult, Offset, TimeZone};
use datafusion::arrow::array::timezone::Tz;

use super::civil::SECOND_US;

/// What a zone's name says.
#[derive(Clone, Copy)]
pub(crate) enum Zone {
    Named(Tz),
    /// Seconds east of UTC.
    Fixed(i64),
}

/// `UTC`, `Europe/Berlin`, or an offset. As in POSIX (and PostgreSQL) a bare offset counts to the west.
pub(crate) fn zone(name: &str) -> Result<Zone, String> {
    let unknown = || format!("time zone \"{name}\" not recognized");
    match name.to_ascii_lowercase().as_str() {
        "utc" | "z" | "gmt" | "zulu" => return Ok(Zone::Fixed(0)),
        _ => {}
    }
    if let Some(sign) = name.chars().next().filter(|c| matches!(c, '+' | '-')) {
        let seconds = hours(&name[1..]).ok_or_else(unknown)?;
        return Ok(Zone::Fixed(if sign == '+' { -seconds } else { seconds }));
    }
    Tz::from_str(name).map(Zone::Named).map_err(|_| unknown())
}

/// `hh`, `hhmm` or `hh:mm`, in seconds.
fn hours(text: &str) -> Option<i64> {
    let digits: String = text.chars().filter(|c| *c != ':').collect();
    let number = digits.parse::<i64>().ok()?;
    match digits.len() {
        1 | 2 => Some(number * 3600),
        3 | 4 => Some(number / 100 * 3600 + number % 100 * 60),
        _ => None,
    }
}

impl Zone {
    /// Microseconds that a clock on the wall shows at this instant.
    pub fn local(self, utc_us: i64) -> i64 {
        let seconds = match self {
            Self::Fixed(seconds) => seconds,
            Self::Named(tz) => match chrono::DateTime::from_timestamp_micros(utc_us) {
                Some(at) => i64::from(
                    tz.offset_from_utc_datetime(&at.naive_utc())
                        .fix()
                        .local_minus_utc(),
                ),
                None => 0,
            },
        };
        utc_us.saturating_add(seconds * SECOND_US)
    }

    /// The instant at which the clock shows this; the later one where it does twice, and as if the clock had not been moved where it never does.
    pub fn utc(self, local_us: i64) -> i64 {
        let tz = match self {
            Self::Fixed(seconds) => return local_us.saturating_sub(seconds * SECOND_US),
            Self::Named(tz) => tz,
        };
        let Some(wall) = chrono::DateTime::from_timestamp_micros(local_us) else {
            return local_us;
        };
        let seconds = |offset: <Tz as TimeZone>::Offset| i64::from(offset.fix().local_minus_utc());
        let offset = match tz.offset_from_local_datetime(&wall.naive_utc()) {
            LocalResult::Single(one) => seconds(one),
            LocalResult::Ambiguous(_, later) => seconds(later),
            LocalResult::None => {
                let before = local_us - 3 * 3600 * SECOND_US;
                return local_us - (self.local(before) - before);
            }
        };
        local_us.saturating_sub(offset * SECOND_US)
    }
}
