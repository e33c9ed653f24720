//! Numbers to text and back with PostgreSQL's patterns, and what DataFusion's arithmetic functions lack.

use super::kit::T::{Float8, Int4, Int8, Interval, Numeric, Text};
use super::kit::{A, Answer, Def, O, def, over};
use super::pattern::ordinal_of;

pub(super) const FUNCTIONS: &[Def] = &[
    def(
        "cbrt",
        &[over(&[Float8], Float8, |a| {
            Ok(O::Float(a[0].float().cbrt()))
        })],
    ),
    def(
        "div",
        &[
            over(&[Int8, Int8], Int8, |a| {
                match a[0].int().checked_div(a[1].int()) {
                    Some(v) => Ok(O::Int(v)),
                    None => Err("division by zero".to_owned()),
                }
            }),
            over(&[Float8, Float8], Float8, |a| match a[1].float() {
                0.0 => Err("division by zero".to_owned()),
                by => Ok(O::Float((a[0].float() / by).trunc())),
            }),
        ],
    ),
    def(
        "mod",
        &[
            over(&[Int8, Int8], Int8, |a| {
                match a[0].int().checked_rem(a[1].int()) {
                    Some(v) => Ok(O::Int(v)),
                    None if a[1].int() == -1 => Ok(O::Int(0)),
                    None => Err("division by zero".to_owned()),
                }
            }),
            over(&[Float8, Float8], Float8, |a| match a[1].float() {
                0.0 => Err("division by zero".to_owned()),
                by => Ok(O::Float(a[0].float() % by)),
            }),
        ],
    ),
    def(
        "sign",
        &[over(&[Float8], Float8, |a| match a[0].float() {
            v if v > 0.0 => Ok(O::Float(1.0)),
            v if v < 0.0 => Ok(O::Float(-1.0)),
            v => Ok(O::Float(v + 0.0)),
        })],
    ),
    def(
        "scale",
        &[over(&[Numeric], Int4, |a| match a[0] {
            A::Numeric(_, scale) => Ok(O::Int(i64::from(scale))),
            _ => Ok(O::Null),
        })],
    ),
    def(
        "min_scale",
        &[over(&[Numeric], Int4, |a| match a[0] {
            A::Numeric(mut value, mut scale) => {
                while scale > 0 && value % 10 == 0 {
                    (value, scale) = (value / 10, scale - 1);
                }
                Ok(O::Int(i64::from(scale)))
            }
            _ => Ok(O::Null),
        })],
    ),
    def(
        "interval_order",
        &[over(&[Interval], Int8, |a| {
            let i = a[0].interval();
            let days = i64::from(i.months)
                .saturating_mul(30)
                .saturating_add(i64::from(i.days));
            Ok(O::Int(
                days.saturating_mul(86_400_000_000)
                    .saturating_add(i.nanoseconds / 1_000),
            ))
        })],
    ),
    def(
        "rint",
        &[over(&[Float8], Float8, |a| {
            Ok(O::Float(a[0].float().round_ties_even()))
        })],
    ),
    def(
        "sind",
        &[over(&[Float8], Float8, |a| {
            Ok(O::Float(tidy(a[0].float().to_radians().sin())))
        })],
    ),
    def(
        "cosd",
        &[over(&[Float8], Float8, |a| {
            Ok(O::Float(tidy(a[0].float().to_radians().cos())))
        })],
    ),
    def(
        "tand",
        &[over(&[Float8], Float8, |a| {
            Ok(O::Float(tidy(a[0].float().to_radians().tan())))
        })],
    ),
    def(
        "width_bucket",
        &[over(&[Float8, Float8, Float8, Int8], Int4, |a| {
            let (value, low, high, count) = (a[0].float(), a[1].float(), a[2].float(), a[3].int());
            if count <= 0 || low == high {
                return Err("count must be greater than zero and the bounds must differ".to_owned());
            }
            let at = (value - low) / (high - low);
            let bucket = (at * count as f64).floor() as i64 + 1;
            Ok(O::Int(bucket.clamp(0, count + 1)))
        })],
    ),
    def(
        "to_number",
        &[over(&[Text, Text], Float8, |a| {
            to_number(a[0].text(), a[1].text())
        })],
    ),
    def(
        "sqrt",
        &[over(&[Float8], Float8, |a| match a[0].float() {
            v if v < 0.0 => Err("cannot take square root of a negative number".to_owned()),
            v => Ok(O::Float(v.sqrt())),
        })],
    ),
    def(
        "ln",
        &[over(&[Float8], Float8, |a| {
            logarithm(a[0].float(), f64::ln)
        })],
    ),
    def(
        "log10",
        &[over(&[Float8], Float8, |a| {
            logarithm(a[0].float(), f64::log10)
        })],
    ),
];

