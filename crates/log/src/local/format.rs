//! The marker of the folder's format: a file `FORMAT` with one line, `headwater log format 2`.
//!
//! Format 2 knows rewrites. A folder of format 1 is one of format 2 that has none: it is marked anew before the first one
//! could be written, so that a program which does not know them leaves it alone.

use std::io::{self, IoSlice};

use super::chunk::FORMAT;
use super::config::OpenError;
use super::disk::Disk;

const NAME: &str = "FORMAT";
const TEMPORARY: &str = "FORMAT.tmp";
const PREFIX: &str = "headwater log format ";
/// Longer than any marker.
const MARKER_BYTES_MAX: u64 = 128;

/// Refuses a newer format. True when the folder is to be marked (see [`mark`]).
pub(super) fn check(disk: &dyn Disk, names: &[String]) -> Result<bool, OpenError> {
    if !names.iter().any(|name| name == NAME) {
        return Ok(true);
    }
    let io = |action| {
        move |source| OpenError::Io {
            path: disk.path().to_owned(),
            action,
            source,
        }
    };
    let text = read(disk).map_err(io("read the format marker"))?;
    match text
        .trim_end()
        .strip_prefix(PREFIX)
        .and_then(|number| number.parse::<u32>().ok())
    {
        Some(found) if found <= FORMAT => Ok(found < FORMAT),
        Some(found) => Err(newer(disk, found)),
        None => Err(OpenError::Damaged {
            file: disk.path().join(NAME),
            offset: 0,
            what: "this is not a format marker".to_owned(),
        }),
    }
}

pub(super) fn newer(disk: &dyn Disk, found: u32) -> OpenError {
    OpenError::NewerFormat {
        path: disk.path().to_owned(),
        found,
        known: FORMAT,
    }
}

fn read(disk: &dyn Disk) -> io::Result<String> {
    let file = disk.open(NAME)?;
    let mut bytes = vec![0; file.size()?.min(MARKER_BYTES_MAX) as usize];
    file.read_at(0, &mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Marks the folder with the format of this program, for good.
pub(super) fn mark(disk: &dyn Disk) -> io::Result<()> {
    let text = format!("{PREFIX}{FORMAT}\n");
    let file = disk.create(TEMPORARY, text.len() as u64)?;
    file.write_at(0, &mut [IoSlice::new(text.as_bytes())])?;
    file.sync_data()?;
    disk.rename(TEMPORARY, NAME)?;
    disk.sync_dir()
}
