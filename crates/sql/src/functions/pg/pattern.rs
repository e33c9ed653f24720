//! `to_char`, `to_timestamp` and `to_date` with PostgreSQL's patterns.

use datafusion::arrow::array::timezone::Tz;
use datafusion::arrow::compute::kernels::cast_utils::string_to_datetime;
use datafusion::arrow::datatypes::IntervalMonthDayNano;

use super::civil::{Civil, SECOND_US, checked};
use super::kit::{Answer, O};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];
const ROMAN: [&str; 12] = [
    "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII",
];

/// The words of a pattern, longer ones before their beginnings.
const WORDS: [&str; 68] = [
    "Y,YYY", "YYYY", "IYYY", "YYY", "IYY", "YY", "IY", "Y", "I", "HH24", "HH12", "HH", "MI",
    "SSSSS", "SSSS", "SS", "MS", "US", "FF1", "FF2", "FF3", "FF4", "FF5", "FF6", "A.M.", "a.m.",
    "A.D.", "a.d.", "B.C.", "b.c.", "AD", "ad", "BC", "bc", "P.M.", "p.m.", "AM", "am", "PM", "pm",
    "MONTH", "Month", "month", "MON", "Mon", "mon", "MM", "DAY", "Day", "day", "DY", "Dy", "dy",
    "IDDD", "DDD", "DD", "ID", "D", "WW", "IW", "W", "CC", "J", "Q", "RM", "rm", "TZH", "TZM",
];
const ZONE_WORDS: [&str; 3] = ["TZ", "tz", "OF"];

enum Piece<'a> {
    /// A word, whether it is filled to its width, and what follows it (`TH`, `th`).
    Word {
        word: &'static str,
        fill: bool,
        ordinal: &'a str,
    },
    Plain(&'a str),
}

fn pieces(pattern: &str) -> Vec<Piece<'_>> {
    let (mut out, mut rest) = (Vec::new(), pattern);
    while let Some(first) = rest.chars().next() {
        if let Some(quoted) = rest.strip_prefix('"') {
            let end = quoted.find('"').unwrap_or(quoted.len());
            out.push(Piece::Plain(&quoted[..end]));
            rest = quoted.get(end + 1..).unwrap_or("");
            continue;
        }
        let (fill, body) = match rest.strip_prefix("FM").or_else(|| rest.strip_prefix("fm")) {
            Some(body) => (false, body),
            None => (true, rest),
        };
        let body = body.strip_prefix("TM").unwrap_or(body);
        let exact = WORDS
            .iter()
            .chain(&ZONE_WORDS)
            .filter(|w| body.starts_with(**w))
            .max_by_key(|w| w.len());
        let folded = || {
            let fits = |w: &&&str| {
                body.get(..w.len())
                    .is_some_and(|b| b.eq_ignore_ascii_case(w))
            };
            WORDS
                .iter()
                .filter(|w| **w == w.to_uppercase())
                .filter(fits)
                .max_by_key(|w| w.len())
        };
        if let Some(word) = exact.or_else(folded) {
            rest = &body[word.len()..];
            let ordinal = ["TH", "th"].into_iter().find(|o| rest.starts_with(o));
            rest = &rest[ordinal.map_or(0, str::len)..];
            out.push(Piece::Word {
                word,
                fill,
                ordinal: ordinal.unwrap_or(""),
            });
            continue;
        }
        let len = first.len_utf8();
        out.push(Piece::Plain(&rest[..len]));
        rest = &rest[len..];
    }
    out
}

/// A time as text. `zoned`: it is an instant, shown in UTC.
pub(super) fn time(micros: i64, pattern: &str, zoned: bool) -> Answer {
    let civil = Civil::of_micros(micros);
    let mut out = String::new();
    for piece in pieces(pattern) {
        match piece {
            Piece::Plain(text) => out.push_str(text),
            Piece::Word {
                word,
                fill,
                ordinal,
            } => {
                let text = shown(&civil, word, fill, zoned);
                let suffix = ordinal_of(&text, ordinal);
                out.push_str(&text);
                out.push_str(&suffix);
            }
        }
    }
    Ok(O::Text(out))
}

