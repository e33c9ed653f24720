//! `headwater apply`: a folder of SQL files becomes a pipeline, all or nothing.

use std::path::{Path, PathBuf};

use crate::error::CliError;
use crate::http::{self, ApplyFile, ApplyRequest, HttpArgs};
use crate::output::{self, Format};

/// Largest file taken as SQL.
const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;

#[derive(Clone, Debug, clap::Args)]
pub struct ApplyArgs {
    /// A folder with *.sql files; its name becomes the pipeline's
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// Take changed definitions instead of refusing them; what they hold is built anew
    #[arg(long)]
    pub replace: bool,
    #[command(flatten)]
    pub http: HttpArgs,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    pub output: Format,
}

pub(super) async fn run(args: ApplyArgs) -> Result<(), CliError> {
    let request = ApplyRequest {
        pipeline: pipeline_name(&args.folder)?,
        files: sql_files(&args.folder)?,
        replace: args.replace,
    };
    let applied = http::apply(&args.http.http, &request).await?;
    if args.output == Format::Json {
        return output::json(&applied);
    }
    let width = applied
        .changes
        .iter()
        .map(|change| change.action.len())
        .max()
        .unwrap_or(0);
    for change in &applied.changes {
        output::line(&format!(
            "{:width$}  {} {}",
            change.action, change.kind, change.name
        ))?;
    }
    let summary = if applied.message.is_empty() {
        format!("applied pipeline {}", applied.pipeline)
    } else {
        applied.message
    };
    output::line(&summary)
}

/// The folder's own name, also when it is given as `.`.
pub fn pipeline_name(folder: &Path) -> Result<String, CliError> {
    let whole = folder
        .canonicalize()
        .map_err(|error| CliError::io(format!("cannot read {}", folder.display()), error))?;
    let name = whole
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    name.ok_or_else(|| {
        CliError::Usage(format!(
            "{} has no name that a pipeline could have",
            folder.display()
        ))
    })
}

/// The `*.sql` files of a folder by name; not those of folders in it.
pub fn sql_files(folder: &Path) -> Result<Vec<ApplyFile>, CliError> {
    let unreadable = |error| CliError::io(format!("cannot read {}", folder.display()), error);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "sql") && path.is_file() {
            files.push(sql_file(&path)?);
        }
    }
    if files.is_empty() {
        return Err(CliError::Usage(format!(
            "{} has no *.sql files",
            folder.display()
        )));
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

fn sql_file(path: &Path) -> Result<ApplyFile, CliError> {
    let unreadable = |error| CliError::io(format!("cannot read {}", path.display()), error);
    let bytes = std::fs::metadata(path).map_err(unreadable)?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(CliError::Usage(format!(
            "{} has {bytes} bytes, more than {FILE_BYTES_MAX}",
            path.display()
        )));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    Ok(ApplyFile { name, text })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn files_come_by_name_and_only_sql() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("b.sql", "B"),
            ("a.sql", "A"),
            ("notes.md", "x"),
            (".sql", "hidden"),
        ] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        std::fs::create_dir(folder.path().join("tests")).unwrap();
        std::fs::write(folder.path().join("tests/c.sql"), "C").unwrap();
        let files = sql_files(folder.path()).unwrap();
        assert_eq!(
            files
                .iter()
                .map(|file| file.name.as_str())
                .collect::<Vec<_>>(),
            ["a.sql", "b.sql"]
        );
        let own = folder.path().file_name().unwrap().to_string_lossy();
        assert_eq!(pipeline_name(&folder.path().join(".")).unwrap(), own);
        assert!(sql_files(&folder.path().join("tests/none")).is_err());
    }
}
