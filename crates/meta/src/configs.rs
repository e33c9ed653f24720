//! Topic configs: what exists, what values are legal, and the few that the broker works with, parsed.

use std::collections::BTreeMap;

use headwater_base::limits::BATCH_BYTES_MAX_DEFAULT;

pub use crate::defs::TOPIC_CONFIGS;

/// Type and legal range of a config's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ConfigKind {
    Boolean,
    /// Any text.
    Text,
    /// The name of a class of Java.
    Class,
    /// Never told.
    Password,
    Short,
    Int {
        min: i32,
        max: i32,
    },
    Long {
        min: i64,
        max: i64,
    },
    Double {
        min: f64,
        max: f64,
    },
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Comma-separated, each one of these words; any words if there are none.
    List(&'static [&'static str]),
}

/// One config that a topic can have.
#[derive(Clone, Copy, Debug)]
pub struct ConfigDef {
    pub name: &'static str,
    pub kind: ConfigKind,
    pub default: &'static str,
    /// One sentence for people.
    pub doc: &'static str,
    /// The config of the node that is the default of topics that do not set it.
    pub broker_name: Option<&'static str>,
}

/// The definition of a config by its name.
pub fn find(name: &str) -> Option<&'static ConfigDef> {
    TOPIC_CONFIGS.iter().find(|def| def.name == name)
}

/// # Errors
/// What is wrong with the first config that is unknown or has an illegal value.
pub fn validate(configs: &BTreeMap<String, String>) -> Result<(), String> {
    for (name, value) in configs {
        let def = find(name).ok_or_else(|| format!("Unknown topic config name: {name}"))?;
        check_config(name, def.kind, value)?;
    }
    check_lags(configs)
}

/// # Errors
/// The value is not legal, in Kafka's words: of a list they name the word that is not.
pub(crate) fn check_config(name: &str, kind: ConfigKind, value: &str) -> Result<(), String> {
    check_value(kind, value).map_err(|why| {
        let bad = match kind {
            ConfigKind::List(words) => value
                .split(',')
                .map(str::trim)
                .find(|word| !words.contains(word))
                .unwrap_or(value),
            _ => value,
        };
        format!("Invalid value {bad} for configuration {name}: {why}")
    })
}

/// A record must not have to be compacted before it may be.
fn check_lags(configs: &BTreeMap<String, String>) -> Result<(), String> {
    const MIN: &str = "min.compaction.lag.ms";
    const MAX: &str = "max.compaction.lag.ms";
    let number = |name: &str| configs.get(name)?.trim().parse::<i64>().ok();
    match (number(MIN).unwrap_or(0), number(MAX).unwrap_or(i64::MAX)) {
        (min, max) if min > max => Err(format!(
            "conflict topic config setting {MIN} ({min}) > {MAX} ({max})"
        )),
        _ => Ok(()),
    }
}

pub(crate) fn check_value(kind: ConfigKind, value: &str) -> Result<(), String> {
    let value = value.trim();
    match kind {
        ConfigKind::Boolean => match value.to_ascii_lowercase().as_str() {
            "true" | "false" => Ok(()),
            _ => Err("Expected value to be either true or false".into()),
        },
        ConfigKind::Short => in_range::<i16>(value, i16::MIN, i16::MAX, "SHORT"),
        ConfigKind::Int { min, max } => in_range::<i32>(value, min, max, "INT"),
        ConfigKind::Long { min, max } => in_range::<i64>(value, min, max, "LONG"),
        ConfigKind::Double { min, max } => in_range::<f64>(value, min, max, "DOUBLE"),
        ConfigKind::Choice(words) => one_of(value, words),
        ConfigKind::List([]) | ConfigKind::Text | ConfigKind::Class | ConfigKind::Password => {
            Ok(())
        }
        ConfigKind::List(words) => value
            .split(',')
            .map(str::trim)
            .filter(|word| !word.is_empty())
            .try_for_each(|word| one_of(word, words)),
    }
}

fn in_range<T: std::str::FromStr + PartialOrd + std::fmt::Display>(
    text: &str,
    min: T,
    max: T,
    what: &str,
) -> Result<(), String> {
    match text.parse::<T>() {
        Ok(number) if number >= min && number <= max => Ok(()),
        Ok(number) if number < min => Err(format!("Value must be at least {min}")),
        Ok(_) => Err(format!("Value must be no more than {max}")),
        Err(_) => Err(format!("Not a number of type {what}")),
    }
}

