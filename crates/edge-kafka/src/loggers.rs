//! The loggers of the process, as BROKER_LOGGER resources show and change them (KIP-412). Whoever has set up the log of
//! events hands in how, once; without that there are no loggers. Levels last as long as the process, as in Kafka.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use headwater_broker::{ConfigEntry, ConfigOp, ConfigSource};
use headwater_wire::ErrorCode;

use crate::codes::Refusal;

/// The logger that counts for what no other one is about.
pub const ROOT: &str = "root";
/// From loud to silent. Kafka knows FATAL, too, which is told apart from ERROR nowhere here.
const LEVELS: [&str; 6] = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "OFF"];
const KAFKA_LEVELS: &str = "DEBUG, ERROR, FATAL, INFO, TRACE, WARN";

/// How loggers are seen and changed.
pub trait Loggers: Send + Sync {
    /// The level of each logger, [`ROOT`] among them: one of `TRACE`, `DEBUG`, `INFO`, `WARN`, `ERROR`, `OFF`.
    fn levels(&self) -> BTreeMap<String, String>;
    /// Sets levels of loggers that [`Loggers::levels`] tells; with `None` a logger has that of [`ROOT`] again.
    fn set(&self, changes: &[(String, Option<String>)]);
}

static LOGGERS: OnceLock<Box<dyn Loggers>> = OnceLock::new();

/// To be called once, by whoever sets up the log of events; later calls change nothing.
pub fn install(loggers: Box<dyn Loggers>) {
    drop(LOGGERS.set(loggers));
}

fn installed() -> Option<&'static dyn Loggers> {
    LOGGERS.get().map(Box::as_ref)
}

/// All loggers, as DescribeConfigs tells them.
pub(crate) fn entries() -> Vec<ConfigEntry> {
    let levels = installed().map(Loggers::levels).unwrap_or_default();
    let entry = |(name, level): (String, String)| ConfigEntry {
        name,
        value: Some(level),
        source: ConfigSource::Logger,
        kind: None,
        read_only: false,
        sensitive: false,
        doc: "",
        synonyms: Vec::new(),
    };
    levels.into_iter().map(entry).collect()
}

/// Changes levels, all or none.
///
/// # Errors
/// A logger or a level does not exist, or what is to be done with it is not done to loggers.
pub(crate) fn alter(ops: &[(String, ConfigOp)], validate_only: bool) -> Result<(), Refusal> {
    let levels = installed().map(Loggers::levels).unwrap_or_default();
    let changes = ops
        .iter()
        .map(|(name, op)| change(&levels, name, op))
        .collect::<Result<Vec<_>, _>>()?;
    if let Some(loggers) = installed().filter(|_| !validate_only) {
        loggers.set(&changes);
    }
    Ok(())
}

/// The texts are Kafka's.
fn change(
    levels: &BTreeMap<String, String>,
    name: &str,
    op: &ConfigOp,
) -> Result<(String, Option<String>), Refusal> {
    let known = || match levels.contains_key(name) {
        true => Ok(()),
        false => Err(Refusal::new(
            ErrorCode::InvalidConfig,
            format!("Logger {name} does not exist!"),
        )),
    };
    let level = match op {
        ConfigOp::Set(level) => {
            known()?;
            Some(level_of(name, level)?)
        }
        ConfigOp::Delete => {
            known()?;
            if name == ROOT {
                return Err(Refusal::request(format!(
                    "Removing the log level of the {ROOT} logger is not allowed"
                )));
            }
            None
        }
        ConfigOp::Append(_) | ConfigOp::Subtract(_) => {
            let what = match op {
                ConfigOp::Append(_) => "APPEND",
                _ => "SUBTRACT",
            };
            return Err(Refusal::request(format!(
                "{what} operation is not allowed for the BROKER_LOGGER resource"
            )));
        }
    };
    Ok((name.to_owned(), level))
}

fn level_of(name: &str, level: &str) -> Result<String, Refusal> {
    let upper = level.to_ascii_uppercase();
    match upper.as_str() {
        "FATAL" => Ok("ERROR".to_owned()),
        known if LEVELS.contains(&known) => Ok(upper),
        _ => Err(Refusal::new(
            ErrorCode::InvalidConfig,
            format!(
                "Cannot set the log level of {name} to {level} as it is not a supported log level. Valid log levels are {KAFKA_LEVELS}"
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::codes::Code as _;

    #[test]
    fn what_is_no_logger_no_level_or_no_change_of_one_is_refused() {
        let levels: BTreeMap<String, String> = [(ROOT, "WARN"), ("a", "INFO")]
            .map(|(name, level)| (name.to_owned(), level.to_owned()))
            .into();
        let change = |name, op: &ConfigOp| change(&levels, name, op);
        let set = |level: &str| ConfigOp::Set(level.to_owned());
        assert_eq!(
            change("a", &set("debug")).unwrap(),
            ("a".to_owned(), Some("DEBUG".to_owned()))
        );
        assert_eq!(
            change(ROOT, &set("FATAL")).unwrap().1.as_deref(),
            Some("ERROR")
        );
        assert_eq!(change("a", &ConfigOp::Delete).unwrap().1, None);
        for (name, op, error) in [
            ("b", set("INFO"), ErrorCode::InvalidConfig),
            ("b", ConfigOp::Delete, ErrorCode::InvalidConfig),
            ("a", set("LOUD"), ErrorCode::InvalidConfig),
            (ROOT, ConfigOp::Delete, ErrorCode::InvalidRequest),
            ("a", ConfigOp::Append("x".into()), ErrorCode::InvalidRequest),
        ] {
            assert_eq!(
                change(name, &op).unwrap_err().error(),
                error,
                "{name} {op:?}"
            );
        }
    }
}
