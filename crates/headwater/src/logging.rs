//! The log of events on the standard error stream, and its levels, which admins may change while the node runs.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;

use headwater_server::loggers::{self, Loggers, ROOT};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

/// What can have a level of its own besides [`ROOT`].
const TARGETS: &[&str] = &[
    "headwater",
    "headwater_broker",
    "headwater_connectors",
    "headwater_edge_http",
    "headwater_edge_kafka",
    "headwater_engine",
    "headwater_log",
    "headwater_server",
    "headwater_views",
];

/// Quiet unless told: warnings to the standard error stream.
pub fn start(filter: &str) {
    let levels = match EnvFilter::try_new(filter) {
        Ok(_) => Levels::parse(filter),
        Err(error) => {
            eprintln!("headwater: --log {filter:?} is not understood ({error}); using \"warn\"");
            Levels::parse("warn")
        }
    };
    let (filter, handle) = reload::Layer::new(EnvFilter::new(levels.directives()));
    let color = std::io::stderr().is_terminal();
    let lines = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(color)
        // Where the log of events goes to a disk that is full, complaining about it would end the thread that has something to say.
        .log_internal_errors(false);
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .init();
    let levels = std::sync::Mutex::new(levels);
    loggers::install(Box::new(Live { levels, handle }));
}

/// What is in force, and the way to change it.
struct Live {
    levels: std::sync::Mutex<Levels>,
    handle: reload::Handle<EnvFilter, Registry>,
}

impl Live {
    fn levels(&self) -> std::sync::MutexGuard<'_, Levels> {
        self.levels
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Loggers for Live {
    fn levels(&self) -> BTreeMap<String, String> {
        self.levels().told()
    }

    fn set(&self, changes: &[(String, Option<String>)]) {
        let mut levels = self.levels();
        changes.iter().for_each(|change| levels.set(change));
        // It fails only when nothing is logged any more.
        drop(self.handle.reload(EnvFilter::new(levels.directives())));
    }
}

/// Levels by target, as `--log` says them: `info,headwater_engine=debug`. What is more than that (spans, fields) is kept as it is.
#[derive(Clone, Debug, Default)]
struct Levels {
    root: String,
    by_target: BTreeMap<String, String>,
    others: Vec<String>,
}

impl Levels {
    fn parse(filter: &str) -> Self {
        let mut levels = Self {
            root: "error".to_owned(),
            ..Self::default()
        };
        for directive in filter
            .split(',')
            .map(str::trim)
            .filter(|one| !one.is_empty())
        {
            let is_level = |text: &str| text.parse::<tracing::metadata::LevelFilter>().is_ok();
            match directive.split_once('=') {
                None if is_level(directive) => levels.root = directive.to_ascii_lowercase(),
                Some((target, level)) if is_level(level) && !target.contains('[') => {
                    let level = level.to_ascii_lowercase();
                    levels.by_target.insert(target.to_owned(), level);
                }
                _ => levels.others.push(directive.to_owned()),
            }
        }
        levels
    }

    fn set(&mut self, (name, level): &(String, Option<String>)) {
        match level.as_ref().map(|level| level.to_ascii_lowercase()) {
            Some(level) if name == ROOT => self.root = level,
            Some(level) => drop(self.by_target.insert(name.clone(), level)),
            None => drop(self.by_target.remove(name)),
        }
    }

    fn directives(&self) -> String {
        let targets = self.by_target.iter();
        let targets = targets.map(|(target, level)| format!("{target}={level}"));
        let all = std::iter::once(self.root.clone()).chain(targets);
        all.chain(self.others.iter().cloned())
            .collect::<Vec<_>>()
            .join(",")
    }

    fn told(&self) -> BTreeMap<String, String> {
        let of = |target: &str| self.by_target.get(target).unwrap_or(&self.root);
        let known = TARGETS.iter().map(|target| (*target, of(target)));
        let named = self
            .by_target
            .iter()
            .map(|(name, level)| (name.as_str(), level));
        known
            .chain(named)
            .chain([(ROOT, &self.root)])
            .map(|(name, level)| (name.to_owned(), level.to_ascii_uppercase()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_what_the_filter_says_and_what_was_set_since() {
        let mut levels = Levels::parse("info,headwater_engine=debug,other[span]=trace");
        assert_eq!(
            levels.directives(),
            "info,headwater_engine=debug,other[span]=trace"
        );
        let told = levels.told();
        assert_eq!(
            [ROOT, "headwater_log", "headwater_engine"].map(|name| told[name].as_str()),
            ["INFO", "INFO", "DEBUG"]
        );
        let set = |name: &str, level: Option<&str>| (name.to_owned(), level.map(str::to_owned));
        levels.set(&set(ROOT, Some("WARN")));
        levels.set(&set("headwater_log", Some("TRACE")));
        levels.set(&set("headwater_engine", None));
        assert_eq!(
            levels.directives(),
            "warn,headwater_log=trace,other[span]=trace"
        );
        assert_eq!(levels.told()["headwater_engine"], "WARN");
        assert!(EnvFilter::try_new(levels.directives()).is_ok());
    }
}
