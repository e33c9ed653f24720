//! The smallest node: a broker on a folder (or, without one, in memory), for trying clients by hand.
//!
//! `cargo run --release -p headwater-edge-kafka --example node -- [DIR [listen=127.0.0.1:9092 advertised.host=localhost num.partitions=4 ...]]` prints the port
//! and serves until it is interrupted.

use std::sync::Arc;

use headwater_base::SystemClock;
use headwater_broker::{Broker, BrokerConfig};
use headwater_edge_kafka::{EdgeConfig, serve};
use headwater_log::{LocalConfig, LocalLog, Log, MemoryLog};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let log: Arc<dyn Log> = match std::env::args().nth(1) {
        Some(dir) => Arc::new(LocalLog::open(
            std::path::Path::new(&dir),
            LocalConfig::default(),
        )?),
        None => Arc::new(MemoryLog::new(4)),
    };
    let mut config = BrokerConfig::default();
    let mut listen = "127.0.0.1:0".to_owned();
    let mut host = "127.0.0.1".to_owned();
    for setting in std::env::args().skip(2) {
        match setting.split_once('=') {
            Some(("node.id", value)) => config.node_id = value.parse()?,
            Some(("num.partitions", value)) => config.default_partitions = value.parse()?,
            Some(("listen", value)) => listen = value.to_owned(),
            Some(("advertised.host", value)) => host = value.to_owned(),
            _ => return Err(format!("{setting} is not known").into()),
        }
    }
    let broker = Broker::open(log, Arc::new(SystemClock), config)?;
    broker.start_background();
    let listener = tokio::net::TcpListener::bind(listen).await?;
    let port = listener.local_addr()?.port();
    println!("{port}");
    let interrupted = async {
        // Without a handler the default action ends the process, which is as good.
        let _ = tokio::signal::ctrl_c().await;
    };
    serve(listener, broker, EdgeConfig::new(&host, port), interrupted).await;
    Ok(())
}
