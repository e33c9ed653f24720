//! The options of `WITH (...)`: which there are, and how their values are read.

use super::formats::{FORMATS, Way};
use crate::ast::{Name, OptionItem, Statement};
use crate::error::{Result, SqlError};
use crate::model::Options;
use crate::nearest;
use crate::source::{Position, Source};

/// An option that a statement takes.
pub(super) type Known = &'static str;

pub(super) const SOURCE: [Known; 12] = [
    "connector",
    "topic",
    "format",
    "value_format",
    "key_format",
    "start",
    "idle_timeout",
    "csv.delimiter",
    "csv.quote",
    "csv.null",
    "csv.header",
    "json.unknown_fields",
];
pub(super) const TABLE: [Known; 11] = [
    "connector",
    "topic",
    "format",
    "value_format",
    "key_format",
    "idle_timeout",
    "csv.delimiter",
    "csv.quote",
    "csv.null",
    "csv.header",
    "json.unknown_fields",
];
pub(super) const VIEW: [Known; 2] = ["retention", "ttl"];
pub(super) const ALERT: [Known; 5] = ["notify", "severity", "key", "retention", "ttl"];
const SINK_TOPIC: [Known; 15] = [
    "topic",
    "format",
    "value_format",
    "value",
    "key",
    "key_format",
    "headers",
    "headers.*",
    "timestamp",
    "partitions",
    "csv.delimiter",
    "csv.quote",
    "csv.null",
    "json.timestamp",
    "json.decimal",
];
const SINK_POSTGRES: [Known; 4] = ["url", "schema", "table", "primary_key"];

pub(super) fn sink(connector: &str) -> &'static [Known] {
    match connector {
        "postgres" => &SINK_POSTGRES,
        _ => &SINK_TOPIC,
    }
}

pub(super) struct OptionReader<'a> {
    source: &'a Source,
    items: &'a [OptionItem],
}

impl<'a> OptionReader<'a> {
    pub fn new(source: &'a Source, items: &'a [OptionItem]) -> Self {
        Self { source, items }
    }

    /// Refuses options that are not among `known`.
    pub fn check(&self, known: &[Known]) -> Result<&Self> {
        for item in self.items {
            let header = item.name.text.starts_with("headers.") && known.contains(&"headers.*");
            if !header && !known.contains(&item.name.text.as_str()) {
                let error = self.source.error(
                    item.name.at,
                    format!("there is no option \"{}\" here", item.name.text),
                );
                let near = nearest::hint(&item.name.text, known.iter().copied());
                let all = || {
                    if known.is_empty() {
                        "this statement takes no options".to_owned()
                    } else {
                        format!("there are: {}", known.join(", "))
                    }
                };
                return Err(error.hint(near.unwrap_or_else(all)));
            }
        }
        Ok(self)
    }

    pub fn all(&self) -> Options {
        self.items
            .iter()
            .map(|item| (item.name.text.clone(), item.value.clone()))
            .collect()
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.item(name).map(|item| item.value.as_str())
    }

    pub fn items(&self) -> &[OptionItem] {
        self.items
    }

    pub fn source(&self) -> &Source {
        self.source
    }

    fn item(&self, name: &str) -> Option<&OptionItem> {
        self.items.iter().find(|item| item.name.text == name)
    }

    pub fn error(&self, name: &str, message: impl Into<String>) -> SqlError {
        let at = self
            .item(name)
            .map_or(Position::START, |item| item.value_at);
        self.source.error(at, message)
    }

