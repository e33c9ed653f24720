//! A cursor over one JSON text: tokens, strings, numbers, skipping. One pass, no allocation unless a string has escapes.
//!
//! The text has been checked to be UTF-8 before. Knows nothing of columns.

use super::fault::{Fault, syntax};
use super::number::Number;

/// Deepest nesting of arrays and objects in a value.
pub(crate) const DEPTH_MAX: usize = 96;

pub(crate) struct Cursor<'a> {
    pub text: &'a [u8],
    pub at: usize,
}

/// A string between its quotes.
#[derive(Clone, Copy)]
pub(crate) struct Text<'a> {
    pub raw: &'a [u8],
    /// Offset of `raw` in the text.
    pub at: usize,
    pub escaped: bool,
}

impl<'a> Cursor<'a> {
    pub fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }

    #[inline]
    pub fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    #[inline]
    pub fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    /// The next byte that is no space, not consumed.
    #[inline]
    pub fn next_token(&mut self) -> Result<u8, Fault> {
        self.skip_space();
        self.peek().ok_or_else(|| syntax(self.at, "unexpected end"))
    }

    #[inline]
    pub fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), Fault> {
        if self.next_token()? != byte {
            return Err(syntax(self.at, what));
        }
        self.at += 1;
        Ok(())
    }

    /// Consumes `word` if it comes next.
    #[inline]
    pub fn take(&mut self, word: &[u8]) -> bool {
        let found = self.text[self.at..].starts_with(word);
        if found {
            self.at += word.len();
        }
        found
    }

    pub fn literal(&mut self, word: &'static [u8]) -> Result<(), Fault> {
        if self.take(word) {
            Ok(())
        } else {
            Err(syntax(self.at, "expected a value"))
        }
    }

    /// A string; the cursor stands on its opening quote.
    #[inline]
    pub fn string(&mut self) -> Result<Text<'a>, Fault> {
        let start = self.at + 1;
        let mut at = start + plain_prefix(self.text.get(start..).unwrap_or_default());
        let mut escaped = false;
        loop {
            match self.text.get(at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    at += 2;
                    at += plain_prefix(self.text.get(at..).unwrap_or_default());
                }
                Some(_) => return Err(syntax(at, "control character in a string")),
                None => return Err(syntax(self.text.len(), "unexpected end in a string")),
            }
        }
        self.at = at + 1;
        Ok(Text {
            raw: &self.text[start..at],
            at: start,
            escaped,
        })
    }

    #[inline]
    pub fn number(&mut self) -> Result<Number<'a>, Fault> {
        let (number, len) = Number::scan(&self.text[self.at..])
            .map_err(|at| syntax(self.at + at, "invalid number"))?;
        self.at += len;
        Ok(number)
    }

    /// Passes over any value, checking that it is one.
    pub fn skip_value(&mut self, depth: usize) -> Result<(), Fault> {
        match self.next_token()? {
            b'"' => self.string()?.check(),
            b'{' => self.skip_object(depth),
            b'[' => self.skip_array(depth),
            b't' => self.literal(b"true"),
            b'f' => self.literal(b"false"),
            b'n' => self.literal(b"null"),
            b'-' | b'0'..=b'9' => self.number().map(|_| ()),
            _ => Err(syntax(self.at, "expected a value")),
        }
    }

    fn skip_object(&mut self, depth: usize) -> Result<(), Fault> {
        self.enter(depth)?;
        if self.next_token()? == b'}' {
            self.at += 1;
            return Ok(());
        }
        loop {
            if self.next_token()? != b'"' {
                return Err(syntax(self.at, "expected a field name"));
            }
            self.string()?.check()?;
            self.expect(b':', "expected a colon")?;
            self.skip_value(depth + 1)?;
            if !self.another(b'}', "expected a comma or the end of the object")? {
                return Ok(());
            }
        }
    }

    fn skip_array(&mut self, depth: usize) -> Result<(), Fault> {
        self.enter(depth)?;
        if self.next_token()? == b']' {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.skip_value(depth + 1)?;
            if !self.another(b']', "expected a comma or the end of the array")? {
                return Ok(());
            }
        }
    }

    /// Steps over an opening bracket.
    #[inline]
    pub fn enter(&mut self, depth: usize) -> Result<(), Fault> {
        if depth >= DEPTH_MAX {
            return Err(syntax(self.at, "nested too deep"));
        }
        self.at += 1;
        Ok(())
    }

    /// After an element: `true` past a comma, `false` past the closing bracket.
    #[inline]
    pub fn another(&mut self, close: u8, what: &'static str) -> Result<bool, Fault> {
        let token = self.next_token()?;
        if token != b',' && token != close {
            return Err(syntax(self.at, what));
        }
        self.at += 1;
        Ok(token == b',')
    }
}

