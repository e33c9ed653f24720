//! Timestamps and dates as text: RFC 3339 in and out, by hand because every row has some.
//!
//! Event time is microseconds since the Unix epoch, dates are days since it. Knows nothing of JSON or Arrow.

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// Reads `2013-01-01T05:00:00[.fraction][Z|+hh:mm]` (also with a space for the `T`). Text without an offset is taken as
/// UTC; digits past microseconds are cut off. `None` if it is anything else.
pub fn parse_timestamp(text: &[u8]) -> Option<i64> {
    if text.len() < 19 || !matches!(text[10], b'T' | b't' | b' ') {
        return None;
    }
    let days = i64::from(parse_date(&text[..10])?);
    if text[13] != b':' || text[16] != b':' {
        return None;
    }
    let (hour, minute, second) = (two(&text[11..])?, two(&text[14..])?, two(&text[17..])?);
    // 60 is a leap second: the instant after it.
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (micros, zone) = parse_fraction(&text[19..])?;
    let offset = parse_zone(zone)?;
    let seconds = days * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second - offset;
    Some(seconds * MICROS_PER_SECOND + micros)
}

/// Reads `2013-01-01`; days since the epoch, `None` if it is no such day.
pub fn parse_date(text: &[u8]) -> Option<i32> {
    if text.len() != 10 || text[4] != b'-' || text[7] != b'-' {
        return None;
    }
    let year = two(text)? * 100 + two(&text[2..])?;
    let (month, day) = (two(&text[5..])?, two(&text[8..])?);
    if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
        return None;
    }
    i32::try_from(days_from_civil(year, month, day)).ok()
}

fn two(text: &[u8]) -> Option<i64> {
    let (a, b) = (text[0].wrapping_sub(b'0'), text[1].wrapping_sub(b'0'));
    (a < 10 && b < 10).then(|| i64::from(a * 10 + b))
}

/// The fraction in microseconds, and what follows it.
fn parse_fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some(digits) = text.strip_prefix(b".") else {
        return Some((0, text));
    };
    let len = digits.iter().take_while(|b| b.is_ascii_digit()).count();
    if len == 0 {
        return None;
    }
    let places = digits[..len]
        .iter()
        .map(|b| i64::from(b - b'0'))
        .chain(std::iter::repeat(0));
    let micros = places.take(6).fold(0, |micros, digit| micros * 10 + digit);
    Some((micros, &digits[len..]))
}

/// Seconds east of UTC: nothing, `Z`, `+hh`, `+hhmm` or `+hh:mm`.
fn parse_zone(text: &[u8]) -> Option<i64> {
    let (sign, rest) = match text {
        [] | [b'Z' | b'z'] => return Some(0),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = match rest.len() {
        2 => (two(rest)?, 0),
        4 => (two(rest)?, two(&rest[2..])?),
        5 if rest[2] == b':' => (two(rest)?, two(&rest[3..])?),
        _ => return None,
    };
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 3600 + minutes * 60))
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a day of the proleptic Gregorian calendar (Howard Hinnant, "chrono-compatible date algorithms").
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Inverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// Appends `2013-01-01T05:00:00Z`, with 3 or 6 fraction digits where they are needed.
pub fn write_timestamp(micros: i64, out: &mut Vec<u8>) {
    let seconds = micros.div_euclid(MICROS_PER_SECOND);
    let fraction = micros.rem_euclid(MICROS_PER_SECOND);
    write_civil(seconds.div_euclid(SECONDS_PER_DAY), out);
    let of_day = seconds.rem_euclid(SECONDS_PER_DAY);
    out.push(b'T');
    write_two(of_day / 3600, out);
    out.push(b':');
    write_two(of_day / 60 % 60, out);
    out.push(b':');
    write_two(of_day % 60, out);
    if fraction != 0 {
        out.push(b'.');
        write_three(fraction / 1000, out);
        if fraction % 1000 != 0 {
            write_three(fraction % 1000, out);
        }
    }
    out.push(b'Z');
}

/// Appends `2013-01-01`.
pub fn write_date(days: i32, out: &mut Vec<u8>) {
    write_civil(i64::from(days), out);
}

fn write_civil(days: i64, out: &mut Vec<u8>) {
    let (year, month, day) = civil_from_days(days);
    if (0..=9999).contains(&year) {
        write_two(year / 100, out);
        write_two(year % 100, out);
    } else {
        // Outside RFC 3339; ISO 8601's expanded form is the least surprising.
        out.extend_from_slice(format!("{year:+07}").as_bytes());
    }
    out.push(b'-');
    write_two(month, out);
    out.push(b'-');
    write_two(day, out);
}

fn write_two(value: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(&[digit(value / 10), digit(value)]);
}

fn write_three(value: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(&[digit(value / 100), digit(value / 10), digit(value)]);
}

fn digit(value: i64) -> u8 {
    b'0' + (value % 10) as u8
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn shown(micros: i64) -> String {
        let mut out = Vec::new();
        write_timestamp(micros, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn known_instants() {
        assert_eq!(parse_timestamp(b"1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(
            parse_timestamp(b"2013-01-01T05:00:00-05:00"),
            Some(1_357_034_400_000_000)
        );
        assert_eq!(
            parse_timestamp(b"2013-01-01 10:00:00.5"),
            Some(1_357_034_400_500_000)
        );
        assert_eq!(parse_timestamp(b"1969-12-31T23:59:59.999999999Z"), Some(-1));
        assert_eq!(
            parse_timestamp(b"2016-12-31T23:59:60Z"),
            parse_timestamp(b"2017-01-01T00:00:00Z")
        );
        assert_eq!(shown(1_357_034_400_000_000), "2013-01-01T10:00:00Z");
        assert_eq!(shown(1_357_034_400_120_000), "2013-01-01T10:00:00.120Z");
        assert_eq!(shown(-1), "1969-12-31T23:59:59.999999Z");
    }

    #[test]
    fn what_is_no_timestamp() {
        for text in [
            "",
            "2013-01-01",
            "2013-02-29T00:00:00Z",
            "2013-13-01T00:00:00Z",
            "2013-01-01T24:00:00Z",
            "2013-01-01T00:00:00.Z",
            "2013-01-01T00:00:00+5",
            "2013-01-01T00:00:00+25:00",
            "2013-01-01x00:00:00",
            "20é3-01-01T00:00:00Z",
            "2013-00-01T00:00:00Z",
        ] {
            assert_eq!(parse_timestamp(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn timestamps_come_back(micros in -62_167_219_200_000_000i64..253_402_300_800_000_000) {
            prop_assert_eq!(parse_timestamp(shown(micros).as_bytes()), Some(micros));
        }

        #[test]
        fn dates_come_back(days in -719_528i32..2_932_896) {
            let mut out = Vec::new();
            write_date(days, &mut out);
            prop_assert_eq!(parse_date(&out), Some(days));
        }

        #[test]
        fn garbage_is_refused_quietly(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = parse_timestamp(&text);
            let _ = parse_date(&text);
        }

        #[test]
        fn any_instant_can_be_written(micros in any::<i64>()) {
            prop_assert!(shown(micros).ends_with('Z'));
        }
    }
}