/// `st`, `nd`, `rd` or `th`.
pub(super) fn ordinal_of(number: &str, wanted: &str) -> String {
    if wanted.is_empty() {
        return String::new();
    }
    let digits: Vec<u8> = number.bytes().filter(u8::is_ascii_digit).collect();
    let teen = digits.len() > 1 && digits[digits.len() - 2] == b'1';
    let suffix = match digits.last() {
        Some(b'1') if !teen => "st",
        Some(b'2') if !teen => "nd",
        Some(b'3') if !teen => "rd",
        _ => "th",
    };
    if wanted == "TH" {
        suffix.to_uppercase()
    } else {
        suffix.to_owned()
    }
}

fn cased(word: &str, name: &str) -> String {
    let mut chars = word.chars();
    match (
        chars.next().is_some_and(char::is_uppercase),
        chars.next().is_some_and(char::is_uppercase),
    ) {
        (true, true) => name.to_uppercase(),
        (true, false) => name.to_owned(),
        _ => name.to_lowercase(),
    }
}

fn shown(civil: &Civil, word: &str, fill: bool, zoned: bool) -> String {
    let number = |value: i64, width: usize| match fill {
        true => format!("{value:0width$}"),
        false => value.to_string(),
    };
    let name = |name: &str, width: usize| match fill {
        true => format!("{:width$}", cased(word, name)),
        false => cased(word, name),
    };
    let month = MONTHS[(civil.month - 1) as usize];
    let day = DAYS[civil.weekday() as usize];
    let year = if civil.year > 0 {
        civil.year
    } else {
        1 - civil.year
    };
    let half = if civil.hour() < 12 { "a" } else { "p" };
    let micros = civil.second_us() % SECOND_US;
    let hour12 = (civil.hour() + 11) % 12 + 1;
    match word {
        "Y,YYY" => format!("{},{:03}", year / 1000, year % 1000),
        "YYYY" => number(year, 4),
        "YYY" => number(year % 1000, 3),
        "YY" => number(year % 100, 2),
        "Y" => number(year % 10, 1),
        "IYYY" => number(civil.iso_week().0, 4),
        "IYY" => number(civil.iso_week().0 % 1000, 3),
        "IY" => number(civil.iso_week().0 % 100, 2),
        "I" => number(civil.iso_week().0 % 10, 1),
        "HH24" => number(civil.hour(), 2),
        "HH12" | "HH" => number(hour12, 2),
        "MI" => number(civil.minute(), 2),
        "SS" => number(civil.second_us() / SECOND_US, 2),
        "SSSS" | "SSSSS" => (civil.of_day / SECOND_US).to_string(),
        "MS" | "FF3" => number(micros / 1_000, 3),
        "US" | "FF6" => number(micros, 6),
        "FF1" => number(micros / 100_000, 1),
        "FF2" => number(micros / 10_000, 2),
        "FF4" => number(micros / 100, 4),
        "FF5" => number(micros / 10, 5),
        "AM" | "PM" => format!("{half}m").to_uppercase(),
        "am" | "pm" => format!("{half}m"),
        "A.M." | "P.M." => format!("{half}.m.").to_uppercase(),
        "a.m." | "p.m." => format!("{half}.m."),
        "AD" | "BC" | "ad" | "bc" | "A.D." | "B.C." | "a.d." | "b.c." => era(word, civil.year),
        "MONTH" | "Month" | "month" => name(month, 9),
        "MON" | "Mon" | "mon" => cased(word, &month[..3]),
        "MM" => number(civil.month, 2),
        "DAY" | "Day" | "day" => name(day, 9),
        "DY" | "Dy" | "dy" => cased(word, &day[..3]),
        "DDD" => number(civil.day_of_year(), 3),
        "IDDD" => number(
            (civil.iso_week().1 - 1) * 7 + (civil.weekday() + 6) % 7 + 1,
            3,
        ),
        "DD" => number(civil.day, 2),
        "D" => (civil.weekday() + 1).to_string(),
        "ID" => ((civil.weekday() + 6) % 7 + 1).to_string(),
        "W" => ((civil.day - 1) / 7 + 1).to_string(),
        "WW" => number((civil.day_of_year() - 1) / 7 + 1, 2),
        "IW" => number(civil.iso_week().1, 2),
        "CC" => number((year + 99) / 100, 2),
        "J" => (civil.days() + 2_440_588).to_string(),
        "Q" => ((civil.month - 1) / 3 + 1).to_string(),
        "RM" | "rm" => {
            let roman = cased(
                if word == "RM" { "RM" } else { "rm" },
                ROMAN[(civil.month - 1) as usize],
            );
            if fill { format!("{roman:4}") } else { roman }
        }
        "TZ" if zoned => "UTC".to_owned(),
        "tz" if zoned => "utc".to_owned(),
        "OF" | "TZH" => "+00".to_owned(),
        "TZM" => "00".to_owned(),
        _ => String::new(),
    }
}

