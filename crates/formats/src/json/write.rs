//! Scalars as JSON text, appended to a buffer.

/// Exact integer.
pub(crate) fn integer(value: i128, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    digits(value.unsigned_abs(), 1, out);
}

/// At least `width` digits of `value`.
fn digits(value: u128, width: usize, out: &mut Vec<u8>) {
    let mut text = [b'0'; 39];
    let mut at = text.len();
    // Values past 64 bits are rare: only they pay for wide division.
    let mut high = value;
    while high > u128::from(u64::MAX) {
        at -= 1;
        text[at] = b'0' + (high % 10) as u8;
        high /= 10;
    }
    let mut low = high as u64;
    while low > 0 {
        at -= 1;
        text[at] = b'0' + (low % 10) as u8;
        low /= 10;
    }
    at = at.min(text.len().saturating_sub(width));
    out.extend_from_slice(&text[at..]);
}

/// `value` times 10^-`scale`, with all digits of the scale.
pub(crate) fn decimal(value: i128, scale: i8, out: &mut Vec<u8>) {
    let Ok(places) = u32::try_from(scale) else {
        integer(value, out);
        if value != 0 {
            out.extend(std::iter::repeat_n(b'0', usize::from(scale.unsigned_abs())));
        }
        return;
    };
    let Some(unit) = 10u128.checked_pow(places).filter(|_| places > 0) else {
        return integer(value, out);
    };
    if value < 0 {
        out.push(b'-');
    }
    digits(value.unsigned_abs() / unit, 1, out);
    out.push(b'.');
    digits(value.unsigned_abs() % unit, places as usize, out);
}

/// The shortest text that reads back as the same double; what JSON has no number for as a string.
pub(crate) fn double(value: f64, out: &mut Vec<u8>) {
    if value.is_finite() {
        // Writing into memory cannot fail.
        let _ = serde_json::to_writer(out, &value);
    } else {
        special(value, out);
    }
}

pub(crate) fn single(value: f32, out: &mut Vec<u8>) {
    if value.is_finite() {
        let _ = serde_json::to_writer(out, &value);
    } else {
        special(f64::from(value), out);
    }
}

fn special(value: f64, out: &mut Vec<u8>) {
    let text: &[u8] = if value.is_nan() {
        b"\"NaN\""
    } else if value > 0.0 {
        b"\"Infinity\""
    } else {
        b"\"-Infinity\""
    };
    out.extend_from_slice(text);
}

pub(crate) fn string(value: &str, out: &mut Vec<u8>) {
    if value.bytes().all(|b| b >= 0x20 && b != b'"' && b != b'\\') {
        out.push(b'"');
        out.extend_from_slice(value.as_bytes());
        out.push(b'"');
    } else {
        let _ = serde_json::to_writer(out, value);
    }
}
