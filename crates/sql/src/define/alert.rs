//! `CREATE ALERT`: a view and whom to tell.

use super::options::{ALERT, OptionReader};
use crate::ast::{Create, Query};
use crate::error::Result;
use crate::model::{AlertDef, Emit, ViewDef};

const SEVERITIES: [&str; 5] = ["warning", "info", "error", "critical", "page"];

pub(super) fn alert(
    create: &Create,
    query: &Query,
    emit: Emit,
    reader: &OptionReader<'_>,
) -> Result<AlertDef> {
    reader.check(&ALERT)?;
    let retention_ms = reader.duration_ms("retention")?;
    let ttl_ms = reader.duration_ms("ttl")?;
    let severity = reader.word("severity", &SEVERITIES)?.to_owned();
    let notify = list(reader.get("notify"));
    if let Some(wrong) = notify.iter().find(|target| !target.starts_with("webhook:")) {
        let error = reader.error("notify", format!("\"{wrong}\" is not a target of notify"));
        return Err(
            error.hint("write notify = 'webhook:${URL}'; the console shows every alert anyway")
        );
    }
    let name = create.name.text.clone();
    let view = ViewDef {
        name: name.clone(),
        query: query.source.text().to_owned(),
        materialized: true,
        emit,
        retention_ms,
        ttl_ms,
        options: reader.all(),
    };
    Ok(AlertDef {
        name,
        view,
        key: list(reader.get("key")),
        severity,
        notify,
        options: reader.all(),
    })
}

/// The parts of a list with commas.
pub(super) fn list(value: Option<&str>) -> Vec<String> {
    value
        .unwrap_or("")
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect()
}