fn logarithm(value: f64, log: fn(f64) -> f64) -> Answer {
    if value <= 0.0 {
        return Err("cannot take logarithm of zero or a negative number".to_owned());
    }
    Ok(O::Float(log(value)))
}

/// Without the last bit's noise: `sind(30)` is 0.5.
fn tidy(value: f64) -> f64 {
    (value * 1e15).round() / 1e15
}

/// What a pattern asks for.
#[derive(Default)]
struct Shape {
    /// `9`, `0`, `,` and plain text, before and after the point.
    whole: Vec<char>,
    fraction: Vec<char>,
    point: bool,
    compact: bool,
    sign: Option<(Sign, bool)>,
    ordinal: &'static str,
    currency: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Sign {
    S,
    Mi,
    Pl,
    Sg,
    Pr,
}

fn shape(pattern: &str) -> Result<Shape, String> {
    let mut shape = Shape::default();
    let mut rest = pattern;
    let mut digits = false;
    while let Some(c) = rest.chars().next() {
        let two = rest.get(..2).unwrap_or("").to_uppercase();
        let sign = match two.as_str() {
            "MI" => Some(Sign::Mi),
            "PL" => Some(Sign::Pl),
            "SG" => Some(Sign::Sg),
            "PR" => Some(Sign::Pr),
            _ if matches!(c, 'S' | 's') => Some(Sign::S),
            _ => None,
        };
        if let Some(sign) = sign {
            shape.sign = Some((sign, digits));
            rest = &rest[if sign == Sign::S { 1 } else { 2 }..];
            continue;
        }
        match two.as_str() {
            "FM" => shape.compact = true,
            "TH" => shape.ordinal = if rest.starts_with("TH") { "TH" } else { "th" },
            "EE" | "RN" => return Err(format!("{two} is not known in the pattern of a number")),
            _ => {
                let part = if shape.point {
                    &mut shape.fraction
                } else {
                    &mut shape.whole
                };
                match c {
                    '9' | '0' => {
                        digits = true;
                        part.push(c);
                    }
                    ',' | 'G' | 'g' => part.push(','),
                    '.' | 'D' | 'd' => shape.point = true,
                    'V' | 'v' => return Err("V is not known in the pattern of a number".to_owned()),
                    'L' | '$' => shape.currency = true,
                    other => part.push(other),
                }
                rest = &rest[c.len_utf8()..];
                continue;
            }
        }
        rest = &rest[2..];
    }
    Ok(shape)
}

/// Sign, whole digits and fraction digits, rounded half away from zero to `places`.
fn digits_of(value: &A<'_>, places: usize) -> Option<(bool, String, String)> {
    let (negative, digits, scale) = match value {
        A::Numeric(v, scale) => (
            *v < 0,
            v.unsigned_abs().to_string(),
            usize::try_from(*scale).unwrap_or(0),
        ),
        A::Float(v) if v.is_finite() => {
            let text = format!("{:.places$}", v.abs());
            let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
            return Some((*v < 0.0, whole.to_owned(), fraction.to_owned()));
        }
        _ => return None,
    };
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    if fraction.len() <= places {
        return Some((negative, whole.to_owned(), format!("{fraction:0<places$}")));
    }
    let up = fraction.as_bytes()[places] >= b'5';
    let kept = format!("{whole}{}", &fraction[..places]);
    let number = kept.parse::<u128>().ok()? + u128::from(up);
    let text = format!("{number:0>width$}", width = places + 1);
    let (whole, fraction) = text.split_at(text.len() - places);
    Some((negative, whole.to_owned(), fraction.to_owned()))
}

pub(super) fn to_char(value: &A<'_>, pattern: &str) -> Answer {
    let shape = shape(pattern)?;
    let is_digit = |c: &&char| matches!(**c, '9' | '0');
    let places = shape.fraction.iter().filter(is_digit).count();
    let width = shape.whole.iter().filter(is_digit).count();
    let Some((mut negative, whole, fraction)) = digits_of(value, places) else {
        return Ok(O::Text("NaN".to_owned()));
    };
    let whole = whole.trim_start_matches('0');
    negative &= !whole.is_empty() || fraction.bytes().any(|b| b != b'0');
    let overflow = whole.len() > width;
    let fraction = fraction_part(&shape, &fraction, overflow);
    // A number without digits behind the point has one before it.
    let bare = fraction.is_empty() || (shape.compact && fraction == ".");
    let body = whole_part(&shape, whole, (width, bare), overflow) + &fraction;
    Ok(O::Text(signed(&shape, negative, &body, whole)))
}

/// The digits before the point with their groups, blanks where there is nothing yet.
fn whole_part(shape: &Shape, digits: &str, (width, bare): (usize, bool), overflow: bool) -> String {
    let mut out = String::new();
    let mut seen = 0;
    let mut begun = false;
    let first_zero = shape
        .whole
        .iter()
        .filter(|c| matches!(c, '9' | '0'))
        .position(|c| *c == '0');
    for c in &shape.whole {
        match c {
            '9' | '0' => {
                let from_right = width - seen;
                let digit = digits
                    .len()
                    .checked_sub(from_right)
                    .and_then(|i| digits.as_bytes().get(i));
                begun |= digit.is_some() || first_zero.is_some_and(|z| seen >= z);
                // The last 9 before a point stays empty for a fraction only.
                let last = seen + 1 == width && bare;
                seen += 1;
                match (overflow, digit) {
                    (true, _) => out.push('#'),
                    (false, Some(digit)) => out.push(char::from(*digit)),
                    (false, None) if begun || last => {
                        begun = true;
                        out.push('0');
                    }
                    (false, None) if shape.compact => {}
                    (false, None) => out.push(' '),
                }
            }
            ',' if begun || overflow => out.push(','),
            ',' if shape.compact => {}
            ',' => out.push(' '),
            other => out.push(*other),
        }
    }
    out
}

fn fraction_part(shape: &Shape, digits: &str, overflow: bool) -> String {
    if !shape.point {
        return String::new();
    }
    let mut out = ".".to_owned();
    let mut next = digits.chars();
    let mut keep = 1;
    for c in &shape.fraction {
        match c {
            '9' | '0' => {
                let digit = if overflow {
                    '#'
                } else {
                    next.next().unwrap_or('0')
                };
                out.push(digit);
                if *c == '0' || digit != '0' {
                    keep = out.len();
                }
            }
            ',' => out.push(','),
            other => {
                out.push(*other);
                keep = out.len();
            }
        }
    }
    if shape.compact {
        out.truncate(keep);
    }
    out
}

fn signed(shape: &Shape, negative: bool, body: &str, digits: &str) -> String {
    let suffix = if negative {
        String::new()
    } else {
        ordinal_of(if digits.is_empty() { "0" } else { digits }, shape.ordinal)
    };
    let trimmed = body.trim_start();
    let blanks = " ".repeat(body.len() - trimmed.len());
    let money = if shape.currency { "$" } else { "" };
    let blank = if shape.compact { "" } else { " " };
    let minus = |otherwise: &'static str| if negative { "-" } else { otherwise };
    match shape.sign {
        Some((Sign::S, false)) => format!("{blanks}{}{money}{trimmed}{suffix}", minus("+")),
        Some((Sign::S | Sign::Sg, true)) => format!("{body}{}", minus("+")),
        Some((Sign::Sg, false)) => format!("{}{body}", minus("+")),
        Some((Sign::Mi, false)) => format!("{}{body}", minus(blank_or(shape.compact))),
        Some((Sign::Mi, true)) => format!("{body}{}", minus(blank_or(shape.compact))),
        Some((Sign::Pl, false)) if negative => format!("{blank}{blanks}-{trimmed}"),
        Some((Sign::Pl, false)) => format!("+{blank}{body}"),
        Some((Sign::Pl, true)) => format!(
            "{blanks}{}{trimmed}{}",
            minus(blank_or(shape.compact)),
            if negative { blank } else { "+" }
        ),
        Some((Sign::Pr, _)) if negative => format!("{blanks}<{trimmed}>"),
        Some((Sign::Pr, _)) => format!("{blank}{body}{blank}"),
        None => format!(
            "{money}{blanks}{}{trimmed}{suffix}",
            minus(blank_or(shape.compact))
        ),
    }
}

fn blank_or(compact: bool) -> &'static str {
    if compact { "" } else { " " }
}

/// Digits, sign and point of the text; the pattern says only where the point is.
fn to_number(text: &str, pattern: &str) -> Answer {
    let negative =
        text.contains('-') || (pattern.to_uppercase().contains("PR") && text.contains('<'));
    let digits: String = text
        .chars()
        .filter(|c| c.is_ascii_digit() || *c == '.')
        .collect();
    match digits.parse::<f64>() {
        Ok(number) => Ok(O::Float(if negative { -number } else { number })),
        Err(_) => Err(format!("invalid input syntax for a number: \"{text}\"")),
    }
}
