//! [`PostgresSink`]: opening takes ownership, a write is one transaction.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::pin::Pin;

use headwater_connect::{Change, Sink, SinkBatch, SinkColumn, SinkError, SinkPosition};
use tokio_postgres::{Client, Statement, Transaction};

use super::options::{PostgresOptions, quoted};
use super::rows::{STATEMENT_ROWS_MAX, Statements, net, parameters, references};
use super::session::{Session, bounded};
use super::table::prepare;
use crate::secrets::{Resolver, expand};

/// Key of the advisory lock under which the sinks' table is made: "HWSK".
const CREATE_LOCK: i64 = 0x4857_534B;

pub struct PostgresSink {
    /// Names the cursor in the database: the same for life, another one when the sink is made anew.
    id: String,
    options: PostgresOptions,
    columns: Vec<SinkColumn>,
    /// Indexes of the key's columns.
    key: Vec<usize>,
    resolve: Resolver,
    /// Tells this owner from others in the database.
    owner: i64,
    /// Ownership was taken once. From then on it is only taken back if nobody else has it.
    owned: bool,
    open: Option<Open>,
}

/// What is known while the sink is open.
struct Open {
    session: Session,
    epoch: i64,
    claim: Statement,
    insert: Statement,
    delete: Option<[Statement; 2]>,
    clear: String,
}

impl PostgresSink {
    /// Opens nothing yet. `id` must be unique to this sink for as long as its view's changelog lives.
    pub fn new(
        id: String,
        options: PostgresOptions,
        columns: Vec<SinkColumn>,
        resolve: Resolver,
    ) -> Self {
        let index = |name: &String| columns.iter().position(|column| column.name == *name);
        let key = options.key.iter().filter_map(index).collect();
        let owner = RandomState::new().build_hasher().finish().cast_signed();
        Self {
            id,
            options,
            columns,
            key,
            resolve,
            owner,
            owned: false,
            open: None,
        }
    }

    async fn open_session(&mut self) -> Result<Option<SinkPosition>, SinkError> {
        self.open = None;
        let url = expand(&self.options.url, &self.resolve).map_err(SinkError::Rejected)?;
        let session = Session::connect(&url).await?;
        let sinks = format!("{}.headwater_sinks", quoted(&self.options.schema));
        create_sinks(&session.client, &sinks).await?;
        let target = prepare(&session.client, &self.options, &self.columns).await?;
        let statements = Statements::new(&target, &self.options, &self.columns, &self.key);
        let (epoch, position) = self.take_ownership(&session.client, &sinks).await?;
        let claim = format!(
            "UPDATE {sinks} SET position = $3, written_at = now() WHERE sink = $1 AND epoch = $2"
        );
        let delete = match self.key.as_slice() {
            [] => None,
            _ => Some([
                bounded(session.client.prepare(&statements.delete)).await?,
                bounded(session.client.prepare(&statements.delete_nulls)).await?,
            ]),
        };
        self.open = Some(Open {
            epoch,
            claim: bounded(session.client.prepare(&claim)).await?,
            insert: bounded(session.client.prepare(&statements.insert)).await?,
            delete,
            clear: statements.clear,
            session,
        });
        Ok(position)
    }

    /// Raises the epoch. A process that was paused and comes back must not take over from its successor: only the first
    /// opening takes from others.
    async fn take_ownership(
        &mut self,
        client: &Client,
        sinks: &str,
    ) -> Result<(i64, Option<SinkPosition>), SinkError> {
        let take = format!(
            "INSERT INTO {sinks} AS s (sink, owner, epoch) VALUES ($1, $2, 1) ON CONFLICT (sink) \
             DO UPDATE SET owner = $2, epoch = s.epoch + 1 WHERE s.owner = $2 OR NOT $3 RETURNING epoch, position"
        );
        let taken = bounded(client.query_opt(&take, &[&self.id, &self.owner, &self.owned])).await?;
        let taken = taken.ok_or_else(|| self.fenced())?;
        self.owned = true;
        let position: Option<i64> = taken.get(1);
        Ok((taken.get(0), position.map(|next| SinkPosition { next })))
    }

    fn fenced(&self) -> SinkError {
        SinkError::Fenced(format!("another process has taken over sink {}", self.id))
    }

    async fn write_batch(&mut self, batch: SinkBatch) -> Result<(), SinkError> {
        let net = net(
            &batch.changes,
            &self.key,
            self.columns.len(),
            self.options.single_row,
        )?;
        let replace = batch.snapshot || net.replaces;
        let open = self
            .open
            .as_mut()
            .ok_or_else(|| SinkError::Unavailable("PostgreSQL: not connected".into()))?;
        let transaction = bounded(open.session.client.transaction()).await?;
        // First of all, and with a lock on the row until the end: whoever opens the sink now waits for this transaction.
        let claimed =
            bounded(transaction.execute(&open.claim, &[&self.id, &open.epoch, &batch.after.next]))
                .await?;
        if claimed == 0 {
            drop(transaction);
            return Err(self.fenced());
        }
        if replace {
            bounded(transaction.batch_execute(&open.clear)).await?;
        }
        if let Some([equal, with_nulls]) = &open.delete {
            run(&transaction, equal, &net.deletes, &self.key, &self.columns).await?;
            run(
                &transaction,
                with_nulls,
                &net.null_deletes,
                &self.key,
                &self.columns,
            )
            .await?;
        }
        let all: Vec<usize> = (0..self.columns.len()).collect();
        run(
            &transaction,
            &open.insert,
            &net.upserts,
            &all,
            &self.columns,
        )
        .await?;
        bounded(transaction.commit()).await
    }
}

async fn create_sinks(client: &Client, sinks: &str) -> Result<(), SinkError> {
    // Two sinks that open at once would both make the table; one of them would fail.
    let create = format!(
        "BEGIN; SELECT pg_advisory_xact_lock({CREATE_LOCK}); CREATE TABLE IF NOT EXISTS {sinks} \
         (sink text PRIMARY KEY, owner bigint NOT NULL, epoch bigint NOT NULL, position bigint, written_at timestamptz); COMMIT"
    );
    bounded(client.batch_execute(&create)).await
}

async fn run(
    transaction: &Transaction<'_>,
    statement: &Statement,
    changes: &[&Change],
    indexes: &[usize],
    columns: &[SinkColumn],
) -> Result<(), SinkError> {
    for part in changes.chunks(STATEMENT_ROWS_MAX) {
        let values = parameters(part, indexes, columns);
        bounded(transaction.execute(statement, &references(&values))).await?;
    }
    Ok(())
}

type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, SinkError>> + Send + 'a>>;

impl Sink for PostgresSink {
    fn open(&mut self) -> Answer<'_, Option<SinkPosition>> {
        Box::pin(self.open_session())
    }

    fn write(&mut self, batch: SinkBatch) -> Answer<'_, ()> {
        Box::pin(async move {
            let written = self.write_batch(batch).await;
            if written.is_err() {
                // Its state is not known any more: the runner opens anew and is told where it left off.
                self.open = None;
            }
            written
        })
    }
}