fn one_of(word: &str, words: &[&str]) -> Result<(), String> {
    match words.contains(&word) {
        true => Ok(()),
        false => Err(format!("String must be one of: {}", words.join(", "))),
    }
}

/// What the broker needs of a topic's configs on every produce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicSettings {
    /// Largest record batch, after compression, in bytes.
    pub max_message_bytes: usize,
    /// Timestamps are the broker's, not the producer's.
    pub log_append_time: bool,
    /// How far a producer's timestamp may lie behind the broker's clock, in milliseconds.
    pub timestamp_before_max_ms: i64,
    /// How far it may lie ahead.
    pub timestamp_after_max_ms: i64,
    /// The cleanup policy contains `compact`: every record needs a key.
    pub compacted: bool,
    /// What the broker makes of the producers' compression.
    pub compression: FinalCompression,
    pub cleanup: Cleanup,
}

/// `compression.type`, with the level of its codec where it has one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FinalCompression {
    /// As the producer sent it.
    #[default]
    Producer,
    Uncompressed,
    Gzip(i32),
    Snappy,
    Lz4(i32),
    Zstd(i32),
}

/// What becomes of old records. Times in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cleanup {
    /// The policy contains `delete`.
    pub delete: bool,
    /// `retention.ms`; none: for ever.
    pub retention_ms: Option<i64>,
    /// `retention.bytes`; none: any size.
    pub retention_bytes: Option<u64>,
    /// `segment.bytes` and `segment.ms`: how much, and how young, the part at the end is that compaction leaves alone.
    pub segment_bytes: u64,
    pub segment_ms: i64,
    pub min_compaction_lag_ms: i64,
    pub max_compaction_lag_ms: i64,
    /// How long tombstones stay readable.
    pub delete_retention_ms: i64,
    /// `min.cleanable.dirty.ratio` in parts of a million.
    pub min_dirty_ppm: u32,
}

impl Default for Cleanup {
    fn default() -> Self {
        Self {
            delete: true,
            retention_ms: Some(7 * 24 * 3_600_000),
            retention_bytes: None,
            segment_bytes: 1 << 30,
            segment_ms: 7 * 24 * 3_600_000,
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: i64::MAX,
            delete_retention_ms: 24 * 3_600_000,
            min_dirty_ppm: 500_000,
        }
    }
}

impl Default for TopicSettings {
    fn default() -> Self {
        Self {
            max_message_bytes: BATCH_BYTES_MAX_DEFAULT,
            log_append_time: false,
            timestamp_before_max_ms: i64::MAX,
            timestamp_after_max_ms: 3_600_000,
            compacted: false,
            compression: FinalCompression::Producer,
            cleanup: Cleanup::default(),
        }
    }
}

impl FinalCompression {
    fn of(configs: &BTreeMap<String, String>) -> Self {
        let level = |name: &str, or| value_of(configs, name).unwrap_or(or);
        match configs.get("compression.type").map(|name| name.trim()) {
            Some("uncompressed") => Self::Uncompressed,
            Some("gzip") => Self::Gzip(level("compression.gzip.level", -1)),
            Some("snappy") => Self::Snappy,
            Some("lz4") => Self::Lz4(level("compression.lz4.level", 9)),
            Some("zstd") => Self::Zstd(level("compression.zstd.level", 3)),
            _ => Self::Producer,
        }
    }
}

