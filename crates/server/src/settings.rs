//! What a node is told: from `headwater.toml`, the environment and flags, in rising precedence (flags and environment
//! are merged by the command line before they come here).

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// Settings as given, each one optional. The keys of `headwater.toml` are the fields' names.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Given {
    pub data: Option<PathBuf>,
    pub listen: Option<String>,
    pub http: Option<String>,
    pub advertise: Option<String>,
    pub pipelines: Option<PathBuf>,
    pub state_memory: Option<String>,
    /// Names under which browsers may reach the page besides the address itself.
    #[serde(default)]
    pub http_names: Vec<String>,
    /// Principals that no ACL binds, such as `User:admin`.
    #[serde(default)]
    pub super_users: Vec<String>,
}

/// Settings in force.
#[derive(Clone, Debug)]
pub struct Settings {
    pub data: PathBuf,
    pub listen: SocketAddr,
    pub http: SocketAddr,
    /// Address that Kafka clients are told to connect to; `listen` unless given.
    pub advertise: Option<(String, u16)>,
    /// Folder of pipeline folders (or itself one), applied at start.
    pub pipelines: Option<PathBuf>,
    /// Budget of all pipelines' state, in bytes.
    pub state_bytes_max: usize,
    pub http_names: Vec<String>,
    /// Principals that no ACL binds.
    pub super_users: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("cannot read {path}: {reason}")]
    File { path: PathBuf, reason: String },
    #[error(
        "{what} is not an address: {value:?}; write HOST:PORT, such as 127.0.0.1:9092 (port 0 picks a free one)"
    )]
    Address { what: &'static str, value: String },
    #[error("super-users: {0:?} is no principal; write TYPE:NAME, such as User:admin")]
    SuperUser(String),
    #[error("state-memory is not a size: {0:?}; write a number with KB, MB or GB, such as 512MB")]
    Size(String),
}

impl Given {
    /// Reads a file of settings. A missing file is no error unless it was asked for by name.
    pub fn read(path: &Path, asked_for: bool) -> Result<Self, SettingsError> {
        let file_error = |reason: String| SettingsError::File {
            path: path.to_owned(),
            reason,
        };
        match std::fs::read_to_string(path) {
            Ok(text) => toml::from_str(&text).map_err(|error| file_error(error.to_string())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !asked_for => {
                Ok(Self::default())
            }
            Err(error) => Err(file_error(error.to_string())),
        }
    }

    /// `self` where it says something, else `below`.
    pub fn or(self, below: Self) -> Self {
        Self {
            data: self.data.or(below.data),
            listen: self.listen.or(below.listen),
            http: self.http.or(below.http),
            advertise: self.advertise.or(below.advertise),
            pipelines: self.pipelines.or(below.pipelines),
            state_memory: self.state_memory.or(below.state_memory),
            super_users: if self.super_users.is_empty() {
                below.super_users
            } else {
                self.super_users
            },
            http_names: if self.http_names.is_empty() {
                below.http_names
            } else {
                self.http_names
            },
        }
    }

    /// Fills in the defaults and checks every value.
    pub fn resolve(self) -> Result<Settings, SettingsError> {
        let listen = self.listen.as_deref().unwrap_or("127.0.0.1:9092");
        let http = self.http.as_deref().unwrap_or("127.0.0.1:8080");
        if let Some(bad) = self.super_users.iter().find(|user| !user.contains(':')) {
            return Err(SettingsError::SuperUser(bad.clone()));
        }
        Ok(Settings {
            data: self.data.unwrap_or_else(|| PathBuf::from("headwater-data")),
            listen: address("listen", listen)?,
            http: address("http", http)?,
            advertise: self
                .advertise
                .as_deref()
                .map(|text| host_port("advertise", text))
                .transpose()?,
            pipelines: self.pipelines,
            state_bytes_max: bytes(self.state_memory.as_deref().unwrap_or("2GB"))?,
            http_names: self.http_names,
            super_users: self.super_users,
        })
    }
}

fn host_port(what: &'static str, text: &str) -> Result<(String, u16), SettingsError> {
    let parts = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    let parsed = parts.and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)));
    parsed.ok_or_else(|| SettingsError::Address {
        what,
        value: text.to_owned(),
    })
}

fn address(what: &'static str, text: &str) -> Result<SocketAddr, SettingsError> {
    use std::net::ToSocketAddrs as _;
    let resolved = text
        .to_socket_addrs()
        .ok()
        .and_then(|mut found| found.next());
    resolved.ok_or_else(|| SettingsError::Address {
        what,
        value: text.to_owned(),
    })
}

/// `512MB`, `2 GiB`, `1000000`: powers of 1024, as people mean it of memory.
fn bytes(text: &str) -> Result<usize, SettingsError> {
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
    let unit: usize = match lower[digits.len()..].trim() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        _ => return Err(SettingsError::Size(text.to_owned())),
    };
    let number: usize = digits
        .parse()
        .map_err(|_| SettingsError::Size(text.to_owned()))?;
    number
        .checked_mul(unit)
        .ok_or_else(|| SettingsError::Size(text.to_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn flags_win_over_the_file() {
        let file: Given = toml::from_str("listen = '0.0.0.0:1'\nhttp = '127.0.0.1:2'").unwrap();
        let flags = Given {
            listen: Some("127.0.0.1:3".into()),
            ..Given::default()
        };
        let settings = flags.or(file).resolve().unwrap();
        assert_eq!((settings.listen.port(), settings.http.port()), (3, 2));
        assert_eq!(settings.data, PathBuf::from("headwater-data"));
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(bytes("512MB").unwrap(), 512 << 20);
        assert_eq!(bytes("2 GiB").unwrap(), 2 << 30);
        assert!(bytes("much").is_err() && bytes("9999999999999GB").is_err());
    }

    #[test]
    fn a_mistake_says_where_it_is() {
        let error = toml::from_str::<Given>("listen = '127.0.0.1:1'\nlissten = 'x'")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("line 2") && error.contains("lissten"),
            "{error}"
        );
        let error = Given {
            http: Some("nowhere".into()),
            ..Given::default()
        }
        .resolve()
        .unwrap_err()
        .to_string();
        assert!(
            error.contains("http") && error.contains("HOST:PORT"),
            "{error}"
        );
    }
}
