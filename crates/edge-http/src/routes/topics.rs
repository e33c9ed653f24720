//! Topics, their newest records, groups.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use serde::Deserialize;

use crate::dto::{Group, RecordsQuery, Topic, TopicDetail, TopicRecord};
use crate::limits::RECORDS_MAX;
use crate::reply::{Fresh, Reply};
use crate::serve::App;

const RECORDS_DEFAULT: usize = 50;

pub(super) async fn topics(State(app): State<App>) -> Reply<Vec<Topic>> {
    let mut topics = app.control.topics().await?;
    topics.iter_mut().for_each(|topic| app.rates.topic(topic));
    Ok(Fresh(topics))
}

pub(super) async fn topic(State(app): State<App>, Path(name): Path<String>) -> Reply<TopicDetail> {
    let mut detail = app.control.topic(name).await?;
    app.rates.topic(&mut detail.topic);
    Ok(Fresh(detail))
}

#[derive(Deserialize)]
pub(super) struct RecordsParams {
    limit: Option<usize>,
    partition: Option<i32>,
}

pub(super) async fn records(
    State(app): State<App>,
    Path(topic): Path<String>,
    params: Result<Query<RecordsParams>, QueryRejection>,
) -> Reply<Vec<TopicRecord>> {
    let Query(params) = params?;
    let limit = params
        .limit
        .unwrap_or(RECORDS_DEFAULT)
        .clamp(1, RECORDS_MAX);
    let query = RecordsQuery {
        limit,
        partition: params.partition,
    };
    app.control.records(topic, query).await.map(Fresh)
}

pub(super) async fn groups(State(app): State<App>) -> Reply<Vec<Group>> {
    app.control.groups().await.map(Fresh)
}
