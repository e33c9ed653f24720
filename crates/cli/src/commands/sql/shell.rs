//! The interactive shell: lines until a `;`, a history, and a few commands that begin with a backslash.

use std::path::PathBuf;

use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

use super::{SqlArgs, execute, split};
use crate::error::CliError;
use crate::output;

const PROMPT: &str = "headwater=> ";
const PROMPT_MORE: &str = "headwater-> ";
const HELP: &str = "\
Statements end with a ; and may span lines.
  \\d          show all sources, tables, views, sinks and alerts
  \\d NAME     describe one of them
  \\q          leave (also: exit, quit, Ctrl-D)
  \\?          this help (also: help)
  Ctrl-C      drop what was typed";

/// What a line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Input {
    Quit,
    Help,
    Run(String),
    Unknown(String),
    /// Part of a statement.
    More,
}

pub(super) async fn run(args: SqlArgs) -> Result<(), CliError> {
    let mut editor = DefaultEditor::new().map_err(broken)?;
    let history =
        std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".headwater_history"));
    if let Some(path) = &history {
        // The first time there is none.
        let _ = editor.load_history(path);
    }
    output::note("Headwater SQL. \\? for help, \\q to leave.");
    let outcome = read_loop(&args, &mut editor).await;
    if let Some(path) = &history {
        let _ = editor.save_history(path);
    }
    outcome
}

async fn read_loop(args: &SqlArgs, editor: &mut DefaultEditor) -> Result<(), CliError> {
    let mut typed = String::new();
    loop {
        let line = match editor.readline(if typed.is_empty() {
            PROMPT
        } else {
            PROMPT_MORE
        }) {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => {
                typed.clear();
                continue;
            }
            Err(ReadlineError::Eof) => return Ok(()),
            Err(error) => return Err(broken(error)),
        };
        let input = read(&mut typed, &line);
        if let Input::Run(statement) = &input {
            let _ = editor.add_history_entry(statement.trim());
        }
        match input {
            Input::Quit => return Ok(()),
            Input::Help => output::note(HELP),
            Input::Unknown(command) => output::note(&format!(
                "unknown command {command}; \\? shows what there is"
            )),
            Input::More => {}
            // A wrong statement does not end the session.
            Input::Run(statement) => match execute(args, statement).await {
                Err(CliError::OutputClosed) => return Ok(()),
                Err(error) => output::note(&error.shown()),
                Ok(()) => {}
            },
        }
    }
}

/// Adds a line to what was typed and says what to do.
fn read(typed: &mut String, line: &str) -> Input {
    if typed.is_empty() {
        let word = line.trim().trim_end_matches(';').trim();
        match word {
            "" => return Input::More,
            "\\q" | "exit" | "quit" => return Input::Quit,
            "\\?" | "\\h" | "help" => return Input::Help,
            "\\d" => return Input::Run("SHOW ALL;".to_owned()),
            _ => {}
        }
        if let Some(name) = word.strip_prefix("\\d ") {
            return Input::Run(format!("DESCRIBE {};", name.trim()));
        }
        if word.starts_with('\\') {
            return Input::Unknown(word.to_owned());
        }
    }
    typed.push_str(line);
    typed.push('\n');
    if !split::is_complete(typed) {
        return Input::More;
    }
    let whole = std::mem::take(typed);
    if split::is_blank(&whole) {
        Input::More
    } else {
        Input::Run(whole)
    }
}

fn broken(error: ReadlineError) -> CliError {
    CliError::Io {
        what: "the terminal cannot be read".to_owned(),
        source: std::io::Error::other(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_statements_and_commands() {
        let mut typed = String::new();
        assert_eq!(read(&mut typed, "SELECT"), Input::More);
        assert_eq!(
            read(&mut typed, "\\q;"),
            Input::Run("SELECT\n\\q;\n".to_owned()),
            "inside a statement it is text"
        );
        assert_eq!(read(&mut typed, "\\d"), Input::Run("SHOW ALL;".to_owned()));
        assert_eq!(
            read(&mut typed, "\\d flights;"),
            Input::Run("DESCRIBE flights;".to_owned())
        );
        assert_eq!(read(&mut typed, "quit"), Input::Quit);
        assert_eq!(read(&mut typed, "help;"), Input::Help);
        assert_eq!(read(&mut typed, "\\x"), Input::Unknown("\\x".to_owned()));
        assert_eq!(read(&mut typed, "  "), Input::More);
        assert!(typed.is_empty());
    }
}
