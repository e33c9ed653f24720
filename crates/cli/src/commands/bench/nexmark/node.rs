//! The node that is measured: one of our own in a temporary folder, or one that runs already.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::super::produce::now_ms;
use super::NexmarkArgs;
use crate::error::CliError;

/// Clock ticks of a second in `/proc` (Linux has had 100 for decades).
const TICKS: f64 = 100.0;
/// How long a node may take to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// See the module's description.
pub(super) struct Node {
    pub kafka: String,
    pub http: String,
    own: Option<Own>,
}

struct Own {
    child: Child,
    folder: PathBuf,
}

/// What a process has used.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    pub cpu_s: f64,
    pub peak_bytes: u64,
}

impl Node {
    /// Starts one, unless an address is given.
    pub fn start(args: &NexmarkArgs) -> Result<Self, CliError> {
        if let (Some(kafka), Some(http)) = (&args.bootstrap, &args.http) {
            return Ok(Self {
                kafka: kafka.clone(),
                http: http.clone(),
                own: None,
            });
        }
        let program = std::env::current_exe().map_err(|e| CliError::io("this program", e))?;
        let name = format!("headwater-nexmark-{}-{:x}", std::process::id(), now_ms());
        let parent = args.data.clone().unwrap_or_else(std::env::temp_dir);
        let folder = parent.join(name);
        let mut command = Command::new(program);
        command.arg("up").arg("--data").arg(&folder);
        command.args(["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
        command.args(["--output", "json"]);
        if let Some(memory) = &args.state_memory {
            command.args(["--state-memory", memory]);
        }
        let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let child = spawned.map_err(|e| CliError::io("cannot start a node", e))?;
        let mut own = Own { child, folder };
        let (kafka, http) = own.addresses()?;
        Ok(Self {
            kafka,
            http,
            own: Some(own),
        })
    }

    pub fn is_own(&self) -> bool {
        self.own.is_some()
    }

    /// The peak of memory counts anew from now on.
    pub fn forget_peak(&self) {
        if let Some(own) = &self.own {
            // Where the system does not allow it the peak is that of the whole run.
            let _ = std::fs::write(format!("/proc/{}/clear_refs", own.child.id()), "5");
        }
    }

    /// Processor time and peak memory of a node of our own.
    pub fn usage(&self) -> Usage {
        let read = |own: &Own| usage(Path::new(&format!("/proc/{}", own.child.id())));
        self.own.as_ref().and_then(read).unwrap_or_default()
    }
}

impl Own {
    /// What it says when it is ready.
    fn addresses(&mut self) -> Result<(String, String), CliError> {
        let mut line = String::new();
        if let Some(out) = self.child.stdout.take() {
            let read = BufReader::new(out).read_line(&mut line);
            read.map_err(|e| CliError::io("cannot read what the node says", e))?;
        }
        let ready: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
        match (ready["kafka"].as_str(), ready["http"].as_str()) {
            (Some(kafka), Some(http)) => Ok((kafka.to_owned(), http.to_owned())),
            _ => Err(CliError::Usage("the node did not start".to_owned())),
        }
    }
}

/// Told to end, and its folder removed.
impl Drop for Own {
    fn drop(&mut self) {
        let id = self.child.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &id]).status();
        let give_up = Instant::now() + PATIENCE;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < give_up {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Reads `stat` and `status` of a process; `None` where there is no such thing.
fn usage(process: &Path) -> Option<Usage> {
    let stat = std::fs::read_to_string(process.join("stat")).ok()?;
    // After the name, which may hold anything: user and system time are the 12th and 13th.
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks = |n: usize| fields.split_whitespace().nth(n)?.parse::<f64>().ok();
    let status = std::fs::read_to_string(process.join("status")).ok()?;
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = peak.split_whitespace().next()?.parse().ok()?;
    Some(Usage {
        cpu_s: (ticks(11)? + ticks(12)?) / TICKS,
        peak_bytes: kib * 1024,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_process_knows_what_it_used() {
        let used = usage(Path::new("/proc/self")).unwrap_or_default();
        assert!(used.peak_bytes > 1_000_000);
        assert!(usage(Path::new("/proc/none")).is_none());
    }
}
