//! One connection: how it is made, bounded in time, and let go.

use std::time::Duration;

use headwater_connect::SinkError;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config};

use super::error::classify;
use super::tls::Encryption;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest that any exchange with the server may take before the connection is given up.
pub(super) const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(120);

/// A process that is paused inside a transaction holds the sink's row: the server ends it after this time, so that its
/// successor gets the row.
const SETTINGS: &str = "SET idle_in_transaction_session_timeout = '10s'; SET lock_timeout = '30s'; \
     SET statement_timeout = '100s'; SET client_min_messages = warning; SET timezone = 'UTC'";

pub(super) struct Session {
    pub client: Client,
    driver: JoinHandle<()>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Session {
    pub async fn connect(url: &str) -> Result<Self, SinkError> {
        let (url, encryption) = Encryption::split(url)?;
        let mut config: Config = url.parse().map_err(|_| {
            SinkError::Rejected(
                "option 'url' is no PostgreSQL URL (postgres://user:password@host:5432/database)"
                    .into(),
            )
        })?;
        config.ssl_mode(encryption.mode());
        if config.get_application_name().is_none() {
            config.application_name("headwater");
        }
        config
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_user_timeout(EXCHANGE_TIMEOUT)
            .keepalives_idle(Duration::from_secs(30));
        let connecting =
            tokio::time::timeout(CONNECT_TIMEOUT * 2, config.connect(encryption.connector()?))
                .await;
        let (client, connection) = connecting
            .map_err(|_| too_slow())?
            .map_err(|e| classify(&e))?;
        let driver = tokio::spawn(async move {
            // Whoever uses the client is told of the failure by its own call.
            let _ = connection.await;
        });
        let session = Self { client, driver };
        bounded(session.client.batch_execute(SETTINGS)).await?;
        Ok(session)
    }
}

/// An exchange with the server, bounded in time.
pub(super) async fn bounded<T>(
    exchange: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, SinkError> {
    let answer = tokio::time::timeout(EXCHANGE_TIMEOUT, exchange).await;
    answer.map_err(|_| too_slow())?.map_err(|e| classify(&e))
}

fn too_slow() -> SinkError {
    SinkError::Unavailable("PostgreSQL: no answer in time".into())
}
