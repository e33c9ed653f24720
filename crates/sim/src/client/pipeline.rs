//! A pipeline, as the node sees one: it reads a partition, and after a crash it reads again what came since its last snapshot.
//! Whatever retention and deletions would like to have, that is still there.

use headwater_record::fuzz::Mutator;
use headwater_wire::ErrorCode;

use super::conn::Conn;
use super::reader::{fetch, note};
use super::{Field, pause};
use crate::history::{Isolation, Place};
use crate::node::Node;

/// Reads until the field ends. The partition must be kept from its first record on.
pub async fn run(field: Field, node: Node, name: String, at: Place, seed: u64) {
    let mut rng = Mutator::new(seed);
    let mut conn = Conn::new(field.network.clone(), &name);
    let (mut snapshot, mut position) = (0, 0);
    while !field.has_ended() {
        let since = field.clock.elapsed_us();
        let isolation = Isolation::Uncommitted;
        let asked = [(at.clone(), position)];
        let answer = fetch(&mut conn, &asked, isolation, 6_000, 50).await;
        match answer.map(|mut all| all.pop()) {
            Ok(Some((_, from, Ok(fetched)))) => {
                note(&field, &name, since, isolation, &at, from, &fetched);
                position = fetched.next;
            }
            Ok(Some((_, _, Err(code)))) if code == ErrorCode::OffsetOutOfRange.code() => {
                let what = format!("{name}: {at:?} is kept from {snapshot} on, {position} is gone");
                return field.complain(what);
            }
            _ => {}
        }
        match rng.below(12) {
            // A snapshot: what came before will not be read again.
            0 => {
                snapshot = position;
                node.keep(&at, snapshot);
            }
            // A crash.
            1 => position = snapshot,
            _ => {}
        }
        pause(&mut rng, 200).await;
    }
}
