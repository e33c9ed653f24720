//! The target table: made if it is missing, checked if it is there.

use headwater_connect::{SinkColumn, SinkError};
use tokio_postgres::Client;

use super::options::{PostgresOptions, quoted};
use super::session::bounded;
use super::types::{accepted, declared};

/// The table as it stands: the cast type of each of the sink's columns, in the sink's order.
pub(super) struct Target {
    /// Schema and table, quoted.
    pub name: String,
    pub casts: Vec<String>,
}

struct Existing {
    name: String,
    data_type: String,
    required: bool,
}

/// First version with `UNIQUE NULLS NOT DISTINCT`.
const NULLS_NOT_DISTINCT_SINCE: i32 = 150_000;

pub(super) async fn prepare(
    client: &Client,
    options: &PostgresOptions,
    columns: &[SinkColumn],
) -> Result<Target, SinkError> {
    let name = format!("{}.{}", quoted(&options.schema), quoted(&options.table));
    let mut existing = read_columns(client, options).await?;
    if existing.is_empty() {
        create(client, options, columns, &name).await?;
        existing = read_columns(client, options).await?;
    } else if !options.key.is_empty() {
        check_key(client, options, &name).await?;
    }
    let casts = check_columns(&existing, columns, &name)?;
    Ok(Target { name, casts })
}

async fn read_columns(
    client: &Client,
    options: &PostgresOptions,
) -> Result<Vec<Existing>, SinkError> {
    let query = "SELECT a.attname::text, a.atttypid::regtype::text, \
                 a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' \
                 FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
                 WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p', 'v', 'f') \
                 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";
    let rows = bounded(client.query(query, &[&options.schema, &options.table])).await?;
    Ok(rows
        .iter()
        .map(|row| Existing {
            name: row.get(0),
            data_type: row.get(1),
            required: row.get(2),
        })
        .collect())
}

async fn create(
    client: &Client,
    options: &PostgresOptions,
    columns: &[SinkColumn],
    name: &str,
) -> Result<(), SinkError> {
    let mut parts: Vec<String> = columns
        .iter()
        .map(|c| format!("{} {}", quoted(&c.name), declared(&c.kind)))
        .collect();
    if !options.key.is_empty() {
        let key: Vec<String> = options.key.iter().map(|name| quoted(name)).collect();
        let version =
            bounded(client.query_one("SELECT current_setting('server_version_num')::int", &[]))
                .await?;
        // Key columns of a view may be NULL, which a primary key refuses.
        let constraint = if version.get::<_, i32>(0) >= NULLS_NOT_DISTINCT_SINCE {
            "UNIQUE NULLS NOT DISTINCT"
        } else {
            "PRIMARY KEY"
        };
        parts.push(format!("{constraint} ({})", key.join(", ")));
    }
    bounded(client.batch_execute(&format!(
        "CREATE TABLE IF NOT EXISTS {name} ({})",
        parts.join(", ")
    )))
    .await
}

/// `ON CONFLICT` needs a unique index of exactly the key, one that counts NULLs as equal or has none.
async fn check_key(
    client: &Client,
    options: &PostgresOptions,
    name: &str,
) -> Result<(), SinkError> {
    let query = "SELECT array_agg(a.attname::text ORDER BY a.attname::text) AS names, \
                 bool_and(a.attnotnull) OR pg_get_indexdef(i.indexrelid) LIKE '%NULLS NOT DISTINCT%' AS exact \
                 FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
                 CROSS JOIN LATERAL unnest(i.indkey[0:i.indnkeyatts - 1]) AS k(attnum) \
                 JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum \
                 WHERE n.nspname = $1 AND c.relname = $2 AND i.indisunique AND i.indisvalid \
                 AND i.indpred IS NULL AND i.indexprs IS NULL GROUP BY i.indexrelid";
    let rows = bounded(client.query(query, &[&options.schema, &options.table])).await?;
    let mut key = options.key.clone();
    key.sort_unstable();
    if rows
        .iter()
        .any(|row| row.get::<_, Vec<String>>(0) == key && row.get::<_, bool>(1))
    {
        return Ok(());
    }
    let key = options.key.join(", ");
    Err(SinkError::Rejected(format!(
        "table {name} has no primary key and no UNIQUE NULLS NOT DISTINCT constraint of exactly ({key})"
    )))
}

fn check_columns(
    existing: &[Existing],
    columns: &[SinkColumn],
    name: &str,
) -> Result<Vec<String>, SinkError> {
    let unknown = |e: &&Existing| e.required && columns.iter().all(|c| c.name != e.name);
    if let Some(extra) = existing.iter().find(unknown) {
        return Err(SinkError::Rejected(format!(
            "table {name}: column {} is NOT NULL, but the view has no such column",
            extra.name
        )));
    }
    let check = |column: &SinkColumn| {
        let Some(found) = existing.iter().find(|e| e.name == column.name) else {
            return Err(format!(
                "column {} is missing; it would be {}",
                column.name,
                declared(&column.kind)
            ));
        };
        let fits = accepted(&column.kind);
        if fits.contains(&found.data_type.as_str()) {
            return Ok(found.data_type.clone());
        }
        Err(format!(
            "column {} is {}, the view needs {}",
            column.name,
            found.data_type,
            fits.join(" or ")
        ))
    };
    columns
        .iter()
        .map(check)
        .collect::<Result<_, _>>()
        .map_err(|why| SinkError::Rejected(format!("table {name}: {why}")))
}