impl Text<'_> {
    /// Checks the escapes of a string that is not kept.
    pub fn check(&self) -> Result<(), Fault> {
        if self.escaped {
            self.unescape(&mut Vec::new())
        } else {
            Ok(())
        }
    }

    /// Appends the string that is meant.
    pub fn unescape(&self, out: &mut Vec<u8>) -> Result<(), Fault> {
        let mut rest = self.raw;
        while let Some(at) = rest.iter().position(|&b| b == b'\\') {
            out.extend_from_slice(&rest[..at]);
            let here = self.at + (self.raw.len() - rest.len()) + at;
            let used =
                unescape_one(&rest[at..], out).ok_or_else(|| syntax(here, "invalid escape"))?;
            rest = &rest[at + used..];
        }
        out.extend_from_slice(rest);
        Ok(())
    }
}

/// One escape sequence; how many bytes it took.
fn unescape_one(text: &[u8], out: &mut Vec<u8>) -> Option<usize> {
    let plain = match *text.get(1)? {
        b'u' => return unescape_unicode(text, out),
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        byte @ (b'"' | b'\\' | b'/') => byte,
        _ => return None,
    };
    out.push(plain);
    Some(2)
}

/// `\uXXXX`, or a pair of them for what is beyond the basic plane. Lone surrogates are no text.
fn unescape_unicode(text: &[u8], out: &mut Vec<u8>) -> Option<usize> {
    let first = hex4(text.get(2..6)?)?;
    let (code, used) = match first {
        0xD800..0xDC00 => {
            let second = (text.get(6..8)? == b"\\u").then(|| text.get(8..12))??;
            let low = hex4(second)?
                .checked_sub(0xDC00)
                .filter(|low| *low < 0x400)?;
            (0x10000 + ((first - 0xD800) << 10) + low, 12)
        }
        _ => (first, 6),
    };
    let mut utf8 = [0; 4];
    out.extend_from_slice(char::from_u32(code)?.encode_utf8(&mut utf8).as_bytes());
    Some(used)
}

fn hex4(digits: &[u8]) -> Option<u32> {
    digits
        .iter()
        .try_fold(0, |sum, &b| Some(sum * 16 + char::from(b).to_digit(16)?))
}

/// How many bytes come before the first quote, backslash or control character. Eight at a time.
#[inline]
fn plain_prefix(text: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGHS: u64 = ONES << 7;
    let mut at = 0;
    while let Some(chunk) = text.get(at..at + 8) {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(chunk);
        let word = u64::from_le_bytes(bytes);
        let quote = word ^ (ONES * b'"' as u64);
        let slash = word ^ (ONES * b'\\' as u64);
        // The lowest marked byte is exact: a borrow can only mark bytes above a true one.
        let found = (quote.wrapping_sub(ONES) & !quote)
            | (slash.wrapping_sub(ONES) & !slash)
            | (word.wrapping_sub(ONES * 0x20) & !word);
        if found & HIGHS != 0 {
            return at + ((found & HIGHS).trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let rest = text.get(at..).unwrap_or_default();
    at + rest
        .iter()
        .position(|&b| b == b'"' || b == b'\\' || b < 0x20)
        .unwrap_or(rest.len())
}
