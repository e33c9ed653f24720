//! A PostgreSQL server of its own for a test: fresh cluster, free port, loopback only, ended when dropped.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Name of the superuser, of its database, and its password.
const USER: &str = "headwater";
const PASSWORD: &str = "not-a-secret";
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server. Its user is not root: PostgreSQL refuses that, so root becomes `postgres` for it.
pub struct Postgres {
    bin: PathBuf,
    dir: TempDir,
    port: u16,
    server: Option<Child>,
    as_postgres: bool,
    /// Settings beyond the usual ones.
    settings: Vec<String>,
}

impl Postgres {
    /// Makes a cluster and starts it. `Err` says what is missing.
    pub fn start() -> Result<Self, String> {
        let mut server = Self::prepare()?;
        server.init()?;
        server.restart()?;
        Ok(server)
    }

    /// The same, with encryption offered; the authority of its certificate is in [`Postgres::authority`].
    pub fn start_with_tls() -> Result<Self, String> {
        let mut server = Self::prepare()?;
        let made = crate::tls::certificates(server.dir.path())?;
        let files = [
            ("ssl_cert_file", &made.certificate),
            ("ssl_key_file", &made.key),
        ];
        server.settings = files
            .iter()
            .map(|(name, path)| format!("{name}={}", path.display()))
            .collect();
        server.settings.push("ssl=on".into());
        server.init()?;
        server.restart()?;
        Ok(server)
    }

    fn prepare() -> Result<Self, String> {
        let bin = find_bin().ok_or("these tests need PostgreSQL's server (Debian: postgresql)")?;
        let dir = tempfile::Builder::new()
            .prefix("headwater-pg-")
            .tempdir()
            .map_err(|e| e.to_string())?;
        let as_postgres = output(Command::new("id").arg("-u"))?.trim() == "0";
        Ok(Self {
            bin,
            dir,
            port: free_port()?,
            server: None,
            as_postgres,
            settings: Vec::new(),
        })
    }

    fn init(&self) -> Result<(), String> {
        let password = self.dir.path().join("password");
        let mut file = fs::File::create(&password).map_err(|e| e.to_string())?;
        writeln!(file, "{PASSWORD}").map_err(|e| e.to_string())?;
        if self.as_postgres {
            output(
                Command::new("chown")
                    .arg("-R")
                    .arg("postgres")
                    .arg(self.dir.path()),
            )?;
        }
        let mut init = self.command("initdb");
        init.args([
            "-U",
            USER,
            "--auth-local=trust",
            "--auth-host=scram-sha-256",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
        ]);
        init.arg(format!("--pwfile={}", password.display()))
            .arg("-D")
            .arg(self.data());
        output(&mut init)?;
        Ok(())
    }

    /// Starts the server on its data and port; after [`Postgres::kill`] it recovers.
    pub fn restart(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let mut server = self.command("postgres");
            server
                .arg("-D")
                .arg(self.data())
                .arg("-p")
                .arg(self.port.to_string());
            server.args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]);
            server.arg("-c").arg(format!(
                "unix_socket_directories={}",
                self.dir.path().display()
            ));
            self.settings.iter().for_each(|setting| {
                server.arg("-c").arg(setting);
            });
            let log = fs::File::create(self.dir.path().join("log")).map_err(|e| e.to_string())?;
            let mut child = server
                .stdout(Stdio::null())
                .stderr(log)
                .spawn()
                .map_err(|e| e.to_string())?;
            if self.wait_ready(&mut child, deadline) {
                self.server = Some(child);
                return Ok(());
            }
            // Killed children of the last run may still hold the shared memory.
            end(&mut child);
            sleep(Duration::from_millis(200));
        }
        let log = fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        Err(format!("PostgreSQL did not start: {log}"))
    }

    fn wait_ready(&self, child: &mut Child, deadline: Instant) -> bool {
        while Instant::now() < deadline {
            if matches!(child.try_wait(), Ok(Some(_)) | Err(_)) {
                return false;
            }
            let mut ready = self.command("pg_isready");
            ready
                .args(["-q", "-h", "127.0.0.1", "-p"])
                .arg(self.port.to_string());
            if ready.status().is_ok_and(|status| status.success()) {
                return true;
            }
            sleep(Duration::from_millis(50));
        }
        false
    }

    /// `kill -9`: the server is gone in the middle of whatever it did.
    pub fn kill(&mut self) {
        self.signal("-KILL");
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok()
            && Instant::now() < deadline
        {
            sleep(Duration::from_millis(20));
        }
    }

    /// Signals the server's main process and waits for what was started here.
    fn signal(&mut self, signal: &str) {
        let pid = fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        if let Some(pid) = pid.lines().next() {
            // Nothing to do if it is gone already.
            let _ = Command::new("kill")
                .args([signal, pid.trim()])
                .stderr(Stdio::null())
                .status();
        }
        if let Some(mut child) = self.server.take() {
            let _ = child.wait();
        }
    }

    /// For a connection over TCP with a password.
    pub fn url(&self) -> String {
        format!(
            "postgres://{USER}:{PASSWORD}@127.0.0.1:{}/postgres",
            self.port
        )
    }

    pub fn password(&self) -> &'static str {
        PASSWORD
    }

    /// Runs a statement with psql; rows as lines, columns separated by `|`, NULL as `(null)`.
    pub fn sql(&self, statement: &str) -> Result<String, String> {
        let mut psql = self.command("psql");
        psql.args([
            "-X",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-P",
            "null=(null)",
            "-U",
            USER,
            "-d",
            "postgres",
            "-h",
        ]);
        psql.arg(self.dir.path())
            .arg("-p")
            .arg(self.port.to_string())
            .args(["-c", statement]);
        Ok(output(&mut psql)?.trim_end().to_owned())
    }

    /// PEM file of the authority behind the server's certificate.
    pub fn authority(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = if self.as_postgres {
            let mut command = Command::new("runuser");
            command
                .args(["-u", "postgres", "--"])
                .arg(self.bin.join(program));
            command
        } else {
            Command::new(self.bin.join(program))
        };
        // The folder of the caller may be closed to the server's user.
        command.current_dir("/").env("LC_ALL", "C");
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.signal("-QUIT");
    }
}

fn end(child: &mut Child) {
    // It has ended, or is about to: both are fine.
    let _ = child.kill();
    let _ = child.wait();
}

/// The newest of Debian's versioned folders, or wherever `pg_config` says.
fn find_bin() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let mut found: Vec<PathBuf> = versions
        .map(|entry| entry.path().join("bin"))
        .filter(|bin| has_server(bin))
        .collect();
    found.sort();
    let configured = || {
        output(Command::new("pg_config").arg("--bindir"))
            .ok()
            .map(|dir| PathBuf::from(dir.trim()))
    };
    found
        .pop()
        .or_else(|| configured().filter(|bin| has_server(bin)))
}

fn has_server(bin: &Path) -> bool {
    bin.join("postgres").exists() && bin.join("initdb").exists()
}

fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(|e| e.to_string())?;
    Ok(listener.local_addr().map_err(|e| e.to_string())?.port())
}

fn output(command: &mut Command) -> Result<String, String> {
    let done = command
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("{:?}: {e}", command.get_program()))?;
    if !done.status.success() {
        return Err(String::from_utf8_lossy(&done.stderr).into_owned());
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}
