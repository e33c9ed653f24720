//! A parsed `CREATE` to a definition: names resolved, types and options checked, and the text under which it is kept.

mod alert;
mod formats;
mod input;
mod options;

use crate::ast::{Create, CreateBody, ObjectKind, Query, Statement, StatementKind};
use crate::error::{Result, SqlError};
use crate::model::{Definition, SinkDef, ViewDef};
use crate::session::Session;
use crate::source::{Position, Source};
use options::{Known, OptionReader};
pub use options::{parse_duration_ms, variables};

/// What a `CREATE` statement defines.
#[derive(Clone, Debug)]
pub struct Defined {
    pub definition: Definition,
    /// The statement as it is kept and shown: as written, but without `OR REPLACE` and `IF NOT EXISTS`. Reads back as the same
    /// definition; `${VAR}` stays as it is.
    pub text: String,
    pub or_replace: bool,
    pub if_not_exists: bool,
    /// Names of the environment variables that its options use.
    pub variables: Vec<String>,
    /// The query of a view or alert, at its place in the file.
    pub query: Option<Query>,
    pub places: Places,
}

/// Where what can only be checked against other objects stands in the file.
#[derive(Clone, Debug)]
pub struct Places {
    source: Source,
    name: Position,
    options: Vec<(String, Position)>,
}

impl Places {
    fn of(statement: &Statement, create: &Create) -> Self {
        let options = create.options.iter();
        Self {
            source: statement.source.clone(),
            name: create.name.at,
            options: options.map(|o| (o.name.text.clone(), o.value_at)).collect(),
        }
    }

    /// An error at the value of an option; at the object's name if the option is not given.
    pub fn error(&self, option: &str, message: impl Into<String>) -> SqlError {
        let given = self.options.iter().find(|(name, _)| name == option);
        let at = given.map_or(self.name, |(_, at)| *at);
        self.source.error(at, message)
    }
}

impl Defined {
    /// The kind as `DROP` and `SHOW` name it.
    pub fn kind(&self) -> ObjectKind {
        kind_of(&self.definition)
    }
}

pub fn kind_of(definition: &Definition) -> ObjectKind {
    match definition {
        Definition::Source(_) => ObjectKind::Source,
        Definition::Table(_) => ObjectKind::Table,
        Definition::View(view) if view.materialized => ObjectKind::MaterializedView,
        Definition::View(_) => ObjectKind::View,
        Definition::Sink(_) => ObjectKind::Sink,
        Definition::Alert(_) => ObjectKind::Alert,
    }
}

/// The definition that a `CREATE` statement makes; `None` for other statements. Queries of views are not planned yet.
///
/// # Errors
/// Whatever is wrong in it, with its place.
pub fn define(statement: &Statement) -> Result<Option<Defined>> {
    let StatementKind::Create(create) = &statement.kind else {
        return Ok(None);
    };
    let session = Session::new();
    let reader = OptionReader::new(&statement.source, &create.options);
    reader.refuse_stray_variables(statement)?;
    let name = create.name.text.clone();
    let definition = match &create.body {
        CreateBody::Source(columns) => Definition::Source(input::source(
            &session, statement, create, columns, &reader,
        )?),
        CreateBody::Table(columns) => {
            Definition::Table(input::table(&session, statement, create, columns, &reader)?)
        }
        CreateBody::View {
            query,
            materialized,
            emit,
        } => {
            let known: &[Known] = if *materialized { &options::VIEW } else { &[] };
            let retention_ms = reader.check(known)?.duration_ms("retention")?;
            let ttl_ms = reader.duration_ms("ttl")?;
            let query = query.source.text().to_owned();
            Definition::View(ViewDef {
                name,
                query,
                materialized: *materialized,
                emit: *emit,
                retention_ms,
                ttl_ms,
                options: reader.all(),
            })
        }
        CreateBody::Sink { connector, from } => {
            reader.check(options::sink(&connector.text))?;
            reader.check_sink(&create.name, &connector.text)?;
            Definition::Sink(SinkDef {
                name,
                connector: connector.text.clone(),
                from: from.text.clone(),
                options: reader.all(),
            })
        }
        CreateBody::Alert { query, emit } => {
            Definition::Alert(alert::alert(create, query, *emit, &reader)?)
        }
    };
    Ok(Some(Defined {
        definition,
        text: canonical_text(statement, create),
        or_replace: create.or_replace,
        if_not_exists: create.if_not_exists,
        variables: reader.variables(),
        query: query_of(create),
        places: Places::of(statement, create),
    }))
}

fn query_of(create: &Create) -> Option<Query> {
    match &create.body {
        CreateBody::View { query, .. } | CreateBody::Alert { query, .. } => Some(query.clone()),
        _ => None,
    }
}

/// `CREATE kind ` and then the statement from its name on, as written.
fn canonical_text(statement: &Statement, create: &Create) -> String {
    let kind = match &create.body {
        CreateBody::Source(_) => ObjectKind::Source,
        CreateBody::Table(_) => ObjectKind::Table,
        CreateBody::View {
            materialized: true, ..
        } => ObjectKind::MaterializedView,
        CreateBody::View { .. } => ObjectKind::View,
        CreateBody::Sink { .. } => ObjectKind::Sink,
        CreateBody::Alert { .. } => ObjectKind::Alert,
    };
    let rest = statement.source.offset_of(create.name.at);
    format!(
        "CREATE {} {}",
        kind.word().to_uppercase(),
        statement.source.text().get(rest..).unwrap_or("").trim()
    )
}
