//! Regular expressions and `SIMILAR TO`, PostgreSQL's syntax on the regex crate: linear in the text, so that no pattern can hang a node.
//!
//! What that costs: no back-references and no look-around, which are refused, and of several branches that match, the first one
//! counts and not the longest.

use std::cell::RefCell;
use std::sync::Arc;

use ::regex::{Captures, Regex, RegexBuilder};

use super::kit::T::{Bool, Int4, Int8, Text, Texts};
use super::kit::{A, Answer, Def, O, def, over};

/// Compiled patterns that a thread keeps.
const KEPT_MAX: usize = 16;
/// Most memory of one compiled pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 4 << 20;

pub(super) const FUNCTIONS: &[Def] = &[
    def(
        "regexp_like",
        &[
            over(&[Text, Text], Bool, |a| like(a, "")),
            over(&[Text, Text, Text], Bool, |a| like(a, a[2].text())),
        ],
    ),
    def(
        "regexp_count",
        &[
            over(&[Text, Text], Int4, |a| count(a, 1, "")),
            over(&[Text, Text, Int8], Int4, |a| count(a, a[2].int(), "")),
            over(&[Text, Text, Int8, Text], Int4, |a| {
                count(a, a[2].int(), a[3].text())
            }),
        ],
    ),
    def(
        "regexp_instr",
        &[
            over(&[Text, Text], Int4, instr),
            over(&[Text, Text, Int8], Int4, instr),
            over(&[Text, Text, Int8, Int8], Int4, instr),
            over(&[Text, Text, Int8, Int8, Int8], Int4, instr),
            over(&[Text, Text, Int8, Int8, Int8, Text], Int4, instr),
            over(&[Text, Text, Int8, Int8, Int8, Text, Int8], Int4, |a| {
                instr(a)
            }),
        ],
    ),
    def(
        "regexp_substr",
        &[
            over(&[Text, Text], Text, substr),
            over(&[Text, Text, Int8], Text, substr),
            over(&[Text, Text, Int8, Int8], Text, substr),
            over(&[Text, Text, Int8, Int8, Text], Text, substr),
            over(&[Text, Text, Int8, Int8, Text, Int8], Text, substr),
        ],
    ),
    def(
        "regexp_match",
        &[
            over(&[Text, Text], Texts, |a| first(a, "")),
            over(&[Text, Text, Text], Texts, |a| first(a, a[2].text())),
        ],
    ),
    def(
        "regexp_replace",
        &[
            over(&[Text, Text, Text], Text, |a| replace(a, 1, 1, "")),
            over(&[Text, Text, Text, Text], Text, |a| {
                let times = if a[3].text().contains('g') { 0 } else { 1 };
                replace(a, 1, times, a[3].text())
            }),
            over(&[Text, Text, Text, Int8], Text, |a| {
                replace(a, a[3].int(), 1, "")
            }),
            over(&[Text, Text, Text, Int8, Int8], Text, |a| {
                replace_nth(a, "")
            }),
            over(&[Text, Text, Text, Int8, Int8, Text], Text, |a| {
                replace_nth(a, a[5].text())
            }),
        ],
    ),
    def(
        "regexp_split_to_array",
        &[
            over(&[Text, Text], Texts, |a| split(a, "")),
            over(&[Text, Text, Text], Texts, |a| split(a, a[2].text())),
        ],
    ),
];

/// The compiled pattern under PostgreSQL's flags.
fn compiled(pattern: &str, flags: &str) -> Result<Arc<Regex>, String> {
    thread_local! {
        /// Pattern, flags and what they compile to; few, so that looking through them costs less than hashing.
        static KEPT: RefCell<Vec<(String, String, Arc<Regex>)>> = const { RefCell::new(Vec::new()) };
    }
    let same = |entry: &&(String, String, Arc<Regex>)| entry.0 == pattern && entry.1 == flags;
    let found = KEPT.with_borrow(|kept| kept.iter().rev().find(same).map(|e| Arc::clone(&e.2)));
    if let Some(found) = found {
        return Ok(found);
    }
    let regex = Arc::new(compile(pattern, flags)?);
    KEPT.with_borrow_mut(|kept| {
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.push((pattern.to_owned(), flags.to_owned(), Arc::clone(&regex)));
    });
    Ok(regex)
}

