//! JSON numbers: the grammar, and exact conversion into integers, decimals and floats.

/// A number as it stands in the text, taken apart as far as the fast paths need.
#[derive(Clone, Copy)]
pub(crate) struct Number<'a> {
    pub text: &'a [u8],
    negative: bool,
    /// All digits as an integer; only if `digits` is at most 19.
    mantissa: u64,
    digits: usize,
    /// Power of ten to multiply the digits by.
    exponent: i32,
}

/// Powers of ten that a double holds exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

impl<'a> Number<'a> {
    /// Reads the longest number at the start of `text`; its length, or where it breaks the grammar.
    #[inline]
    pub fn scan(text: &'a [u8]) -> Result<(Self, usize), usize> {
        let negative = text.first() == Some(&b'-');
        let mut at = usize::from(negative);
        let mut mantissa = 0;
        let whole = digits(text, &mut at, &mut mantissa);
        if whole == 0 || (whole > 1 && text[at - whole] == b'0') {
            return Err(at);
        }
        let mut fraction = 0;
        if text.get(at) == Some(&b'.') {
            at += 1;
            fraction = digits(text, &mut at, &mut mantissa);
            if fraction == 0 {
                return Err(at);
            }
        }
        let mut exponent = -i32::try_from(fraction).unwrap_or(i32::MAX);
        if let Some(b'e' | b'E') = text.get(at) {
            at += 1;
            exponent = exponent.saturating_add(scan_exponent(text, &mut at)?);
        }
        Ok((
            Self {
                text: &text[..at],
                negative,
                mantissa,
                digits: whole + fraction,
                exponent,
            },
            at,
        ))
    }

    /// The exact integer, also if it was written with a fraction of zeros or an exponent.
    #[inline]
    pub fn to_i64(self) -> Option<i64> {
        if self.exponent == 0 && self.digits <= 18 {
            let value = self.mantissa.cast_signed();
            return Some(if self.negative { -value } else { value });
        }
        i64::try_from(self.to_decimal(0)?).ok()
    }

    /// The value times 10^`scale`, if that is an integer that fits.
    pub fn to_decimal(self, scale: i8) -> Option<i128> {
        let shift = i64::from(self.exponent) + i64::from(scale);
        if self.digits <= 19 && (0..=19).contains(&shift) {
            let value = i128::from(self.mantissa) * 10i128.pow(shift as u32);
            return Some(if self.negative { -value } else { value });
        }
        self.to_decimal_slow(shift)
    }

    fn to_decimal_slow(self, shift: i64) -> Option<i128> {
        let end = self
            .text
            .iter()
            .position(|b| matches!(b, b'e' | b'E'))
            .unwrap_or(self.text.len());
        let mut value = 0i128;
        // Zeros are held back until a digit follows them: trailing ones belong to the exponent.
        let mut zeros = 0u32;
        for digit in self.text[..end]
            .iter()
            .filter(|b| b.is_ascii_digit())
            .map(|b| i128::from(b - b'0'))
        {
            if digit == 0 {
                zeros += u32::from(value != 0);
                continue;
            }
            value = value
                .checked_mul(10i128.checked_pow(zeros + 1)?)?
                .checked_add(digit)?;
            zeros = 0;
        }
        if value == 0 {
            return Some(0);
        }
        let power = u32::try_from(shift + i64::from(zeros)).ok()?;
        value = value.checked_mul(10i128.checked_pow(power)?)?;
        Some(if self.negative { -value } else { value })
    }

    /// The nearest double; `None` past the largest.
    #[inline]
    pub fn to_f64(self) -> Option<f64> {
        // Both factors are exact, so the one rounding of the operation is the right one (Clinger).
        if self.digits <= 19 && self.mantissa < 1 << 53 && self.exponent.unsigned_abs() <= 22 {
            let power = POWERS[self.exponent.unsigned_abs() as usize];
            let mantissa = self.mantissa as f64;
            let value = if self.exponent < 0 {
                mantissa / power
            } else {
                mantissa * power
            };
            return Some(if self.negative { -value } else { value });
        }
        std::str::from_utf8(self.text)
            .ok()?
            .parse()
            .ok()
            .filter(|v: &f64| v.is_finite())
    }

