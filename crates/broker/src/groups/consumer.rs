//! ConsumerGroupHeartbeat (KIP-848), with the turning of a classic group into one of the consumer protocol.

use std::sync::Arc;

use headwater_coord::consumer_groups::{Beat, ConsumerError, ConsumerGroup, Heartbeat, JOINING};
use headwater_coord::groups::group_id_ok;

use super::Groups;
use super::hosted::{Kind, Shared};
use super::journal::Written;
use super::topics::MaySee;
use crate::Broker;

/// Why a heartbeat is refused.
pub type ConsumerRefusal = ConsumerError;

impl Broker {
    /// Applies a heartbeat; answers when what it changed is durable. `may_see` says which topics the client may know of.
    ///
    /// # Errors
    /// What the group says.
    pub async fn consumer_heartbeat(
        &self,
        id: &str,
        beat: Heartbeat,
        may_see: impl Fn(&str) -> bool + Send,
    ) -> Result<Beat, ConsumerRefusal> {
        beat.check(id)?;
        if !group_id_ok(id) {
            return Err(ConsumerError::InvalidRequest("GroupId is too long.".into()));
        }
        let hosted = match (self.groups.find(id), beat.epoch) {
            (Some(hosted), _) => hosted,
            (None, JOINING) => self.groups.find_or_make(id, Groups::new_consumer),
            (None, _) => return Err(ConsumerError::GroupNotFound(id.to_owned())),
        };
        let outcome = self.groups.beat(&hosted, &beat, may_see);
        if outcome.is_err() {
            self.groups.tidy(id);
        }
        let (answer, written) = outcome?;
        match written {
            Some(written) => match written.await {
                Ok(()) => Ok(answer),
                Err(_) => Err(ConsumerError::NotNow),
            },
            None => Ok(answer),
        }
    }
}

impl Groups {
    fn beat<M: MaySee>(
        self: &Arc<Self>,
        hosted: &Shared,
        beat: &Heartbeat,
        may_see: M,
    ) -> Result<(Beat, Option<Written>), ConsumerError> {
        let mut guard = hosted.lock();
        let id = guard.id.clone();
        if guard.gone {
            return Err(ConsumerError::NotNow);
        }
        let view = self.topics(may_see);
        let context = view.context(self.limits_of(&id), self.world.now_ms());
        let answer = match &mut guard.kind {
            Kind::Consumer(group) => group.heartbeat(beat, &context)?,
            Kind::Classic(_) if beat.epoch != JOINING => {
                return Err(ConsumerError::NotConsumerGroup(id));
            }
            Kind::Classic(group) => {
                let vacant = group.saved().members.is_empty();
                let mut next = match vacant {
                    true => ConsumerGroup::new(),
                    false => ConsumerGroup::from_classic(group, &context)
                        .ok_or(ConsumerError::NotConsumerGroup(id))?,
                };
                let answer = next.heartbeat(beat, &context)?;
                let dismissed = group.dismiss();
                guard.tell(dismissed, &Ok(None));
                guard.become_kind(Kind::Consumer(next));
                answer
            }
        };
        guard.downgrade(self, true);
        let written = guard.save(self).map_err(|_| ConsumerError::NotNow);
        self.set_timer(hosted, &mut guard);
        Ok((answer, written?))
    }
}
