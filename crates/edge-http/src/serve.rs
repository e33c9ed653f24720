//! Puts the edge together on a listener, and takes it down again.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::connection::GuardedListener;
use crate::control::Control;
use crate::guard::{self, Hosts};
use crate::limits;
use crate::live::{self, Live};
use crate::rates::Rates;
use crate::routes;

/// What can be set from outside. The defaults are right for a node on a laptop.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// Names, beside the bound address and the loopback ones, that browsers may reach this node under, without port.
    pub host_names: Vec<String>,
    /// See [`limits::WRITE_STALL`].
    pub write_stall: Duration,
    /// See [`limits::STREAMS_MAX`].
    pub streams_max: usize,
    /// See [`limits::LIVE_PAUSE`].
    pub live_pause: Duration,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            host_names: Vec::new(),
            write_stall: limits::WRITE_STALL,
            streams_max: limits::STREAMS_MAX,
            live_pause: limits::LIVE_PAUSE,
        }
    }
}

/// What every handler gets.
#[derive(Clone)]
pub(crate) struct App {
    pub control: Arc<dyn Control>,
    pub live: Arc<Live>,
    pub rates: Arc<Rates>,
    pub streams: Arc<Semaphore>,
    pub statements: Arc<Semaphore>,
    /// True once the node is stopping: streams end.
    pub closing: watch::Receiver<bool>,
}

/// Serves until `shutdown` resolves; then ends the streams, lets open requests finish for a moment, and returns.
pub async fn serve(
    listener: TcpListener,
    control: Arc<dyn Control>,
    config: HttpConfig,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let bound = listener.local_addr()?;
    let (close, closing) = watch::channel(false);
    let app = App {
        live: Arc::new(Live::new()),
        rates: Arc::new(Rates::default()),
        streams: Arc::new(Semaphore::new(config.streams_max)),
        statements: Arc::new(Semaphore::new(limits::STATEMENTS_MAX)),
        control,
        closing: closing.clone(),
    };
    let ticker = tokio::spawn(live::run(app.clone(), config.live_pause));
    let router = router(app, &config, bound);
    let listener = GuardedListener::new(listener, limits::CONNECTIONS_MAX, config.write_stall);
    let stopping = async move {
        shutdown.await;
        close.send_replace(true);
    };
    let serving = axum::serve(listener, router)
        .with_graceful_shutdown(stopping)
        .into_future();
    let result = tokio::select! {
        result = serving => result,
        () = overdue(closing) => Ok(()),
    };
    ticker.abort();
    result
}

fn router(app: App, config: &HttpConfig, bound: SocketAddr) -> Router {
    let hosts = Arc::new(Hosts::new(bound, &config.host_names));
    routes::router(app)
        .layer(DefaultBodyLimit::max(limits::BODY_BYTES_MAX))
        .layer(axum::middleware::from_fn_with_state(hosts, guard::check))
}

/// Resolves when the node has been stopping for too long.
async fn overdue(mut closing: watch::Receiver<bool>) {
    // The sender goes away only together with the server.
    if closing.wait_for(|closing| *closing).await.is_err() {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(limits::SHUTDOWN_PAUSE).await;
}
