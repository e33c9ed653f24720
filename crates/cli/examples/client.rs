//! The commands alone, without the server: `cargo run -p headwater-cli --example client -- topic list`.

use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    command: headwater_cli::Command,
}

#[tokio::main]
async fn main() -> ExitCode {
    ExitCode::from(Args::parse().command.run().await)
}
