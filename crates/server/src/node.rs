//! One node: log, broker, engine and the two listeners, started and stopped as a whole.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use headwater_base::SystemClock;
use headwater_broker::{Broker, BrokerConfig};
use headwater_edge_http::HttpConfig;
use headwater_edge_kafka::EdgeConfig;
use headwater_engine::status::EngineStatus;
use headwater_engine::{Engine, EngineConfig};
use headwater_log::Log;
use headwater_log::local::{LocalConfig, LocalLog};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::control::NodeControl;
use crate::files::{self, FolderError};
use crate::settings::Settings;

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot listen on {address}: {reason}{}", hint_of(reason))]
    Listen {
        address: SocketAddr,
        reason: std::io::Error,
    },
    #[error("{0}")]
    Log(#[from] headwater_log::local::OpenError),
    #[error("{0}")]
    Broker(#[from] headwater_broker::OpenError),
    #[error("{0}")]
    Engine(#[from] headwater_engine::EngineError),
    #[error("{0}")]
    Folder(#[from] FolderError),
    #[error("pipeline {pipeline} is refused:\n{reason}")]
    Pipeline { pipeline: String, reason: String },
    #[error("cannot make topic {topic}: {reason}")]
    Topic { topic: String, reason: String },
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

fn hint_of(reason: &std::io::Error) -> &'static str {
    match reason.kind() {
        std::io::ErrorKind::AddrInUse => {
            "; stop what listens there, or choose another address with --listen and --http (port 0 picks a free one)"
        }
        _ => "",
    }
}

impl StartError {
    /// Whether another port would do.
    pub fn is_address_in_use(&self) -> bool {
        matches!(self, Self::Listen { reason, .. } if reason.kind() == std::io::ErrorKind::AddrInUse)
    }
}

/// A running node. Dropping it without [`Node::stop`] is a crash: safe, and rude.
pub struct Node {
    kafka: SocketAddr,
    http: SocketAddr,
    log: Arc<LocalLog>,
    broker: Arc<Broker>,
    engine: Arc<Engine>,
    stop: watch::Sender<bool>,
    listeners: Vec<JoinHandle<()>>,
    ended: watch::Receiver<bool>,
}

impl Node {
    /// Opens the folder, recovers, listens, applies the pipelines of the settings. Ready when it returns.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is left running.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        // Addresses first: a mistake there should not have touched the folder.
        let kafka = bind(settings.listen).await?;
        let http = bind(settings.http).await?;
        let metrics = crate::metrics::install();
        let data = settings.data.clone();
        let log: Arc<LocalLog> = blocking(move || LocalLog::open(&data, LocalConfig::default()))
            .await??
            .into();
        let shared: Arc<dyn Log> = log.clone();
        let broker_config = BrokerConfig {
            super_users: settings.super_users.clone(),
            ..BrokerConfig::default()
        };
        let broker =
            blocking(move || Broker::open(shared, Arc::new(SystemClock), broker_config)).await??;
        let engine = Engine::start(
            engine_config(&settings),
            broker.clone(),
            crate::sinks::factory(),
            crate::sinks::notifier(),
        )
        .await?;
        // After the pipelines have said what they may have to read again.
        broker.start_background();
        let engine = Arc::new(engine);
        let (stop, stopping) = watch::channel(false);
        let (kafka_address, http_address) = (kafka.local_addr()?, http.local_addr()?);
        let mut edge = edge_config(&settings, kafka_address);
        edge.log_dir = settings.data.display().to_string();
        let control = Arc::new(NodeControl::new(
            (broker.clone(), engine.clone(), log.clone()),
            metrics,
            &settings,
            (kafka_address, http_address),
        ));
        let http_config = HttpConfig {
            host_names: settings.http_names.clone(),
            ..HttpConfig::default()
        };
        let (end, ended) = watch::channel(false);
        let end = Arc::new(end);
        let kafka_task =
            headwater_edge_kafka::serve(kafka, broker.clone(), edge, stopped(stopping.clone()));
        let http_task = async move {
            if let Err(error) =
                headwater_edge_http::serve(http, control, http_config, stopped(stopping)).await
            {
                tracing::error!(%error, "the HTTP listener ended");
            }
        };
        let listeners = vec![
            spawn_listener(kafka_task, end.clone()),
            spawn_listener(http_task, end),
        ];
        let node = Self {
            kafka: kafka_address,
            http: http_address,
            log,
            broker,
            engine,
            stop,
            listeners,
            ended,
        };
        node.apply_folder(settings.pipelines).await?;
        Ok(node)
    }

    /// Address of the Kafka listener.
    pub fn kafka(&self) -> SocketAddr {
        self.kafka
    }

    /// Address of the page and the API.
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    pub fn status(&self) -> EngineStatus {
        self.engine.status()
    }

    /// Resolves with a reason when the node cannot go on by itself: its disk failed, or a listener ended.
    pub async fn failed(&self) -> String {
        let mut ended = self.ended.clone();
        tokio::select! {
            failure = self.log.failed() => failure.to_string(),
            // An error means that the listeners are gone as well.
            _ = ended.wait_for(|ended| *ended) => "a listener ended unexpectedly".to_owned(),
        }
    }

    /// Makes a topic unless it is there.
    ///
    /// # Errors
    /// The topic cannot be made.
    pub async fn create_topic(&self, name: &str, partitions: i32) -> Result<(), StartError> {
        let made = headwater_connect::StepLog::ensure_topic(&*self.broker, name, partitions).await;
        made.map(|_| ()).map_err(|reason| StartError::Topic {
            topic: name.to_owned(),
            reason: reason.to_string(),
        })
    }

    /// Applies one pipeline: file names and texts.
    ///
    /// # Errors
    /// The pipeline is refused.
    pub async fn apply(
        &self,
        pipeline: &str,
        files: Vec<(String, String)>,
    ) -> Result<(), StartError> {
        let applied = self.engine.apply(pipeline, files, false).await;
        applied.map(|_| ()).map_err(|error| StartError::Pipeline {
            pipeline: pipeline.to_owned(),
            reason: error.rendered,
        })
    }

    async fn apply_folder(&self, dir: Option<PathBuf>) -> Result<(), StartError> {
        let Some(dir) = dir else { return Ok(()) };
        for (pipeline, files) in files::read_folder(&dir)? {
            self.apply(&pipeline, files).await?;
        }
        Ok(())
    }

    /// No more input will come: windows close once everything is taken in.
    ///
    /// # Errors
    /// There is no such pipeline.
    pub async fn end_of_input(&self, pipeline: &str) -> Result<(), StartError> {
        let ended = self.engine.end_of_input(pipeline).await;
        ended.map_err(|error| StartError::Pipeline {
            pipeline: pipeline.to_owned(),
            reason: error.rendered,
        })
    }

    /// Whether a pipeline has shown the results of everything, after [`Node::end_of_input`].
    pub fn settled(&self, pipeline: &str) -> bool {
        self.engine.settled(pipeline)
    }

    /// Records that a pipeline's views do not contain yet.
    pub fn lag(&self, pipeline: &str) -> i64 {
        let status = self.engine.status();
        let of = status.pipelines.iter().find(|p| p.name == pipeline);
        of.map_or(0, |p| p.inputs.iter().map(|input| input.lag_records).sum())
    }

    /// Ends cleanly: listeners finish what was begun, pipelines stop after their step.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        for listener in self.listeners {
            let _ = listener.await;
        }
        self.engine.stop().await;
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address)
        .await
        .map_err(|reason| StartError::Listen { address, reason })
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StartError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| StartError::Io(std::io::Error::other(error)))
}

fn engine_config(settings: &Settings) -> EngineConfig {
    let mut config = EngineConfig::new(settings.data.join("state"));
    config.node_state_bytes_max = settings.state_bytes_max;
    config.pipeline_state_bytes_max = settings.state_bytes_max;
    config
}

/// Clients are told the address listened on, or the loopback one where that is no address to connect to.
fn edge_config(settings: &Settings, bound: SocketAddr) -> EdgeConfig {
    match &settings.advertise {
        Some((host, port)) => EdgeConfig::new(host.clone(), *port),
        None if bound.ip().is_unspecified() => EdgeConfig::new("127.0.0.1", bound.port()),
        None => EdgeConfig::new(bound.ip().to_string(), bound.port()),
    }
}

async fn stopped(mut stopping: watch::Receiver<bool>) {
    // The sender gone is an end, too.
    let _ = stopping.wait_for(|stop| *stop).await;
}

fn spawn_listener(
    task: impl Future<Output = ()> + Send + 'static,
    end: Arc<watch::Sender<bool>>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        task.await;
        end.send_replace(true);
    })
}
