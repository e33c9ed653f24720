//! What an answer to a Produce means for each of its batches.

use std::collections::HashMap;
use std::time::Instant;

use headwater_wire::ErrorCode;
use headwater_wire::messages::ProduceResponseData;

use super::Acks;
use super::accumulator::Taken;
use super::sender::{RETRY_PAUSE, Sender};
use crate::client::error::ClientError;

/// Error code and base offset by topic and partition.
type Answers = HashMap<(String, i32), (i16, i64)>;

/// What becomes of a batch.
enum Fate {
    Stored(i64),
    /// Again, with the same bytes.
    Again(ClientError),
    /// Again, under a new identity: the node does not know the old one's sequences any more.
    Anew(ClientError),
    Refused(ClientError),
}

impl Sender {
    pub(super) fn settle(
        &mut self,
        taken: Vec<Taken>,
        outcome: Result<ProduceResponseData, ClientError>,
    ) {
        let answers = outcome.map(|response| by_partition(&response));
        for one in taken {
            let fate = self.fate(&one, &answers);
            self.apply(one, fate);
        }
    }

    fn fate(&self, one: &Taken, answers: &Result<Answers, ClientError>) -> Fate {
        let answers = match answers {
            Ok(answers) => answers,
            Err(error) if error.is_retriable() => return Fate::Again(error.clone()),
            Err(error) => return Fate::Refused(error.clone()),
        };
        if self.shared.config.acks == Acks::None {
            return Fate::Stored(-1);
        }
        let partition = one.place.1 as i32;
        let what = || format!("{}/{partition}", one.topic);
        let Some(&(code, base_offset)) = answers.get(&(one.topic.to_string(), partition)) else {
            return Fate::Refused(ClientError::broker(
                what(),
                ErrorCode::UnknownServerError.code(),
                Some("no answer for this partition"),
            ));
        };
        let error = ClientError::broker(what(), code, None);
        let recovering = self
            .shared
            .lock()
            .queue(one.place)
            .is_some_and(|queue| queue.is_recovering());
        match ErrorCode::from(code) {
            ErrorCode::None => Fate::Stored(base_offset),
            ErrorCode::DuplicateSequenceNumber => Fate::Stored(-1),
            // Behind one that failed: it is that one's gap.
            ErrorCode::OutOfOrderSequenceNumber if recovering => Fate::Again(error),
            ErrorCode::OutOfOrderSequenceNumber
            | ErrorCode::UnknownProducerId
            | ErrorCode::InvalidProducerEpoch => Fate::Anew(error),
            known if known.is_retriable() => Fate::Again(error),
            _ => Fate::Refused(error),
        }
    }

    fn apply(&mut self, one: Taken, fate: Fate) {
        let now = Instant::now();
        let late = now.duration_since(one.batch.opened) > self.shared.config.delivery_timeout;
        let (outcome, anew) = match fate {
            Fate::Stored(base_offset) => (Some(Ok(base_offset)), false),
            Fate::Again(error) | Fate::Anew(error) if late => {
                self.last_error = error.to_string();
                (Some(Err(self.not_delivered())), true)
            }
            Fate::Again(error) => {
                self.last_error = error.to_string();
                // Perhaps another node leads now, or the node is at another address.
                self.refresh_at = self.refresh_at.min(now);
                (None, false)
            }
            Fate::Anew(error) => {
                self.last_error = error.to_string();
                (None, true)
            }
            Fate::Refused(error) => (Some(Err(error)), true),
        };
        let mut accumulator = self.shared.lock();
        let Some(queue) = accumulator.queue(one.place) else {
            return;
        };
        queue.settled();
        if anew {
            queue.reset();
        }
        match outcome {
            Some(outcome) => {
                accumulator.finish(&one.batch.slot, one.batch.bytes, one.batch.records, outcome)
            }
            None => queue.put_back(one.batch, now + RETRY_PAUSE),
        }
        accumulator.list(one.place);
    }
}

fn by_partition(response: &ProduceResponseData) -> Answers {
    let mut answers = HashMap::new();
    for topic in &response.responses {
        for partition in &topic.partition_responses {
            let place = (topic.name.as_str().to_owned(), partition.index);
            answers.insert(place, (partition.error_code, partition.base_offset));
        }
    }
    answers
}
