//! `headwater up`: a node until it is told to end.

use std::io::Write as _;
use std::path::Path;

use headwater_server::{Given, Node, Settings};
use tokio::signal::unix::{SignalKind, signal};

use crate::Failure;
use crate::args::{Output, UpArgs};

pub async fn run(args: UpArgs) -> Result<(), Failure> {
    let output = args.output;
    let node = Node::start(settings(args)?).await?;
    announce(&node, output)?;
    until_told_to_end(&node).await?;
    node.stop().await;
    Ok(())
}

fn settings(args: UpArgs) -> Result<Settings, Failure> {
    let file = match &args.config {
        Some(path) => Given::read(path, true)?,
        None => Given::read(Path::new("headwater.toml"), false)?,
    };
    let given = Given {
        data: args.data,
        listen: args.listen,
        http: args.http,
        advertise: args.advertise,
        pipelines: args.pipelines,
        state_memory: args.state_memory,
        http_names: args.http_names,
        super_users: args.super_users,
    };
    Ok(given.or(file).resolve()?)
}

fn announce(node: &Node, output: Output) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let (kafka, http) = (node.kafka(), node.http());
    match output {
        Output::Json => {
            let ready = serde_json::json!({"kafka": kafka.to_string(), "http": http.to_string(), "ready": true});
            writeln!(out, "{ready}")?;
        }
        Output::Text => writeln!(out, "kafka  {kafka}\nhttp   http://{http}\nready")?,
    }
    Ok(out.flush()?)
}

/// Returns on SIGTERM or SIGINT; fails when the node cannot go on by itself.
pub async fn until_told_to_end(node: &Node) -> Result<(), Failure> {
    let (mut term, mut int) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    tokio::select! {
        _ = term.recv() => Ok(()),
        _ = int.recv() => Ok(()),
        failed = node.failed() => Err(failed.into()),
    }
}
