//! A view's changes as events for a page: gathered for a moment, bounded, and cut short when there are more than a
//! person could see.
//!
//! It pulls, so a page that does not read leaves the rest with the node, which ends the stream when its buffer is full.

use std::future::Future;
use std::pin::Pin;

use axum::response::sse::Event;
use futures::StreamExt;
use futures::stream::{self, Stream};
use serde::Serialize;
use tokio::time::Instant;

use crate::control::ChangeStream;
use crate::dto::ChangeBatch;
use crate::limits::{CHANGES_PAUSE, CHANGES_PER_EVENT_MAX};

/// What the page is told, in the name of the event.
#[derive(Debug, PartialEq)]
enum Said {
    /// `ready`: changes from here on will be told; read the rows now.
    Ready,
    /// `changes`: apply them to rows of an earlier commit.
    Changes(ChangeBatch),
    /// `reload`: there were too many, read the rows again.
    Reload(Skipped),
    /// `end`: nothing more comes; read the rows and subscribe again.
    End,
}

#[derive(Debug, Default, PartialEq, Serialize)]
struct Skipped {
    commit: u64,
    changes: u64,
}

enum State {
    Starting(ChangeStream),
    Following(ChangeStream),
    Over,
}

pub(crate) fn events(changes: ChangeStream) -> impl Stream<Item = Event> + Send {
    told(changes).map(|said| event(&said))
}

fn told(changes: ChangeStream) -> impl Stream<Item = Said> + Send {
    stream::unfold(
        State::Starting(changes),
        |state| -> Pin<Box<dyn Future<Output = _> + Send>> {
            Box::pin(async move {
                match state {
                    State::Starting(changes) => Some((Said::Ready, State::Following(changes))),
                    State::Following(mut changes) => match gather(&mut changes).await {
                        Some(said) => Some((said, State::Following(changes))),
                        None => Some((Said::End, State::Over)),
                    },
                    State::Over => None,
                }
            })
        },
    )
}

/// Waits for a change, then takes what follows within a moment.
async fn gather(changes: &mut ChangeStream) -> Option<Said> {
    let mut batch = changes.next().await?;
    let mut count = batch.changes.len() as u64 + batch.left_out;
    let mut left_out = batch.left_out > 0;
    let until = Instant::now() + CHANGES_PAUSE;
    while let Ok(Some(next)) = tokio::time::timeout_at(until, changes.next()).await {
        batch.commit = next.commit;
        count += next.changes.len() as u64 + next.left_out;
        left_out |= next.left_out > 0;
        // Past the limit only the count matters, so that memory does not grow with it.
        if count as usize <= CHANGES_PER_EVENT_MAX {
            batch.changes.extend(next.changes);
        }
    }
    tokio::time::sleep_until(until).await;
    match left_out || count as usize > CHANGES_PER_EVENT_MAX {
        true => Some(Said::Reload(Skipped {
            commit: batch.commit,
            changes: count,
        })),
        false => Some(Said::Changes(batch)),
    }
}

fn event(said: &Said) -> Event {
    let made = match said {
        Said::Ready => Event::default().event("ready").json_data(()),
        Said::Changes(batch) => Event::default().event("changes").json_data(batch),
        Said::Reload(skipped) => Event::default().event("reload").json_data(skipped),
        Said::End => Event::default().event("end").json_data(()),
    };
    // Values are JSON already; should one not serialize, the page starts over.
    made.unwrap_or_else(|_| Event::default().event("end").data("null"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dto::{ChangeOp, RowChange};

    fn batch(commit: u64, changes: usize) -> ChangeBatch {
        let change = RowChange {
            op: ChangeOp::Insert,
            row: vec![commit.into()],
        };
        ChangeBatch {
            commit,
            changes: vec![change; changes],
            left_out: 0,
        }
    }

    async fn all(batches: Vec<ChangeBatch>) -> Vec<Said> {
        told(Box::pin(stream::iter(batches))).collect().await
    }

    #[tokio::test]
    async fn changes_of_a_moment_are_one_event() {
        let said = all(vec![batch(3, 1), batch(4, 2)]).await;
        let mut together = batch(3, 1);
        together.changes.extend(batch(4, 2).changes);
        together.commit = 4;
        assert_eq!(said, [Said::Ready, Said::Changes(together), Said::End]);
    }

    #[tokio::test]
    async fn too_many_changes_make_the_page_read_again() {
        let said = all(vec![
            batch(1, CHANGES_PER_EVENT_MAX),
            batch(2, 1),
            batch(3, 1),
        ])
        .await;
        let skipped = Skipped {
            commit: 3,
            changes: CHANGES_PER_EVENT_MAX as u64 + 2,
        };
        assert_eq!(said, [Said::Ready, Said::Reload(skipped), Said::End]);
    }
}