/// Before or after the beginning of our era, as the pattern's word is written.
fn era(word: &str, year: i64) -> String {
    let (whole, dotted) = match year > 0 {
        true => ("AD", "A.D."),
        false => ("BC", "B.C."),
    };
    let text = if word.contains('.') { dotted } else { whole };
    match word.starts_with(char::is_lowercase) {
        true => text.to_lowercase(),
        false => text.to_owned(),
    }
}

/// An interval's hours may be more than 24.
pub(super) fn interval(value: IntervalMonthDayNano, pattern: &str) -> Answer {
    let micros = value.nanoseconds / 1_000;
    let all = micros.abs();
    let hours = all / (3600 * SECOND_US);
    let mut out = String::new();
    for piece in pieces(pattern) {
        let (word, fill) = match piece {
            Piece::Plain(text) => {
                out.push_str(text);
                continue;
            }
            Piece::Word { word, fill, .. } => (word, fill),
        };
        let number = |value: i64, width: usize| match fill {
            true => format!("{value:0width$}"),
            false => value.to_string(),
        };
        let sign = if micros < 0 && word.starts_with("HH") {
            "-"
        } else {
            ""
        };
        out.push_str(sign);
        out.push_str(&match word {
            "YYYY" => number(i64::from(value.months / 12), 4),
            "MM" => number(i64::from(value.months % 12), 2),
            "DD" => number(i64::from(value.days), 2),
            "HH24" => number(hours, 2),
            "HH12" | "HH" => number((hours + 11) % 12 + 1, 2),
            "MI" => number(all / (60 * SECOND_US) % 60, 2),
            "SS" => number(all / SECOND_US % 60, 2),
            "MS" | "FF3" => number(all % SECOND_US / 1_000, 3),
            "US" | "FF6" => number(all % SECOND_US, 6),
            other => return Err(format!("{other} is not known for intervals")),
        });
    }
    Ok(O::Text(out))
}

/// Text as people and machines write instants, without a pattern.
pub(super) fn instant(text: &str) -> Result<i64, String> {
    let utc: Tz = "+00:00"
        .parse()
        .map_err(|_| "UTC is not known".to_owned())?;
    string_to_datetime(&utc, text.trim())
        .map(|at| at.timestamp_micros())
        .map_err(|_| format!("invalid input syntax for a timestamp: \"{text}\""))
}

#[derive(Default)]
struct Parsed {
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    hour: Option<i64>,
    minute: i64,
    second: i64,
    micros: i64,
    afternoon: Option<bool>,
    of_day: Option<i64>,
    zone_seconds: i64,
}

