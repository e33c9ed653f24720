//! The binary: subcommands, nothing else. What they do lives in `server` (a node), `cli` (clients of one) and [`demo`].

mod args;
mod demo;
mod logging;
mod up;

use std::num::NonZero;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use args::{Cli, Command};

/// Anything that ends a subcommand, as a person reads it.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let cli = Cli::parse();
    logging::start(&cli.log);
    if let Command::Completions { shell } = cli.command {
        clap_complete::generate(
            shell,
            &mut Cli::command(),
            "headwater",
            &mut std::io::stdout(),
        );
        return ExitCode::SUCCESS;
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers())
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.to_string(), 1),
    };
    let code = runtime.block_on(run(cli));
    // Whatever still runs in the background must not hold up the end.
    runtime.shutdown_background();
    code
}

/// One more than there are cores, because one may be waiting for the disk: the log writes on the thread that submitted.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get) + 1
}

async fn run(cli: Cli) -> ExitCode {
    match cli.command {
        Command::Up(args) => finish(up::run(args).await),
        Command::Demo(args) => finish(demo::run(args).await),
        Command::Client(command) => ExitCode::from(command.run().await),
        Command::Completions { .. } => ExitCode::SUCCESS,
    }
}

fn finish(outcome: Result<(), Failure>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error.to_string(), 1),
    }
}

fn fail(message: &str, code: u8) -> ExitCode {
    eprintln!("headwater: {message}");
    ExitCode::from(code)
}
