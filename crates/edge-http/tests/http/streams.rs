//! Live streams: what they say, that their number is limited, and that nobody is held up by who does not read.

use std::time::Duration;

use headwater_edge_http::HttpConfig;
use tokio::io::AsyncReadExt;
use tokio::time::{sleep, timeout};

use super::client::{get, open, read_until};
use super::fake::Server;

async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..500 {
        if holds() {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("never: {what}");
}

#[tokio::test]
async fn the_live_stream_says_an_overview_again_and_again() {
    let server = Server::with(HttpConfig {
        live_pause: Duration::from_millis(30),
        ..HttpConfig::default()
    })
    .await;
    let mut stream = open(server.address, "/api/live").await;
    let first = read_until(&mut stream, "\n\n").await;
    assert!(first.contains("content-type: text/event-stream"), "{first}");
    assert!(first.contains("event: overview\ndata: {"), "{first}");
    read_until(&mut stream, "event: overview").await;
}

#[tokio::test]
async fn changes_come_after_ready_and_before_end() {
    let server = Server::start().await;
    let mut stream = open(server.address, "/api/views/some/changes").await;
    let text = read_until(&mut stream, "event: end").await;
    let ready = text.find("event: ready").unwrap();
    let changes = text.find("event: changes").unwrap();
    assert!(ready < changes);
    assert!(text.contains(r#"data: {"commit":2,"changes":[{"op":"insert","row":["xxx"#));
}

#[tokio::test]
async fn one_that_does_not_read_is_dropped_and_holds_nobody_up() {
    let server = Server::with(HttpConfig {
        write_stall: Duration::from_millis(300),
        ..HttpConfig::default()
    })
    .await;
    let slow = open(server.address, "/api/views/flood/changes").await;
    until("the stream is opened", || server.following() == 1).await;
    let others = timeout(
        Duration::from_secs(5),
        get(server.address, "/api/topics", &[]),
    )
    .await;
    assert_eq!(others.unwrap().status, 200);
    until("the stream is dropped", || server.following() == 0).await;
    drop(slow);
}

#[tokio::test]
async fn one_that_goes_away_is_forgotten() {
    let server = Server::start().await;
    let stream = open(server.address, "/api/views/flood/changes").await;
    until("the stream is opened", || server.following() == 1).await;
    drop(stream);
    until("the stream is dropped", || server.following() == 0).await;
}

#[tokio::test]
async fn the_number_of_streams_is_limited() {
    let server = Server::with(HttpConfig {
        streams_max: 2,
        ..HttpConfig::default()
    })
    .await;
    let mut first = open(server.address, "/api/live").await;
    read_until(&mut first, "event: overview").await;
    let mut second = open(server.address, "/api/views/flood/changes").await;
    read_until(&mut second, "event: ready").await;
    let refused = get(server.address, "/api/live", &[]).await;
    assert_eq!(refused.status, 503);
    assert!(
        refused.message().contains("too many live streams"),
        "{}",
        refused.message()
    );
    assert_eq!(get(server.address, "/api/topics", &[]).await.status, 200);
    drop(second);
    until("its place is free", || server.following() == 0).await;
    let mut third = open(server.address, "/api/live").await;
    read_until(&mut third, "event: overview").await;
}

#[tokio::test]
async fn stopping_ends_the_streams_and_returns() {
    let mut server = Server::start().await;
    let mut stream = open(server.address, "/api/live").await;
    read_until(&mut stream, "event: overview").await;
    drop(server.stop.take());
    let mut rest = Vec::new();
    timeout(Duration::from_secs(2), stream.read_to_end(&mut rest))
        .await
        .unwrap()
        .unwrap();
    let served = timeout(Duration::from_secs(2), server.task).await.unwrap();
    assert!(served.unwrap().is_ok());
}
