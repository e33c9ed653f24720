//! `headwater sql`: one statement, a script, or a shell.

mod render;
mod shell;
mod split;

use std::io::{IsTerminal, Read, Write};

use crate::error::CliError;
use crate::http::{self, HttpArgs};

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum SqlFormat {
    #[default]
    Table,
    /// An array of objects for each result
    Json,
    Csv,
}

#[derive(Clone, Debug, clap::Args)]
pub struct SqlArgs {
    /// Run this statement (or several, with ; between) and end; may be repeated
    #[arg(short = 'c', long = "command", value_name = "STATEMENT")]
    pub command: Vec<String>,
    #[command(flatten)]
    pub http: HttpArgs,
    /// How results are printed
    #[arg(long, value_enum, default_value_t)]
    pub output: SqlFormat,
}

pub(super) async fn run(args: SqlArgs) -> Result<(), CliError> {
    if !args.command.is_empty() {
        return execute(&args, args.command.join(";\n")).await;
    }
    if std::io::stdin().is_terminal() {
        return shell::run(args).await;
    }
    let mut script = String::new();
    std::io::stdin()
        .read_to_string(&mut script)
        .map_err(|error| CliError::io("cannot read the standard input", error))?;
    if split::is_blank(&script) {
        return Ok(());
    }
    execute(&args, script).await
}

/// Runs statements and prints their results.
async fn execute(args: &SqlArgs, statements: String) -> Result<(), CliError> {
    let answer = http::sql(&args.http.http, statements).await?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let written = answer
        .results
        .iter()
        .enumerate()
        .try_for_each(|(at, result)| render::write(&mut out, result, args.output, at == 0));
    written
        .and_then(|()| out.flush())
        .map_err(CliError::output)?;
    drop(out);
    answer
        .results
        .iter()
        .for_each(|result| render::remarks(result, args.output));
    Ok(())
}
