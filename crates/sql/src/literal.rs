//! Times and intervals in quotes, from the forms that PostgreSQL reads to those that DataFusion does.

/// `2001-09-28 01:00` gets its seconds, `epoch` its date.
pub(crate) fn timestamp(text: &str) -> Option<String> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("epoch") {
        return Some("1970-01-01 00:00:00".to_owned());
    }
    let digits = |range: std::ops::Range<usize>| {
        text.get(range)
            .is_some_and(|t| t.bytes().all(|b| b.is_ascii_digit()))
    };
    let minutes = text.is_char_boundary(16)
        && digits(11..13)
        && digits(14..16)
        && text.get(13..14) == Some(":");
    let rest = text.get(16..).unwrap_or("");
    (minutes && !rest.starts_with(':')).then(|| format!("{}:00{rest}", &text[..16]))
}

/// Units and amounts: `1 day 02:03:04`, `1-2`, `P1Y2M`, `2 hours ago`. `None` if it needs no change or is none.
pub(crate) fn interval(text: &str) -> Option<String> {
    let trimmed = text.trim();
    if let Some(iso) = trimmed.strip_prefix('P') {
        return of_iso(iso);
    }
    let (body, ago) = match trimmed.strip_suffix("ago") {
        Some(body) => (body.trim_end(), true),
        None => (trimmed, false),
    };
    let (mut out, mut changed) = (Vec::new(), ago);
    for word in body.split_whitespace() {
        match clock(word).or_else(|| years(word)) {
            Some(units) => {
                changed = true;
                out.push(units);
            }
            None => out.push(word.to_owned()),
        }
    }
    if !changed {
        return None;
    }
    let joined = out.join(" ");
    Some(if ago { negated(&joined) } else { joined })
}

/// `[-]hh:mm[:ss]`
fn clock(word: &str) -> Option<String> {
    let (sign, body) = match word.strip_prefix('-') {
        Some(body) => ("-", body),
        None => ("", word.strip_prefix('+').unwrap_or(word)),
    };
    let parts: Vec<&str> = body.split(':').collect();
    let number =
        |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit() || c == '.');
    match parts.as_slice() {
        [hours, minutes] if parts.iter().all(|p| number(p)) => {
            Some(format!("{sign}{hours} hours {sign}{minutes} minutes"))
        }
        [hours, minutes, seconds] if parts.iter().all(|p| number(p)) => Some(format!(
            "{sign}{hours} hours {sign}{minutes} minutes {sign}{seconds} seconds"
        )),
        _ => None,
    }
}

/// `years-months`
fn years(word: &str) -> Option<String> {
    let (years, months) = word.split_once('-')?;
    let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    (number(years) && number(months)).then(|| format!("{years} years {months} months"))
}

/// What follows the `P` of ISO 8601.
fn of_iso(text: &str) -> Option<String> {
    let (mut out, mut number, mut time) = (Vec::new(), String::new(), false);
    for c in text.chars() {
        let unit = match c {
            'T' if number.is_empty() => {
                time = true;
                continue;
            }
            '0'..='9' | '.' | '-' => {
                number.push(c);
                continue;
            }
            'Y' => "years",
            'M' if time => "minutes",
            'M' => "months",
            'W' => "weeks",
            'D' => "days",
            'H' => "hours",
            'S' => "seconds",
            _ => return None,
        };
        out.push(format!("{} {unit}", std::mem::take(&mut number)));
    }
    (number.is_empty() && !out.is_empty()).then(|| out.join(" "))
}

fn negated(text: &str) -> String {
    let flip = |word: &str| match word.strip_prefix('-') {
        Some(rest) => rest.to_owned(),
        None if word.starts_with(|c: char| c.is_ascii_digit()) => format!("-{word}"),
        None => word.to_owned(),
    };
    text.split_whitespace()
        .map(flip)
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::{interval, timestamp};

    #[test]
    fn forms_of_postgresql_become_units() {
        let check =
            |text, wanted: Option<&str>| assert_eq!(interval(text).as_deref(), wanted, "{text}");
        check(
            "1 day 02:03:04",
            Some("1 day 02 hours 03 minutes 04 seconds"),
        );
        check("-08:00", Some("-08 hours -00 minutes"));
        check("1-2", Some("1 years 2 months"));
        check(
            "P1Y2M3DT4H5M6S",
            Some("1 years 2 months 3 days 4 hours 5 minutes 6 seconds"),
        );
        check("2 hours ago", Some("-2 hours"));
        check("5 minutes", None);
        assert_eq!(
            timestamp("2024-01-01 10:00+00").as_deref(),
            Some("2024-01-01 10:00:00+00")
        );
        assert_eq!(timestamp("2024-01-01 10:00:01"), None);
        assert_eq!(timestamp("2024-01-01"), None);
    }
}
