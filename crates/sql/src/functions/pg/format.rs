//! `format('Hello %s', x)`: `%s`, `%I`, `%L`, with position, flag and width.

use super::kit::{A, Answer, O};
use super::text::{quote_ident, quote_literal, shown};

/// Widest field.
const WIDTH_MAX: usize = 1 << 20;

pub(super) fn format(args: &[A<'_>]) -> Answer {
    let Some((pattern, values)) = args.split_first() else {
        return Ok(O::Null);
    };
    if pattern.is_null() {
        return Ok(O::Null);
    }
    let mut state = State {
        values,
        next: 0,
        chars: pattern.text().chars().peekable(),
    };
    let mut out = String::new();
    while let Some(c) = state.chars.next() {
        match c {
            '%' if state.chars.peek() == Some(&'%') => {
                state.chars.next();
                out.push('%');
            }
            '%' => state.field(&mut out)?,
            other => out.push(other),
        }
    }
    Ok(O::Text(out))
}

struct State<'a> {
    values: &'a [A<'a>],
    next: usize,
    chars: std::iter::Peekable<std::str::Chars<'a>>,
}

impl<'a> State<'a> {
    fn number(&mut self) -> Option<usize> {
        let mut found = None;
        while let Some(digit) = self.chars.peek().and_then(|c| c.to_digit(10)) {
            found = Some(
                found
                    .unwrap_or(0_usize)
                    .saturating_mul(10)
                    .saturating_add(digit as usize),
            );
            self.chars.next();
        }
        found
    }

    fn take(&mut self, position: Option<usize>) -> Result<&'a A<'a>, String> {
        let at = match position {
            Some(0) => return Err("argument positions begin at 1".to_owned()),
            Some(position) => position - 1,
            None => self.next,
        };
        self.next = at + 1;
        self.values
            .get(at)
            .ok_or_else(|| "too few arguments for format()".to_owned())
    }

    /// `[position$][-][width]type`, after the `%`.
    fn field(&mut self, out: &mut String) -> Result<(), String> {
        let mut position = None;
        let mut width = self.number();
        if width.is_some() && self.chars.peek() == Some(&'$') {
            self.chars.next();
            position = width.take();
        }
        let mut left = false;
        while width.is_none() && self.chars.peek() == Some(&'-') {
            self.chars.next();
            left = true;
        }
        if width.is_none() && self.chars.peek() == Some(&'*') {
            self.chars.next();
            let number = self.number();
            if number.is_some() {
                self.chars.next();
            }
            let given = shown(self.take(number)?).parse::<i64>().unwrap_or(0);
            left |= given < 0;
            width = usize::try_from(given.unsigned_abs()).ok();
        } else if width.is_none() {
            width = self.number();
        }
        let kind = self
            .chars
            .next()
            .ok_or("unterminated format() type specifier")?;
        if !matches!(kind, 's' | 'I' | 'L') {
            return Err(format!(
                "unrecognized format() type specifier \"{kind}\"; there are s, I and L"
            ));
        }
        let text = value(kind, self.take(position)?)?;
        let fill = width
            .unwrap_or(0)
            .min(WIDTH_MAX)
            .saturating_sub(text.chars().count());
        let fill = " ".repeat(fill);
        match left {
            true => out.extend([text.as_str(), fill.as_str()]),
            false => out.extend([fill.as_str(), text.as_str()]),
        }
        Ok(())
    }
}

fn value(kind: char, value: &A<'_>) -> Result<String, String> {
    Ok(match (kind, value.is_null()) {
        ('L', true) => "NULL".to_owned(),
        ('I', true) => {
            return Err("null values cannot be formatted as an SQL identifier".to_owned());
        }
        (_, true) => String::new(),
        ('I', false) => quote_ident(&shown(value)),
        ('L', false) => quote_literal(&shown(value)),
        (_, false) => shown(value),
    })
}