fn compile(pattern: &str, flags: &str) -> Result<Regex, String> {
    let (mut insensitive, mut lines, mut extended, mut literal) = (false, None, false, false);
    let mut pattern = pattern;
    let mut flags = flags.to_owned();
    if let Some(rest) = pattern.strip_prefix("***=") {
        literal = true;
        pattern = rest;
    } else if let Some((embedded, rest)) =
        pattern.strip_prefix("(?").and_then(|p| p.split_once(')'))
        && embedded.chars().all(|c| c.is_ascii_lowercase())
        && !embedded.is_empty()
    {
        flags.push_str(embedded);
        pattern = rest;
    }
    for flag in flags.chars() {
        match flag {
            'i' => insensitive = true,
            'c' => insensitive = false,
            'n' | 'm' => lines = Some((true, false)),
            'p' => lines = Some((false, false)),
            'w' => lines = Some((true, true)),
            's' => lines = None,
            'x' => extended = true,
            't' => extended = false,
            'q' => literal = true,
            'g' | 'e' | 'b' => {}
            other => return Err(format!("invalid regular expression option: \"{other}\"")),
        }
    }
    let written = if literal {
        ::regex::escape(pattern)
    } else {
        translate(pattern)?
    };
    RegexBuilder::new(&written)
        .case_insensitive(insensitive)
        .multi_line(lines.is_some_and(|(anchors, _)| anchors))
        .dot_matches_new_line(lines.is_none_or(|(_, dot)| dot))
        .ignore_whitespace(extended)
        .size_limit(PATTERN_BYTES_MAX)
        .build()
        .map_err(|e| format!("invalid regular expression: {}", last_line(&e.to_string())))
}

fn last_line(message: &str) -> &str {
    message
        .lines()
        .last()
        .unwrap_or_default()
        .trim_start_matches("error: ")
}

/// PostgreSQL's escapes in the regex crate's words.
fn translate(pattern: &str) -> Result<String, String> {
    let mut out = String::with_capacity(pattern.len());
    let mut chars = pattern.chars().peekable();
    let mut class = 0_usize;
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('y') if class == 0 => out.push_str(r"\b"),
                Some('Y') if class == 0 => out.push_str(r"\B"),
                Some('m') if class == 0 => out.push_str(r"\b{start}"),
                Some('M') if class == 0 => out.push_str(r"\b{end}"),
                Some('Z') if class == 0 => out.push_str(r"\z"),
                Some('e') => out.push_str(r"\x1B"),
                Some('B') => out.push_str(r"\\"),
                Some(digit @ '1'..='9') if class == 0 => {
                    return Err(format!(
                        "back-references (\\{digit}) are not known: they can take for ever; use regexp_match and compare its parts"
                    ));
                }
                Some(other) => out.extend(['\\', other]),
                None => return Err("invalid regular expression: it ends with \\".to_owned()),
            },
            '[' if class == 0 => {
                class = 1;
                out.push('[');
                if chars.peek() == Some(&'^') {
                    out.extend(chars.next());
                }
                if chars.peek() == Some(&']') {
                    chars.next();
                    out.push_str(r"\]");
                }
            }
            // [:alpha:] inside; any other [ is itself.
            '[' if chars.peek() == Some(&':') => {
                class = 2;
                out.push('[');
            }
            '[' => out.push_str(r"\["),
            ']' => {
                class = class.saturating_sub(1);
                out.push(']');
            }
            '&' | '~' | '-' if class == 1 && chars.peek() == Some(&c) => out.extend(['\\', c]),
            '(' if class == 0 && chars.peek() == Some(&'?') => {
                let ahead: String = chars.clone().take(3).collect();
                if ahead.starts_with("?=") || ahead.starts_with("?!") || ahead.starts_with("?<") {
                    return Err(format!(
                        "look-around ((?{} is not known: write it as two conditions",
                        &ahead[1..]
                    ));
                }
                out.push('(');
            }
            other => out.push(other),
        }
    }
    Ok(out)
}

