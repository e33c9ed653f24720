//! The way of one member towards its target: give up first, then take what is free.
//!
//! ```text
//!                   +---- nothing to give up, all free ----> Stable
//!  (new target) ----+---- nothing to give up, some held ---> UnreleasedPartitions --(they are free)--> Stable
//!                   +---- something to give up ------------> UnrevokedPartitions  --(it says so)--> as above, one epoch on
//! ```

use std::collections::BTreeSet;

use headwater_base::TopicId;

use super::member::{Member, MemberState, collect, contains, each};
use super::types::Partitions;

/// Moves the member as far as it can go. `held` is what any member holds, this one included.
pub(super) fn reconcile(
    member: &mut Member,
    target_epoch: i32,
    held: &BTreeSet<(TopicId, i32)>,
    owned: Option<&Partitions>,
) {
    if member.is_reconciled_to(target_epoch) {
        return;
    }
    let epoch = match member.state {
        MemberState::Stable | MemberState::UnreleasedPartitions => member.epoch,
        MemberState::UnrevokedPartitions if owns_any(owned, &member.revoking) => return,
        MemberState::UnrevokedPartitions => member.epoch + 1,
    };
    let released = std::mem::take(&mut member.revoking);
    let is_free = |place: (TopicId, i32)| !held.contains(&place) || contains(&released, place);
    let (keep, give_up): (Vec<_>, Vec<_>) =
        each(&member.assigned).partition(|place| contains(&member.target, *place));
    let (keep, give_up) = (collect(keep), collect(give_up));
    let (free, taken): (Vec<_>, Vec<_>) = each(&member.target)
        .filter(|place| !contains(&keep, *place))
        .partition(|place| is_free(*place));
    member.assigned = keep;
    if !give_up.is_empty() && owns_any(owned, &give_up) {
        member.move_to(epoch);
        member.state = MemberState::UnrevokedPartitions;
        member.revoking = give_up;
        return;
    }
    for (topic, index) in free {
        member.assigned.entry(topic).or_default().insert(index);
    }
    member.move_to(target_epoch);
    member.state = match taken.is_empty() {
        true => MemberState::Stable,
        false => MemberState::UnreleasedPartitions,
    };
}

/// Whether the member still has any of these; who does not say has.
fn owns_any(owned: Option<&Partitions>, of: &Partitions) -> bool {
    owned.is_none_or(|owned| each(of).any(|place| contains(owned, place)))
}
