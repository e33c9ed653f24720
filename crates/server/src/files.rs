//! Pipeline folders on disk.

use std::path::{Path, PathBuf};

/// Name of a pipeline and its files: name and text each.
pub type Folder = (String, Vec<(String, String)>);

#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    #[error("cannot read {path}: {reason}")]
    Io {
        path: PathBuf,
        reason: std::io::Error,
    },
    #[error("{0} holds no *.sql file, and no folder that does")]
    Empty(PathBuf),
}

/// Reads `dir` as one pipeline if `*.sql` lie right in it, else each of its folders as one.
///
/// # Errors
/// The folder cannot be read, or there is no SQL in it.
pub fn read_folder(dir: &Path) -> Result<Vec<Folder>, FolderError> {
    let own = sql_files(dir)?;
    let folders = match own.is_empty() {
        false => vec![(name_of(dir), own)],
        true => children(dir)?,
    };
    match folders.is_empty() {
        true => Err(FolderError::Empty(dir.to_owned())),
        false => Ok(folders),
    }
}

fn children(dir: &Path) -> Result<Vec<Folder>, FolderError> {
    let mut folders = Vec::new();
    for path in entries(dir)?.into_iter().filter(|path| path.is_dir()) {
        let files = sql_files(&path)?;
        if !files.is_empty() {
            folders.push((name_of(&path), files));
        }
    }
    Ok(folders)
}

/// The folder's own name, also of `.`.
fn name_of(dir: &Path) -> String {
    let whole = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    whole.file_name().map_or_else(
        || "pipeline".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, FolderError> {
    let failed = |reason| FolderError::Io {
        path: dir.to_owned(),
        reason,
    };
    let listed: Result<Vec<_>, _> = std::fs::read_dir(dir).map_err(failed)?.collect();
    let mut paths: Vec<PathBuf> = listed
        .map_err(failed)?
        .into_iter()
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    Ok(paths)
}

fn sql_files(dir: &Path) -> Result<Vec<(String, String)>, FolderError> {
    let is_sql = |path: &PathBuf| path.is_file() && path.extension().is_some_and(|e| e == "sql");
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path);
        let name = path
            .file_name()
            .map(|n| n.to_string_lossy().into_owned())
            .unwrap_or_default();
        text.map(|text| (name, text))
            .map_err(|reason| FolderError::Io { path, reason })
    };
    entries(dir)?.into_iter().filter(is_sql).map(read).collect()
}
