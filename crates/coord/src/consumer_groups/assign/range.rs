//! `range`: of each topic every subscriber gets one run of partitions, so that equal partitions of topics meet at one member.

use std::collections::BTreeMap;

use headwater_base::TopicId;

use super::{Candidates, Plan, Sizes};

pub(in super::super) fn range(members: &Candidates, sizes: &Sizes) -> Plan {
    let mut order: Vec<&String> = members.keys().collect();
    // Static members first and by their instance, so that a restart of one moves nothing.
    order.sort_by_key(|id| {
        let instance = members[*id].instance_id.as_ref();
        (instance.is_none(), instance, *id)
    });
    let mut subscribers: BTreeMap<TopicId, Vec<&String>> = BTreeMap::new();
    for id in &order {
        for topic in &members[*id].topics {
            subscribers.entry(*topic).or_default().push(id);
        }
    }
    let mut plan: Plan = members
        .keys()
        .map(|id| (id.clone(), Default::default()))
        .collect();
    for (topic, ids) in subscribers {
        let size = sizes.get(&topic).copied().unwrap_or(0);
        let count = i32::try_from(ids.len()).unwrap_or(i32::MAX);
        let (each, extra) = (size / count, size % count);
        let mut next = 0;
        for (position, id) in (0..).zip(ids) {
            let end = next + each + i32::from(position < extra);
            if next < end
                && let Some(share) = plan.get_mut(id)
            {
                share.insert(topic, (next..end).collect());
            }
            next = end;
        }
    }
    plan
}
