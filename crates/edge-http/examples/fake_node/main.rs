//! A node that is none: the console over invented, lively data, for working on the page and for its browser test.
//!
//! `cargo run --release -p headwater-edge-http --example fake_node [-- HOST:PORT]` prints the address and serves until it
//! is killed.

mod broker;
mod engine;
mod graph;
mod statements;
mod table;
mod world;

use std::sync::Arc;

use headwater_edge_http::{HttpConfig, serve};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:0".into());
    let listener = TcpListener::bind(address).await?;
    let bound = listener.local_addr()?;
    println!("http://{bound}");
    let world = Arc::new(world::World::new(bound.to_string()));
    tokio::spawn(table::keep_changing(world.table.clone()));
    serve(
        listener,
        world,
        HttpConfig::default(),
        std::future::pending(),
    )
    .await
}
