//! What must be refused: batches of an epoch that is over, or with a gap before them. They are never noted as sent, so that
//! whoever reads one of them finds a record that nobody sent.

use headwater_record::fuzz::Mutator;
use headwater_record::{BatchBuilder, Codec};
use headwater_wire::ErrorCode;

use super::Field;
use super::conn::Conn;
use super::producer::{Batch, Identity, Outcome, PRODUCE_V1, Pen, is_retriable, outcome, produce};
use crate::history::Place;

/// How often a producer with nothing in flight dares something: once in so many times.
const RARELY: usize = 25;

/// With nothing in flight: now and then a new epoch, or a batch that must be refused.
pub async fn dare(field: &Field, conn: &mut Conn, pen: &mut Pen, at: &Place, rng: &mut Mutator) {
    // Only where a batch of this epoch is durable it is certain what the node has to know.
    let Some(next) = pen.expected(at) else {
        return;
    };
    let Identity { id, epoch } = pen.identity;
    match rng.below(RARELY) {
        // As idempotent producers do it by themselves (KIP-360).
        0 if epoch < i16::MAX => pen.renew(Identity {
            id,
            epoch: epoch + 1,
        }),
        1 | 2 if epoch > 0 => {
            let old = Identity {
                id,
                epoch: epoch - 1,
            };
            // The sequence fits: nothing but the epoch is wrong.
            let wanted = ErrorCode::InvalidProducerEpoch;
            probe(field, conn, &pen.name, old, at, next, wanted).await;
        }
        3 => {
            let beyond = next.wrapping_add(1 + rng.below(3) as i32);
            let wanted = ErrorCode::OutOfOrderSequenceNumber;
            probe(field, conn, &pen.name, pen.identity, at, beyond, wanted).await;
        }
        _ => {}
    }
}

/// Sends one record that must be refused in this way.
async fn probe(
    field: &Field,
    conn: &mut Conn,
    name: &str,
    by: Identity,
    at: &Place,
    sequence: i32,
    wanted: ErrorCode,
) {
    let mut builder = BatchBuilder::new(Codec::None).producer(by.id, by.epoch, sequence);
    let value = format!("{name}.refused/{sequence}/{}", by.epoch);
    builder.push(
        field.clock.true_ms(),
        Some(b"refused"),
        Some(value.as_bytes()),
    );
    let batch = Batch {
        at: at.clone(),
        numbers: Vec::new(),
        bytes: builder.build(),
    };
    let answer = conn.call(PRODUCE_V1, &produce(&batch, None)).await;
    let Ok(answer) = answer else {
        return;
    };
    let told = match outcome(&answer) {
        Outcome::Again => return,
        Outcome::Refused(code) if code == wanted.code() => return,
        Outcome::Refused(code) => format!("was refused with {code}"),
        Outcome::Acked(_) => "was taken".to_owned(),
    };
    field.complain(format!(
        "{name}: a batch in {at:?} that must be refused as {wanted:?} (epoch {}, sequence {sequence}) {told}",
        by.epoch
    ));
}

/// Complains of an answer to a commit of somebody who has been replaced, unless it says so.
pub fn expect_refusal(field: &Field, who: &str, code: i16, wanted: &[ErrorCode]) {
    if !is_retriable(code) && !wanted.iter().any(|error| error.code() == code) {
        field.complain(format!(
            "{who}: its commit must be refused and was answered with {code}"
        ));
    }
}
