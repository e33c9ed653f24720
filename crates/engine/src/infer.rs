//! `CREATE SOURCE name WITH (...)` without columns: they are found out from the topic's newest records and written into the statement,
//! so that the catalog keeps them and `SHOW CREATE` shows them.

use datafusion::arrow::datatypes::DataType;
use headwater_connect::{StepLog, Visibility};
use headwater_formats::infer::Inference;
use headwater_sql::ast::{Columns, Create, CreateBody, Statement, StatementKind};
use headwater_sql::types::{ident, to_sql};
use headwater_sql::{SqlError, parse_one};

use crate::catalog::Objects;

/// Newest records of each partition that are looked at.
const SAMPLE_RECORDS: i64 = 200;
const SAMPLE_BYTES: usize = 4 << 20;
/// A declaration says more than this many columns.
const COLUMNS_MAX: usize = 1_000;

/// The statement with its columns, if it is one that leaves them out.
///
/// # Errors
/// If they cannot be found out, with what to do.
pub(crate) fn with_columns(
    statement: &Statement,
    log: &dyn StepLog,
    objects: &Objects,
) -> Result<Option<Statement>, SqlError> {
    let StatementKind::Create(create) = &statement.kind else {
        return Ok(None);
    };
    let (kind, table) = match &create.body {
        CreateBody::Source(columns) if left_out(columns) => ("SOURCE", false),
        CreateBody::Table(columns) if left_out(columns) => ("TABLE", true),
        _ => return Ok(None),
    };
    let rest = rest(statement, create);
    let name = ident(&create.name.text);
    let before = objects
        .get(&create.name.text)
        .filter(|_| !create.or_replace);
    // Once found out they stay, so that the same file gives the same source again.
    if let Some(object) = before.filter(|o| {
        o.text.starts_with(&format!("CREATE {kind} {name} (")) && o.text.ends_with(&rest)
    }) {
        let words = if create.if_not_exists {
            "IF NOT EXISTS "
        } else {
            ""
        };
        let text = object.text.replacen(
            &format!("CREATE {kind} "),
            &format!("CREATE {kind} {words}"),
            1,
        );
        return parse_one(&text, None).map(Some);
    }
    let columns = columns(statement, create, log, table)?;
    let replace = if create.or_replace { "OR REPLACE " } else { "" };
    let unless = if create.if_not_exists {
        "IF NOT EXISTS "
    } else {
        ""
    };
    let text = format!(
        "CREATE {replace}{kind} {unless}{name} (\n  {}\n) {rest}",
        columns.join(",\n  ")
    );
    parse_one(&text, None).map(Some)
}

fn left_out(columns: &Columns) -> bool {
    columns.columns.is_empty()
}

/// What follows the name.
fn rest(statement: &Statement, create: &Create) -> String {
    let from = statement.source.offset_of(create.name.at);
    let text = statement.source.text().get(from..).unwrap_or("");
    // A name may have WITH in it, and blanks if it is quoted.
    let end = match text.strip_prefix('"') {
        Some(quoted) => quoted.replace("\"\"", "..").find('"').map(|at| at + 2),
        None => text.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '$'),
    };
    let rest = end.and_then(|end| text.get(end..)).unwrap_or("");
    let with = rest.to_ascii_lowercase().find("with");
    let rest = with.and_then(|at| rest.get(at..)).unwrap_or("");
    rest.trim().to_owned()
}

fn option<'a>(create: &'a Create, name: &str) -> Option<&'a str> {
    let item = create.options.iter().find(|item| item.name.text == name);
    item.map(|item| item.value.as_str())
}

