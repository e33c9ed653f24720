//! A certificate authority and a server certificate for 127.0.0.1, made by openssl, for tests of encrypted connections.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// PEM files in the folder that was given.
pub struct Certificates {
    pub authority: PathBuf,
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// Makes both, valid for a day. `Err` says what openssl said.
pub fn certificates(dir: &Path) -> Result<Certificates, String> {
    let extensions = dir.join("extensions");
    fs::write(
        &extensions,
        "subjectAltName=IP:127.0.0.1,DNS:localhost\nbasicConstraints=CA:FALSE\n",
    )
    .map_err(|e| e.to_string())?;
    let new_key = [
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ];
    let authority = [
        "req",
        "-x509",
        "-days",
        "1",
        "-subj",
        "/CN=headwater test",
        "-keyout",
        "ca.key",
        "-out",
        "ca.pem",
    ];
    openssl(dir, &[&authority[..], &new_key].concat())?;
    let request = [
        "req",
        "-subj",
        "/CN=localhost",
        "-keyout",
        "server.key",
        "-out",
        "server.csr",
    ];
    openssl(dir, &[&request[..], &new_key].concat())?;
    let sign = [
        "x509",
        "-req",
        "-days",
        "1",
        "-in",
        "server.csr",
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
    ];
    openssl(
        dir,
        &[&sign[..], &["-extfile", "extensions", "-out", "server.pem"]].concat(),
    )?;
    Ok(Certificates {
        authority: dir.join("ca.pem"),
        certificate: dir.join("server.pem"),
        key: dir.join("server.key"),
    })
}

fn openssl(dir: &Path, arguments: &[&str]) -> Result<(), String> {
    let done = Command::new("openssl")
        .args(arguments)
        .current_dir(dir)
        .stdin(Stdio::null())
        .output();
    let done = done.map_err(|e| format!("these tests need openssl: {e}"))?;
    if done.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&done.stderr).into_owned())
    }
}