/// Text that follows a pattern, in microseconds since 1970.
pub(super) fn parse(text: &str, pattern: &str) -> Result<i64, String> {
    let mut parsed = Parsed::default();
    let mut rest = text.trim_start();
    let all = pieces(pattern);
    for (index, piece) in all.iter().enumerate() {
        match piece {
            Piece::Plain(plain) => rest = skip(rest, plain),
            Piece::Word { word, .. } => {
                let packed = matches!(all.get(index + 1), Some(Piece::Word { .. }));
                rest = parsed.take(word, rest.trim_start(), packed)?;
            }
        }
    }
    parsed.micros()
}

/// What stands between two fields: separators match any separator.
fn skip<'t>(text: &'t str, plain: &str) -> &'t str {
    let is_separator = |c: char| !c.is_alphanumeric();
    let mut rest = text;
    for c in plain.chars() {
        let mut chars = rest.chars();
        match chars.next() {
            Some(found) if found == c || (is_separator(c) && is_separator(found)) => {
                rest = chars.as_str()
            }
            Some(_) if c.is_whitespace() || is_separator(c) => {}
            Some(_) => rest = chars.as_str(),
            None => {}
        }
    }
    rest
}

/// The digits at the start: at most `width` if another field follows at once.
fn digits(text: &str, width: usize, packed: bool) -> Result<(i64, usize, &str), String> {
    let most = if packed { width } else { width.max(4) };
    let count = text
        .bytes()
        .take(most)
        .take_while(u8::is_ascii_digit)
        .count();
    let number = text[..count].parse::<i64>();
    let number = number.map_err(|_| format!("expected a number at \"{text}\""))?;
    Ok((number, count, &text[count..]))
}