    /// The nearest single; parsed as such, because rounding twice would be wrong.
    pub fn to_f32(self) -> Option<f32> {
        std::str::from_utf8(self.text)
            .ok()?
            .parse()
            .ok()
            .filter(|v: &f32| v.is_finite())
    }
}

#[inline]
fn digits(text: &[u8], at: &mut usize, mantissa: &mut u64) -> usize {
    let start = *at;
    while let Some(digit) = text
        .get(*at)
        .map(|b| b.wrapping_sub(b'0'))
        .filter(|d| *d < 10)
    {
        *mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit));
        *at += 1;
    }
    *at - start
}

fn scan_exponent(text: &[u8], at: &mut usize) -> Result<i32, usize> {
    let negative = text.get(*at) == Some(&b'-');
    if let Some(b'+' | b'-') = text.get(*at) {
        *at += 1;
    }
    let start = *at;
    let mut value = 0i32;
    while let Some(digit) = text.get(*at).filter(|b| b.is_ascii_digit()) {
        value = value
            .saturating_mul(10)
            .saturating_add(i32::from(digit - b'0'));
        *at += 1;
    }
    if *at == start {
        return Err(*at);
    }
    Ok(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn number(text: &str) -> Number<'_> {
        let (number, len) = Number::scan(text.as_bytes()).unwrap();
        assert_eq!(len, text.len());
        number
    }

    #[test]
    fn exact_or_not_at_all() {
        assert_eq!(number("9223372036854775807").to_i64(), Some(i64::MAX));
        assert_eq!(number("-9223372036854775808").to_i64(), Some(i64::MIN));
        assert_eq!(number("9223372036854775808").to_i64(), None);
        assert_eq!(number("1.5").to_i64(), None);
        assert_eq!(number("1.0e3").to_i64(), Some(1000));
        assert_eq!(number("1.25").to_decimal(2), Some(125));
        assert_eq!(number("1.251").to_decimal(2), None);
        assert_eq!(
            number("-1.2500000000000000000000000000").to_decimal(2),
            Some(-125)
        );
        assert_eq!(number("0e999999999999").to_decimal(2), Some(0));
        assert_eq!(number("1e999999999999").to_decimal(2), None);
        assert_eq!(number("1e-999999999999").to_decimal(2), None);
        assert_eq!(number("1e400").to_f64(), None);
        assert!(number("-0").to_f64().unwrap().is_sign_negative());
    }

    #[test]
    fn grammar() {
        for text in ["", "-", "01", "1.", ".5", "1e", "1e+", "+1", "--1"] {
            let whole = Number::scan(text.as_bytes()).is_ok_and(|(_, len)| len == text.len());
            assert!(!whole, "{text}");
        }
    }

    proptest! {
        #[test]
        fn doubles_as_the_standard_library_reads_them(text in "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?") {
            let expected: f64 = text.parse().unwrap();
            let found = number(&text).to_f64();
            prop_assert_eq!(found.map(f64::to_bits), Some(expected).filter(|v| v.is_finite()).map(f64::to_bits));
        }

        #[test]
        fn integers_come_back(value in any::<i64>()) {
            prop_assert_eq!(number(&value.to_string()).to_i64(), Some(value));
        }

        #[test]
        fn decimals_come_back(value in -10i128.pow(37)..10i128.pow(37), scale in 0u32..20) {
            let sign = if value < 0 { "-" } else { "" };
            let (whole, part) = (value.abs() / 10i128.pow(scale), value.abs() % 10i128.pow(scale));
            let text = if scale == 0 { value.to_string() } else { format!("{sign}{whole}.{part:0width$}", width = scale as usize) };
            prop_assert_eq!(number(&text).to_decimal(scale as i8), Some(value));
        }
    }
}
