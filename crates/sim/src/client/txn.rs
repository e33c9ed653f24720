//! A transactional producer, in both protocols: with AddPartitionsToTxn, and as KIP-890 has it (transactions v2).

use headwater_record::fuzz::Mutator;
use headwater_wire::ErrorCode;
use headwater_wire::messages as m;
use headwater_wire::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;

use super::conn::Conn;
use super::producer::{
    Identity, Outcome, PRODUCE_V1, PRODUCE_V2, Pen, is_retriable, note_ack, outcome, produce,
};
use super::{Field, pause};
use crate::history::{Event, Place, Source};

/// Tries after which a question is given up.
const TRIES: usize = 60;

/// How a step of a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The transaction has to be aborted.
    Abort,
    /// The writer is fenced, or nobody knows: a new one has to begin.
    Over,
}

/// One incarnation of a transactional id.
pub struct Writer {
    pub field: Field,
    pub conn: Conn,
    pub transactional_id: String,
    pub pen: Pen,
    pub rng: Mutator,
    /// Whether it speaks transactions v2.
    pub v2: bool,
    pub number: u64,
    /// Partitions of the transaction under way.
    added: Vec<Place>,
}

impl Writer {
    /// Gets its epoch, which fences older writers; `None` when nobody gives it one.
    pub async fn begin(
        field: &Field,
        transactional_id: &str,
        name: &str,
        seed: u64,
    ) -> Option<Self> {
        let mut rng = Mutator::new(seed);
        let mut conn = Conn::new(field.network.clone(), name);
        let v2 = rng.below(2) == 0;
        for _ in 0..TRIES {
            if field.has_ended() {
                return None;
            }
            let request = m::InitProducerIdRequestData {
                transactional_id: Some(transactional_id.to_owned().into()),
                transaction_timeout_ms: 2_000 + rng.below(20_000) as i32,
                producer_id: -1,
                producer_epoch: -1,
                ..Default::default()
            };
            let since = field.clock.elapsed_us();
            if let Ok(answer) = conn.call(4, &request).await
                && answer.error_code == 0
            {
                field.note(Event::Init {
                    writer: name.to_owned(),
                    transactional_id: transactional_id.to_owned(),
                    since,
                });
                let identity = Identity {
                    id: answer.producer_id,
                    epoch: answer.producer_epoch,
                };
                return Some(Self {
                    field: field.clone(),
                    conn,
                    transactional_id: transactional_id.to_owned(),
                    pen: Pen::new(name, identity, 0),
                    rng,
                    v2,
                    number: 0,
                    added: Vec::new(),
                });
            }
            pause(&mut rng, 300).await;
        }
        None
    }

    /// Begins the next transaction.
    pub fn next(&mut self) {
        self.number += 1;
        self.added.clear();
    }

