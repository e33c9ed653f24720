//! Consume-transform-produce: what a group reads from one topic is written to another, once, with its position in the same
//! transaction.

use headwater_record::fuzz::Mutator;
use headwater_wire::messages as m;
use headwater_wire::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};

use super::group::{Member, Out};
use super::producer::is_retriable;
use super::reader::{fetch, note};
use super::txn::{Trouble, Writer};
use super::{Field, pause};
use crate::history::{Isolation, Place, Source};

/// Tries after which a question is given up.
const TRIES: usize = 40;

/// Copies until the field ends.
pub async fn run(
    field: Field,
    group: String,
    name: String,
    inputs: Vec<Place>,
    outputs: Vec<Place>,
    seed: u64,
) {
    let mut rng = Mutator::new(seed);
    let mut member = Member::new(&field, &group, &name, inputs, rng.next_u64());
    for life in 0.. {
        let incarnation = format!("{name}.{life}");
        let Some(mut writer) = Writer::begin(&field, &name, &incarnation, rng.next_u64()).await
        else {
            if field.has_ended() {
                return;
            }
            continue;
        };
        while copy(&mut member, &mut writer, &name, &outputs).await != Err(Trouble::Over) {
            if field.has_ended() {
                return;
            }
            pause(&mut rng, 200).await;
        }
    }
}

/// Copies until a rebalance, or until the writer is over.
async fn copy(
    member: &mut Member,
    writer: &mut Writer,
    name: &str,
    outputs: &[Place],
) -> Result<(), Trouble> {
    let Ok(mine) = member.join().await else {
        return Ok(());
    };
    let Ok(mut positions) = member.positions(&mine).await else {
        return Ok(());
    };
    positions
        .iter_mut()
        .for_each(|position| position.1 = position.1.max(0));
    let field = member.field.clone();
    while !field.has_ended() {
        if member.rng.below(4) == 0 && member.heartbeat().await.is_err() {
            return Ok(());
        }
        pause(&mut member.rng, 100).await;
        if positions.is_empty() {
            continue;
        }
        let turn = member.rng.below(positions.len());
        let one = positions[turn].clone();
        let Ok(Some(next)) = copy_some(member, writer, name, one, outputs).await? else {
            return Ok(());
        };
        positions[turn].1 = next;
    }
    Ok(())
}

/// One transaction; gives the position after it. `None`: the positions have to be asked for again.
async fn copy_some(
    member: &mut Member,
    writer: &mut Writer,
    name: &str,
    (at, from): (Place, i64),
    outputs: &[Place],
) -> Result<Result<Option<i64>, Out>, Trouble> {
    let field = member.field.clone();
    let since = field.clock.elapsed_us();
    let max_bytes = 200 + member.rng.below(2_000) as i32;
    let answer = fetch(
        &mut member.conn,
        &[(at.clone(), from)],
        Isolation::Committed,
        max_bytes,
        50,
    )
    .await;
    let Ok(Some((_, _, Ok(fetched)))) = answer.map(|mut all| all.pop()) else {
        return Ok(Err(Out));
    };
    note(
        &field,
        name,
        since,
        Isolation::Committed,
        &at,
        from,
        &fetched,
    );
    if fetched.records.is_empty() {
        return Ok(Ok(Some(fetched.next)));
    }
    writer.next();
    let sources: Vec<Option<Source>> = fetched
        .records
        .iter()
        .map(|got| {
            Some(Source {
                group: member.group.clone(),
                at: at.clone(),
                offset: got.offset,
            })
        })
        .collect();
    let output = &outputs[member.rng.below(outputs.len())];
    let mut done = writer.write(output, &sources).await;
    if done.is_ok() {
        done = send_offset(member, writer, &at, fetched.next).await;
    }
    match done {
        Ok(()) => {
            writer.end(true).await?;
            Ok(Ok(Some(fetched.next)))
        }
        Err(Trouble::Abort) => {
            writer.end(false).await?;
            Ok(Ok(None))
        }
        Err(Trouble::Over) => Err(Trouble::Over),
    }
}

/// Puts the position into the transaction.
async fn send_offset(
    member: &Member,
    writer: &mut Writer,
    at: &Place,
    offset: i64,
) -> Result<(), Trouble> {
    if !writer.v2 {
        add_offsets(member, writer).await?;
    }
    let partition = TxnOffsetCommitRequestPartition {
        partition_index: at.1,
        committed_offset: offset,
        ..Default::default()
    };
    let topic = TxnOffsetCommitRequestTopic {
        name: at.0.clone().into(),
        partitions: vec![partition],
        ..Default::default()
    };
    let request = m::TxnOffsetCommitRequestData {
        transactional_id: writer.transactional_id.clone().into(),
        group_id: member.group.clone().into(),
        producer_id: writer.pen.identity.id,
        producer_epoch: writer.pen.identity.epoch,
        generation_id: member.generation,
        member_id: member.id.clone().into(),
        topics: vec![topic],
        ..Default::default()
    };
    let version = if writer.v2 { 5 } else { 3 };
    for _ in 0..TRIES {
        if let Ok(answer) = writer.conn.call(version, &request).await {
            let topic = answer.topics.first();
            let code = topic
                .and_then(|topic| topic.partitions.first())
                .map_or(-1, |one| one.error_code);
            match code {
                0 => return Ok(()),
                code if is_retriable(code) => {}
                code => return Err(writer.trouble(code)),
            }
        }
        pause(&mut writer.rng, 150).await;
    }
    Err(Trouble::Over)
}

async fn add_offsets(member: &Member, writer: &mut Writer) -> Result<(), Trouble> {
    let request = m::AddOffsetsToTxnRequestData {
        transactional_id: writer.transactional_id.clone().into(),
        producer_id: writer.pen.identity.id,
        producer_epoch: writer.pen.identity.epoch,
        group_id: member.group.clone().into(),
        ..Default::default()
    };
    for _ in 0..TRIES {
        match writer
            .conn
            .call(3, &request)
            .await
            .map(|answer| answer.error_code)
        {
            Ok(0) => return Ok(()),
            Ok(code) if !is_retriable(code) => return Err(writer.trouble(code)),
            _ => pause(&mut writer.rng, 150).await,
        }
    }
    Err(Trouble::Over)
}