impl Parsed {
    fn take<'t>(&mut self, word: &str, text: &'t str, packed: bool) -> Result<&'t str, String> {
        let upper = word.to_uppercase();
        match upper.as_str() {
            "MONTH" | "MON" => {
                let (index, rest) =
                    name(text, &MONTHS, upper == "MON").ok_or_else(|| no_name(text, "month"))?;
                self.month = Some(index + 1);
                return Ok(rest);
            }
            "DAY" | "DY" => {
                return Ok(name(text, &DAYS, upper == "DY")
                    .ok_or_else(|| no_name(text, "day"))?
                    .1);
            }
            "AM" | "PM" | "A.M." | "P.M." => {
                let afternoon = text.starts_with(['p', 'P']);
                if !afternoon && !text.starts_with(['a', 'A']) {
                    return Err(format!("expected AM or PM at \"{text}\""));
                }
                self.afternoon = Some(afternoon);
                return Ok(text.get(upper.len()..).unwrap_or(""));
            }
            "AD" | "BC" | "A.D." | "B.C." => {
                let before = text.starts_with(['b', 'B']);
                if !before && !text.starts_with(['a', 'A']) {
                    return Err(format!("expected AD or BC at \"{text}\""));
                }
                // There is no year 0.
                self.year = self.year.map(|year| if before { 1 - year } else { year });
                return Ok(text.get(upper.len()..).unwrap_or(""));
            }
            "TZH" | "OF" | "TZ" => return self.take_zone(text),
            "Y,YYY" => {
                let (thousands, _, rest) = digits(text, 1, true)?;
                let (year, _, rest) = digits(rest.strip_prefix(',').unwrap_or(rest), 3, true)?;
                self.year = Some(thousands * 1000 + year);
                return Ok(rest);
            }
            _ => {}
        }
        let width = match upper.as_str() {
            "YYYY" => {
                if packed {
                    4
                } else {
                    6
                }
            }
            "YYY" | "DDD" | "MS" => 3,
            "US" => 6,
            "SSSS" | "SSSSS" => 5,
            "Y" | "Q" | "D" | "W" => 1,
            other if other.starts_with("FF") => 6,
            _ => 2,
        };
        let wide = matches!(upper.as_str(), "YYYY");
        let (number, count, rest) = digits(text, width, packed || !wide)?;
        self.set(&upper, number, count)?;
        Ok(rest)
    }

    fn set(&mut self, word: &str, number: i64, count: usize) -> Result<(), String> {
        match word {
            "YYYY" => self.year = Some(number),
            "YYY" => self.year = Some(number + if number < 520 { 2000 } else { 1000 }),
            "YY" => self.year = Some(number + if number < 70 { 2000 } else { 1900 }),
            "Y" => self.year = Some(number + 2020),
            "MM" => self.month = Some(number),
            "DD" => self.day = Some(number),
            "DDD" => self.day_of_year = Some(number),
            "HH24" | "HH12" | "HH" => self.hour = Some(number),
            "MI" => self.minute = number,
            "SS" => self.second = number,
            "SSSS" | "SSSSS" => self.of_day = Some(number),
            "MS" => self.micros = number * 10_i64.pow(3_u32.saturating_sub(count as u32)) * 1_000,
            "US" => self.micros = number * 10_i64.pow(6_u32.saturating_sub(count as u32)),
            other if other.starts_with("FF") => {
                self.micros = number * 10_i64.pow(6_u32.saturating_sub(count as u32));
            }
            "Q" | "D" | "W" | "WW" => {}
            other => return Err(format!("{other} cannot be read, only written")),
        }
        Ok(())
    }

    fn take_zone<'t>(&mut self, text: &'t str) -> Result<&'t str, String> {
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        let written = &text[..end];
        let sign = if written.starts_with('-') { -1 } else { 1 };
        let digits: String = written.chars().filter(char::is_ascii_digit).collect();
        let number = digits.parse::<i64>().unwrap_or(0);
        self.zone_seconds = sign
            * if digits.len() > 2 {
                number / 100 * 3600 + number % 100 * 60
            } else {
                number * 3600
            };
        Ok(&text[end..])
    }

    fn micros(&self) -> Result<i64, String> {
        let hour = match (self.hour, self.afternoon) {
            (Some(hour), Some(afternoon)) if !(1..=12).contains(&hour) => {
                let _ = afternoon;
                return Err(format!("hour \"{hour}\" is invalid for the 12-hour clock"));
            }
            (Some(hour), Some(true)) => hour % 12 + 12,
            (Some(hour), Some(false)) => hour % 12,
            (hour, _) => hour.unwrap_or(0),
        };
        let (mut month, mut day) = (self.month.unwrap_or(1), self.day.unwrap_or(1));
        let year = self.year.unwrap_or(1);
        if let Some(of_year) = self.day_of_year {
            let civil = Civil::of_days(super::civil::days(year, 1, 1) + of_year - 1);
            (month, day) = (civil.month, civil.day);
        }
        let (hour, minute, second) = match self.of_day {
            Some(all) => (all / 3600, all / 60 % 60, all % 60),
            None => (hour, self.minute, self.second),
        };
        let found = checked(
            year,
            month,
            day,
            hour,
            minute,
            second * SECOND_US + self.micros,
        );
        let found = found.ok_or_else(|| "date/time field value out of range".to_owned())?;
        Ok(found - self.zone_seconds * SECOND_US)
    }
}

fn no_name(text: &str, what: &str) -> String {
    format!("expected the name of a {what} at \"{text}\"")
}

/// The name at the start of the text: its first three letters, or all of it.
fn name<'t>(text: &'t str, names: &[&str], short: bool) -> Option<(i64, &'t str)> {
    let starts = |name: &str| {
        text.get(..name.len())
            .is_some_and(|t| t.eq_ignore_ascii_case(name))
    };
    names.iter().enumerate().find_map(|(index, name)| {
        let wanted = if short { &name[..3] } else { name };
        starts(wanted).then(|| (index as i64, &text[wanted.len()..]))
    })
}