fn columns(
    statement: &Statement,
    create: &Create,
    log: &dyn StepLog,
    table: bool,
) -> Result<Vec<String>, SqlError> {
    let tell = |message: String| statement.source.error(create.name.at, message);
    let format = option(create, "format")
        .or_else(|| option(create, "value_format"))
        .unwrap_or("json");
    match format.to_lowercase().as_str() {
        "raw" if !table => return Ok(vec!["value BYTEA".to_owned()]),
        "text" if !table => return Ok(vec!["value TEXT".to_owned()]),
        "json" => {}
        other => {
            let error = tell(format!(
                "the columns of a topic in {other} cannot be found out from its records"
            ));
            return Err(error.hint("write the columns in brackets after the name"));
        }
    }
    let topic = option(create, "topic").unwrap_or(&create.name.text);
    let (values, keys, seen) = sample(topic, log).map_err(&tell)?;
    if values.records() == 0 {
        let what = match seen {
            0 => {
                format!("topic \"{topic}\" is empty, so there is nothing to find the columns from")
            }
            seen => {
                format!("none of the newest {seen} records of topic \"{topic}\" is a JSON object")
            }
        };
        return Err(tell(what).hint(
            "publish a record first, write the columns in brackets after the name, or another format",
        ));
    }
    let mut columns = values.columns();
    if columns.len() > COLUMNS_MAX {
        return Err(
            tell(format!("its records have more than {COLUMNS_MAX} fields"))
                .hint("write the columns that you need"),
        );
    }
    let mut out = Vec::new();
    if table {
        let key = primary_key(&keys, &tell)?;
        columns.retain(|(name, _)| !key.iter().any(|(k, _)| k == name));
        out.extend(
            key.iter()
                .map(|(name, t)| format!("{} {}", ident(name), to_sql(t))),
        );
        out.extend(columns.iter().map(declared));
        let names: Vec<String> = key.iter().map(|(name, _)| ident(name)).collect();
        out.push(format!("PRIMARY KEY ({})", names.join(", ")));
    } else {
        out.extend(columns.iter().map(declared));
    }
    Ok(out)
}

/// What no one type holds is JSON.
fn declared((name, found): &(String, Result<DataType, String>)) -> String {
    let shown = found.as_ref().map_or_else(|_| "JSON".to_owned(), to_sql);
    format!("{} {shown}", ident(name))
}

fn primary_key(
    keys: &Inference,
    tell: &dyn Fn(String) -> SqlError,
) -> Result<Vec<(String, DataType)>, SqlError> {
    let hint = "write the columns with PRIMARY KEY in brackets after the name";
    let one = |(name, found): (String, Result<DataType, String>)| match found {
        Ok(found) => Ok((name, found)),
        Err(what) => Err(tell(format!(
            "field \"{name}\" of the keys has no one type: {what}"
        ))
        .hint(hint)),
    };
    let key: Vec<_> = keys
        .columns()
        .into_iter()
        .map(one)
        .collect::<Result<_, _>>()?;
    if key.is_empty() {
        let error = "its records' keys are no JSON objects, so the primary key cannot be found out";
        return Err(tell(error.to_owned()).hint(hint));
    }
    Ok(key)
}

/// The newest values and keys of a topic, and of how many records.
fn sample(topic: &str, log: &dyn StepLog) -> Result<(Inference, Inference, usize), String> {
    let info = log
        .topic(topic)
        .ok_or_else(|| format!("there is no topic \"{topic}\" to find the columns from"))?;
    let (mut values, mut keys) = (Inference::default(), Inference::default());
    let mut seen = 0;
    for index in 0..info.partitions {
        let partition = info.partition(index);
        let (start, end) = log.extent(partition);
        let mut next = start.max(end - SAMPLE_RECORDS);
        while next < end {
            let read = log
                .read_committed(partition, next, SAMPLE_BYTES, Visibility::Durable)
                .map_err(|error| error.to_string())?;
            for batch in &read.batches {
                for record in headwater_record::records(batch)
                    .map_err(|e| e.to_string())?
                    .flatten()
                {
                    seen += 1;
                    record.value.iter().for_each(|value| {
                        values.sample(value);
                    });
                    record.key.iter().for_each(|key| {
                        keys.sample(key);
                    });
                }
            }
            if read.next <= next {
                break;
            }
            next = read.next;
        }
    }
    Ok((values, keys, seen))
}