    /// Whether anything is in the transaction.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty()
    }

    /// Adds records of one partition to the transaction and waits until they are durable.
    ///
    /// # Errors
    /// What is left to do.
    pub async fn write(&mut self, at: &Place, sources: &[Option<Source>]) -> Result<(), Trouble> {
        if !self.v2 && !self.added.contains(at) {
            self.add(at).await?;
        }
        if !self.added.contains(at) {
            self.added.push(at.clone());
        }
        let txn = Some(self.number);
        let batch = self.pen.batch(&self.field, at, txn, sources, &mut self.rng);
        let version = if self.v2 { PRODUCE_V2 } else { PRODUCE_V1 };
        for _ in 0..TRIES {
            let request = produce(&batch, Some(&self.transactional_id));
            match self
                .conn
                .call(version, &request)
                .await
                .map(|answer| outcome(&answer))
            {
                Ok(Outcome::Acked(base)) => {
                    note_ack(&self.field, &self.pen, &batch, base);
                    return Ok(());
                }
                Ok(Outcome::Refused(code)) => return Err(self.trouble(code)),
                Ok(Outcome::Again) | Err(_) => pause(&mut self.rng, 150).await,
            }
        }
        Err(Trouble::Over)
    }

    async fn add(&mut self, at: &Place) -> Result<(), Trouble> {
        let topic = AddPartitionsToTxnTopic {
            name: at.0.clone().into(),
            partitions: vec![at.1],
            ..Default::default()
        };
        let request = m::AddPartitionsToTxnRequestData {
            v3_and_below_transactional_id: self.transactional_id.clone().into(),
            v3_and_below_producer_id: self.pen.identity.id,
            v3_and_below_producer_epoch: self.pen.identity.epoch,
            v3_and_below_topics: vec![topic],
            ..Default::default()
        };
        for _ in 0..TRIES {
            if let Ok(answer) = self.conn.call(3, &request).await {
                let results = answer.results_by_topic_v3_and_below.first();
                let code = results
                    .and_then(|topic| topic.results_by_partition.first())
                    .map_or(-1, |one| one.partition_error_code);
                match code {
                    0 => return Ok(()),
                    code if is_retriable(code) => {}
                    code => return Err(self.trouble(code)),
                }
            }
            pause(&mut self.rng, 150).await;
        }
        Err(Trouble::Over)
    }

    /// What a refusal means.
    pub fn trouble(&self, code: i16) -> Trouble {
        let fenced = [
            ErrorCode::ProducerFenced,
            ErrorCode::InvalidProducerEpoch,
            ErrorCode::InvalidProducerIdMapping,
            ErrorCode::InvalidTxnState,
            ErrorCode::TransactionalIdNotFound,
        ];
        match fenced.iter().any(|error| error.code() == code) {
            true => Trouble::Over,
            false => Trouble::Abort,
        }
    }

    /// Ends the transaction and waits until that is durable.
    ///
    /// # Errors
    /// The writer is over; the outcome may be unknown.
    pub async fn end(&mut self, commit: bool) -> Result<(), Trouble> {
        let (writer, txn) = (self.pen.name.clone(), self.number);
        self.field.note(match commit {
            true => Event::Commit { writer, txn },
            false => Event::Abort { writer, txn },
        });
        if self.is_empty() {
            return Ok(());
        }
        let request = m::EndTxnRequestData {
            transactional_id: self.transactional_id.clone().into(),
            producer_id: self.pen.identity.id,
            producer_epoch: self.pen.identity.epoch,
            committed: commit,
            ..Default::default()
        };
        for _ in 0..TRIES {
            if let Ok(answer) = self.conn.call(if self.v2 { 5 } else { 3 }, &request).await {
                match answer.error_code {
                    0 => {
                        self.ended(commit, &answer);
                        return Ok(());
                    }
                    code if is_retriable(code) => {}
                    _ => return Err(Trouble::Over),
                }
            }
            pause(&mut self.rng, 150).await;
        }
        Err(Trouble::Over)
    }

    /// Goes on as if no newer writer had its epoch: whatever it writes must be refused.
    pub async fn haunt(&mut self, places: &[Place]) {
        let at = match self.added.is_empty() {
            true => places[self.rng.below(places.len())].clone(),
            false => self.added[self.rng.below(self.added.len())].clone(),
        };
        if self.rng.below(2) == 0 {
            self.pen.forget_sequences();
        }
        let txn = Some(self.number);
        let batch = self
            .pen
            .batch(&self.field, &at, txn, &[None], &mut self.rng);
        let version = if self.v2 { PRODUCE_V2 } else { PRODUCE_V1 };
        let request = produce(&batch, Some(&self.transactional_id));
        let answer = self.conn.call(version, &request).await;
        if let Ok(Outcome::Acked(_)) = answer.map(|answer| outcome(&answer)) {
            self.field.complain(format!(
                "{}: wrote to {at:?} after it was fenced",
                self.pen.name
            ));
        }
    }

    fn ended(&mut self, commit: bool, answer: &m::EndTxnResponseData) {
        if commit {
            self.field.note(Event::Committed {
                writer: self.pen.name.clone(),
                txn: self.number,
            });
        }
        if self.v2 && answer.producer_id >= 0 {
            self.pen.renew(Identity {
                id: answer.producer_id,
                epoch: answer.producer_epoch,
            });
        }
    }
}

/// Transactions under one transactional id until the field ends. Two of them fence each other.
pub async fn run(
    field: Field,
    transactional_id: String,
    stem: String,
    places: Vec<Place>,
    seed: u64,
) {
    let mut rng = Mutator::new(seed);
    let mut former: Option<Writer> = None;
    for life in 0.. {
        let name = format!("{stem}.{life}");
        let Some(mut writer) =
            Writer::begin(&field, &transactional_id, &name, rng.next_u64()).await
        else {
            if field.has_ended() {
                return;
            }
            continue;
        };
        if let Some(mut former) = former {
            former.haunt(&places).await;
        }
        while !field.has_ended() {
            if transaction(&mut writer, &places).await.is_err() || rng.below(30) == 0 {
                break;
            }
            pause(&mut rng, 50).await;
        }
        if field.has_ended() {
            return;
        }
        former = Some(writer);
        pause(&mut rng, 3_000).await;
    }
}

/// One transaction: committed mostly, aborted or left open sometimes.
async fn transaction(writer: &mut Writer, places: &[Place]) -> Result<(), Trouble> {
    writer.next();
    for _ in 0..1 + writer.rng.below(5) {
        let at = &places[writer.rng.below(places.len())];
        let sources = vec![None; 1 + writer.rng.below(3)];
        match writer.write(at, &sources).await {
            Ok(()) => {}
            Err(Trouble::Abort) => return writer.end(false).await,
            Err(Trouble::Over) => return Err(Trouble::Over),
        }
        if writer.rng.below(4) == 0 {
            pause(&mut writer.rng, 300).await;
        }
    }
    match writer.rng.below(12) {
        0..=1 => writer.end(false).await,
        // Left open: whoever comes next aborts it, or its time runs out.
        2 => Err(Trouble::Over),
        _ => writer.end(true).await,
    }
}