fn regex_of(a: &[A<'_>], flags: &str) -> Result<Arc<Regex>, String> {
    compiled(a[1].text(), flags)
}

fn like(a: &[A<'_>], flags: &str) -> Answer {
    Ok(O::Bool(regex_of(a, flags)?.is_match(a[0].text())))
}

/// The text from its nth character on (counted from 1), and how many bytes lie before.
fn from_character(text: &str, start: i64) -> Result<usize, String> {
    if start < 1 {
        return Err("start must be at least 1".to_owned());
    }
    let index = usize::try_from(start - 1).unwrap_or(usize::MAX);
    Ok(text
        .char_indices()
        .nth(index)
        .map_or(text.len(), |(at, _)| at))
}

fn count(a: &[A<'_>], start: i64, flags: &str) -> Answer {
    let from = from_character(a[0].text(), start)?;
    let found = regex_of(a, flags)?.find_iter(&a[0].text()[from..]).count();
    Ok(O::Int(found as i64))
}

fn arg(a: &[A<'_>], at: usize, default: i64) -> i64 {
    a.get(at).map_or(default, A::int)
}

/// The nth match from a place on.
fn nth<'t>(a: &[A<'t>], start: i64, n: i64, flags: &str) -> Result<Option<Captures<'t>>, String> {
    let text: &'t str = a[0].text();
    let from = from_character(text, start)?;
    let n = usize::try_from(n - 1).map_err(|_| "n must be at least 1".to_owned())?;
    let regex = regex_of(a, flags)?;
    // Positions are of the whole text: anchors must see it.
    let mut at = from;
    for round in 0.. {
        let Some(found) = regex.captures_at(text, at) else {
            return Ok(None);
        };
        let Some(whole) = found.get(0) else {
            return Ok(None);
        };
        if round == n {
            return Ok(Some(found));
        }
        at = next_place(text, whole.start(), whole.end());
        if at > text.len() {
            return Ok(None);
        }
    }
    Ok(None)
}

/// Where the search goes on after a match.
fn next_place(text: &str, start: usize, end: usize) -> usize {
    if end > start {
        return end;
    }
    end + text[end..].chars().next().map_or(1, char::len_utf8)
}

fn instr(a: &[A<'_>]) -> Answer {
    let flags = a.get(5).map_or("", A::text);
    let found = nth(a, arg(a, 2, 1), arg(a, 3, 1), flags)?;
    let group = usize::try_from(arg(a, 6, 0)).unwrap_or(usize::MAX);
    let Some(found) = found.as_ref().and_then(|f| f.get(group)) else {
        return Ok(O::Int(0));
    };
    let at = if arg(a, 4, 0) == 0 {
        found.start()
    } else {
        found.end()
    };
    Ok(O::Int(a[0].text()[..at].chars().count() as i64 + 1))
}

fn substr(a: &[A<'_>]) -> Answer {
    let flags = a.get(4).map_or("", A::text);
    let found = nth(a, arg(a, 2, 1), arg(a, 3, 1), flags)?;
    let group = usize::try_from(arg(a, 5, 0)).unwrap_or(usize::MAX);
    let found = found.as_ref().and_then(|f| f.get(group));
    Ok(found.map_or(O::Null, |f| O::Text(f.as_str().to_owned())))
}

fn first(a: &[A<'_>], flags: &str) -> Answer {
    if flags.contains('g') {
        return Err(
            "regexp_match does not take the flag \"g\"; use regexp_matches in FROM".to_owned(),
        );
    }
    let regex = regex_of(a, flags)?;
    Ok(regex
        .captures(a[0].text())
        .map_or(O::Null, |found| O::Texts(groups(&found))))
}

/// The groups of a match, or the whole of it if the pattern has none.
pub(super) fn groups(found: &Captures<'_>) -> Vec<Option<String>> {
    let skip = usize::from(found.len() > 1);
    let text = |group: Option<::regex::Match<'_>>| group.map(|m| m.as_str().to_owned());
    found.iter().skip(skip).map(text).collect()
}

fn replace_nth(a: &[A<'_>], flags: &str) -> Answer {
    let n = a[4].int();
    if n < 0 {
        return Err("n must not be negative".to_owned());
    }
    replace(a, a[3].int(), n, flags)
}

/// Replaces the nth match from a place on, all of them if `n` is 0.
fn replace(a: &[A<'_>], start: i64, n: i64, flags: &str) -> Answer {
    let (text, replacement) = (a[0].text(), a[2].text());
    let regex = regex_of(a, flags)?;
    let from = from_character(text, start)?;
    let mut out = text[..from].to_owned();
    let (mut copied, mut at, mut seen) = (from, from, 0);
    while at <= text.len() {
        let Some(found) = regex.captures_at(text, at) else {
            break;
        };
        let Some(whole) = found.get(0) else { break };
        seen += 1;
        if n == 0 || seen == n {
            out.push_str(&text[copied..whole.start()]);
            expand(replacement, &found, &mut out);
            copied = whole.end();
        }
        if n != 0 && seen == n {
            break;
        }
        at = next_place(text, whole.start(), whole.end());
    }
    out.push_str(&text[copied..]);
    Ok(O::Text(out))
}

/// `\1` to `\9`, `\&` and `\\`.
fn expand(replacement: &str, found: &Captures<'_>, out: &mut String) {
    let mut chars = replacement.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        let mut group = |n: usize| out.push_str(found.get(n).map_or("", |m| m.as_str()));
        match chars.next() {
            Some('&') => group(0),
            Some(digit @ '1'..='9') => group(digit as usize - '0' as usize),
            Some('\\') | None => out.push('\\'),
            Some(other) => out.extend(['\\', other]),
        }
    }
}

fn split(a: &[A<'_>], flags: &str) -> Answer {
    let text = a[0].text();
    let regex = regex_of(a, flags)?;
    let (mut parts, mut copied) = (Vec::new(), 0);
    for found in regex.find_iter(text) {
        // Empty matches at the ends or next to the last match do not split.
        let empty = found.start() == found.end();
        if empty && (found.start() == copied || found.start() == text.len()) {
            continue;
        }
        parts.push(Some(text[copied..found.start()].to_owned()));
        copied = found.end();
    }
    parts.push(Some(text[copied..].to_owned()));
    Ok(O::Texts(parts))
}

/// `substring(text FROM pattern)`: the first group, or the whole match.
pub(super) fn substring(text: &str, pattern: &str) -> Answer {
    let regex = compiled(pattern, "")?;
    let found = regex.captures(text);
    let part = found
        .as_ref()
        .and_then(|f| if f.len() > 1 { f.get(1) } else { f.get(0) });
    Ok(part.map_or(O::Null, |m| O::Text(m.as_str().to_owned())))
}

/// `substring(text SIMILAR pattern ESCAPE escape)`: what lies between the two `escape"`.
pub(super) fn similar_substring(text: &str, pattern: &str, escape: &str) -> Answer {
    let parts: Vec<&str> = pattern.split(&format!("{escape}\"")).collect();
    let [before, middle, after] = parts.as_slice() else {
        return Err("the pattern needs two escape double quotes".to_owned());
    };
    let part = |p: &str| similar_pattern(p, escape);
    let written = format!(
        "^(?:{})({})(?:{})$",
        part(before)?,
        part(middle)?,
        part(after)?
    );
    let regex = compiled(&written, "")?;
    let found = regex
        .captures(text)
        .and_then(|f| f.get(1).map(|m| m.as_str().to_owned()));
    Ok(found.map_or(O::Null, O::Text))
}

/// `text SIMILAR TO pattern`.
pub(super) fn similar(text: &str, pattern: &str, escape: &str) -> Result<bool, String> {
    let written = format!("^(?:{})$", similar_pattern(pattern, escape)?);
    Ok(compiled(&written, "")?.is_match(text))
}

fn similar_pattern(pattern: &str, escape: &str) -> Result<String, String> {
    let escape = match escape.chars().collect::<Vec<_>>().as_slice() {
        [] => None,
        [one] => Some(*one),
        _ => return Err("the escape must be one character".to_owned()),
    };
    let mut out = String::new();
    let mut chars = pattern.chars();
    let mut class = false;
    while let Some(c) = chars.next() {
        match c {
            c if Some(c) == escape => match chars.next() {
                Some(word @ ('m' | 'M' | 'y' | 'Y' | 'd' | 'w' | 's')) => out.extend(['\\', word]),
                Some(other) => out.push_str(&::regex::escape(&other.to_string())),
                None => return Err("the pattern ends with its escape".to_owned()),
            },
            '[' | ']' => {
                class = c == '[';
                out.push(c);
            }
            '%' if !class => out.push_str(".*"),
            '_' if !class => out.push('.'),
            '.' | '^' | '$' | '\\' if !class => out.extend(['\\', c]),
            '(' => out.push_str("(?:"),
            other => out.push(other),
        }
    }
    Ok(out)
}