impl Cleanup {
    fn of(configs: &BTreeMap<String, String>) -> Self {
        let default = Self::default();
        let ms = |name: &str, or: i64| value_of(configs, name).unwrap_or(or);
        let ratio = value_of(configs, "min.cleanable.dirty.ratio");
        let size = |name: &str| value_of::<i64>(configs, name);
        Self {
            delete: configs
                .get("cleanup.policy")
                .is_none_or(|policy| policy.contains("delete")),
            retention_ms: Some(ms("retention.ms", 7 * 24 * 3_600_000)).filter(|ms| *ms >= 0),
            retention_bytes: size("retention.bytes").and_then(|bytes| u64::try_from(bytes).ok()),
            segment_bytes: size("segment.bytes")
                .and_then(|bytes| u64::try_from(bytes).ok())
                .unwrap_or(default.segment_bytes),
            segment_ms: ms("segment.ms", default.segment_ms),
            min_compaction_lag_ms: ms("min.compaction.lag.ms", 0),
            max_compaction_lag_ms: ms("max.compaction.lag.ms", i64::MAX),
            delete_retention_ms: ms("delete.retention.ms", default.delete_retention_ms),
            min_dirty_ppm: ratio.map_or(default.min_dirty_ppm, |ratio: f64| {
                (ratio * 1_000_000.0) as u32
            }),
        }
    }
}

fn value_of<T: std::str::FromStr>(configs: &BTreeMap<String, String>, name: &str) -> Option<T> {
    configs
        .get(name)
        .and_then(|value| value.trim().parse().ok())
}

impl TopicSettings {
    /// Settings from validated configs; what does not parse keeps its default.
    pub fn of(configs: &BTreeMap<String, String>) -> Self {
        let default = Self::default();
        let get = |name: &str| configs.get(name).map(|value| value.trim());
        let long =
            |name: &str, or: i64| get(name).and_then(|value| value.parse().ok()).unwrap_or(or);
        Self {
            max_message_bytes: get("max.message.bytes")
                .and_then(|value| value.parse().ok())
                .unwrap_or(default.max_message_bytes),
            log_append_time: get("message.timestamp.type") == Some("LogAppendTime"),
            timestamp_before_max_ms: long(
                "message.timestamp.before.max.ms",
                default.timestamp_before_max_ms,
            ),
            timestamp_after_max_ms: long(
                "message.timestamp.after.max.ms",
                default.timestamp_after_max_ms,
            ),
            compacted: get("cleanup.policy").is_some_and(|value| value.contains("compact")),
            compression: FinalCompression::of(configs),
            cleanup: Cleanup::of(configs),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_a_legal_value_and_every_name_is_there_once() {
        for def in TOPIC_CONFIGS {
            assert_eq!(check_value(def.kind, def.default), Ok(()), "{}", def.name);
            assert_eq!(
                TOPIC_CONFIGS
                    .iter()
                    .filter(|other| other.name == def.name)
                    .count(),
                1
            );
        }
    }

    #[test]
    fn settings_of_nothing_are_the_defaults_of_the_table() {
        let all = TOPIC_CONFIGS
            .iter()
            .map(|def| (def.name.to_owned(), def.default.to_owned()))
            .collect();
        assert_eq!(TopicSettings::of(&all), TopicSettings::default());
        assert_eq!(
            TopicSettings::of(&BTreeMap::new()),
            TopicSettings::default()
        );
    }

    #[test]
    fn what_cleaning_works_with_is_read_from_the_configs() {
        let configs = [
            ("cleanup.policy", "compact"),
            ("retention.ms", "-1"),
            ("retention.bytes", "10"),
            ("min.cleanable.dirty.ratio", "0.25"),
            ("compression.type", "gzip"),
            ("compression.gzip.level", "7"),
        ];
        let configs = configs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let settings = TopicSettings::of(&BTreeMap::from(configs));
        assert_eq!(settings.compression, FinalCompression::Gzip(7));
        assert!(settings.compacted && !settings.cleanup.delete);
        assert_eq!(settings.cleanup.retention_ms, None);
        assert_eq!(settings.cleanup.retention_bytes, Some(10));
        assert_eq!(settings.cleanup.min_dirty_ppm, 250_000);
    }

    #[test]
    fn illegal_values_are_named() {
        let check = |name: &str, value: &str| {
            validate(&BTreeMap::from([(name.to_owned(), value.to_owned())]))
        };
        assert!(check("retention.ms", "-1").is_ok());
        assert!(check("retention.ms", "-2").is_err());
        assert!(check("cleanup.policy", "compact,delete").is_ok());
        assert!(check("cleanup.policy", "shred").is_err());
        assert!(check("preallocate", "maybe").is_err());
        assert!(check("min.cleanable.dirty.ratio", "1.5").is_err());
        assert_eq!(
            check("no.such", "1"),
            Err("Unknown topic config name: no.such".into())
        );
    }
}