    /// One of a few words; the first is the default.
    pub fn word(&self, name: &str, words: &[&'static str]) -> Result<&'static str> {
        let Some(value) = self.get(name) else {
            return Ok(words.first().copied().unwrap_or(""));
        };
        let found = words.iter().find(|word| word.eq_ignore_ascii_case(value));
        found.copied().ok_or_else(|| {
            let hint = nearest::hint(value, words.iter().copied())
                .unwrap_or_else(|| format!("write {}", words.join(" or ")));
            self.error(name, format!("{name} cannot be \"{value}\""))
                .hint(hint)
        })
    }

    /// A duration in milliseconds.
    pub fn duration_ms(&self, name: &str) -> Result<Option<i64>> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let wrong = || {
            self.error(name, format!("{name} cannot be \"{value}\""))
                .hint("write for example '30 seconds', '5 minutes', '7 days'")
        };
        parse_duration_ms(value)
            .filter(|ms| *ms > 0)
            .map(Some)
            .ok_or_else(wrong)
    }

    /// The topic's name, by default `name`.
    pub fn topic(&self, name: &str) -> Result<String> {
        let topic = self.get("topic").unwrap_or(name);
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let long = topic.is_empty() || topic.len() > headwater_base::limits::TOPIC_NAME_BYTES_MAX;
        if long || !topic.chars().all(legal) || topic == "." || topic == ".." {
            let hint = "topics have 1 to 249 of the characters a-z A-Z 0-9 . _ -; write WITH (topic = '...')";
            return Err(self
                .error("topic", format!("\"{topic}\" cannot be a topic's name"))
                .hint(hint));
        }
        Ok(topic.to_owned())
    }

    /// What the sinks need of their options beyond their names.
    pub fn check_sink(&self, name: &Name, connector: &str) -> Result<()> {
        if connector == "postgres" {
            for needed in ["url", "table"] {
                if self.get(needed).is_none() {
                    let message = format!("a sink into postgres needs the option {needed}");
                    let error = self.source.error(name.at, message);
                    return Err(error.hint("write WITH (url = '${PG_URL}', table = '...')"));
                }
            }
            return Ok(());
        }
        self.topic(&name.text)?;
        self.check_formats(Way::Written)?;
        if self.get("key_format").is_some() {
            self.word("key_format", &FORMATS)?;
        }
        if let Some(count) = self.get("partitions") {
            let valid = count.parse().is_ok_and(|n: i32| {
                (1..=headwater_base::limits::TOPIC_PARTITIONS_MAX).contains(&n)
            });
            if !valid {
                return Err(self
                    .error("partitions", format!("partitions cannot be \"{count}\""))
                    .hint("write a number from 1"));
            }
        }
        Ok(())
    }

    /// Names of the environment variables in the options' values, once each.
    pub fn variables(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .items
            .iter()
            .flat_map(|item| variables(&item.value))
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// `${VAR}` belongs into the values of options, nowhere else.
    pub fn refuse_stray_variables(&self, statement: &Statement) -> Result<()> {
        let text = statement.source.text();
        let inside: usize = self
            .items
            .iter()
            .map(|item| item.value.matches("${").count())
            .sum();
        if text.matches("${").count() <= inside {
            return Ok(());
        }
        for (index, line) in text.lines().enumerate() {
            let code = line.split("--").next().unwrap_or("");
            if let Some(byte) = code.find("${") {
                let at = Position {
                    line: index as u32 + 1,
                    column: code[..byte].chars().count() as u32 + 1,
                };
                let in_option = self
                    .items
                    .iter()
                    .any(|item| item.value_at.line == at.line && item.value.contains("${"));
                if !in_option {
                    let error = self
                        .source
                        .error(at, "${VAR} stands only in the values of WITH (...)");
                    return Err(error.hint("write the value itself"));
                }
            }
        }
        Ok(())
    }
}

/// Names within `${...}` in a text.
pub fn variables(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    for part in text.split("${").skip(1) {
        if let Some((name, _)) = part.split_once('}')
            && !name.is_empty()
        {
            names.push(name.to_owned());
        }
    }
    names
}

/// Milliseconds of a duration: `500ms`, `5s`, `5 seconds`, `1 hour 30 minutes`, `7 days`; a bare number is seconds.
pub fn parse_duration_ms(text: &str) -> Option<i64> {
    let mut rest = text.trim();
    let mut total: i64 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        let number: i64 = rest.get(..digits)?.parse().ok()?;
        rest = rest[digits..].trim_start();
        let letters = rest
            .find(|c: char| !c.is_alphabetic())
            .unwrap_or(rest.len());
        let unit = unit_ms(&rest[..letters].to_lowercase())?;
        rest = rest[letters..].trim_start();
        total = total.checked_add(number.checked_mul(unit)?)?;
    }
    Some(total)
}

fn unit_ms(unit: &str) -> Option<i64> {
    Some(match unit {
        "ms" | "millisecond" | "milliseconds" => 1,
        "" | "s" | "sec" | "secs" | "second" | "seconds" => 1_000,
        "m" | "min" | "mins" | "minute" | "minutes" => 60_000,
        "h" | "hour" | "hours" => 3_600_000,
        "d" | "day" | "days" => 86_400_000,
        "w" | "week" | "weeks" => 7 * 86_400_000,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{parse_duration_ms, variables};

    #[test]
    fn durations() {
        assert_eq!(parse_duration_ms("7 days"), Some(604_800_000));
        assert_eq!(parse_duration_ms("5s"), Some(5_000));
        assert_eq!(parse_duration_ms("1 hour 30 minutes"), Some(5_400_000));
        assert_eq!(parse_duration_ms("250ms"), Some(250));
        assert_eq!(parse_duration_ms("3"), Some(3_000));
        for wrong in [
            "",
            "days",
            "1 fortnight",
            "-1 s",
            "1.5 s",
            "99999999999999999999s",
            "9223372036854775807 weeks",
        ] {
            assert_eq!(parse_duration_ms(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn variables_of_a_text() {
        assert_eq!(variables("webhook:${URL}/${PATH}"), ["URL", "PATH"]);
        assert_eq!(variables("$URL ${} ${open"), [""; 0]);
    }
}
