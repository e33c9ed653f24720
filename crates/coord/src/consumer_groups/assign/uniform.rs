//! `uniform`: as even as subscriptions allow, moving as few partitions as that takes.

use std::collections::{BTreeMap, BTreeSet};

use headwater_base::TopicId;

use super::super::member::{collect, contains, each};
use super::{Candidates, Plan, Sizes};

pub(in super::super) fn uniform(members: &Candidates, sizes: &Sizes) -> Plan {
    let mut subscriptions = members.values().map(|member| &member.topics);
    let first = subscriptions.next();
    match first.is_some_and(|first| subscriptions.all(|other| other == first)) {
        true => even(members, sizes),
        false => uneven(members, sizes),
    }
}

/// All subscribe to the same: everybody gets the same number, or one more.
fn even(members: &Candidates, sizes: &Sizes) -> Plan {
    let mut left = all_partitions(members, sizes);
    let count = members.len().max(1);
    let (quota, extra) = (left.len() / count, left.len() % count);
    let mut extra_left = extra;
    let mut kept: BTreeMap<&String, Vec<(TopicId, i32)>> = BTreeMap::new();
    // Who has most keeps most: the larger shares go to those who lose least by it.
    let mut order: Vec<&String> = members.keys().collect();
    order.sort_by_key(|id| std::cmp::Reverse(each(&members[*id].before).count()));
    for id in &order {
        let mut mine: Vec<_> = each(&members[*id].before)
            .filter(|place| left.contains(place))
            .collect();
        let most = quota + usize::from(extra_left > 0);
        mine.truncate(most);
        if mine.len() > quota {
            extra_left -= 1;
        }
        mine.iter().for_each(|place| {
            left.remove(place);
        });
        kept.insert(*id, mine);
    }
    let mut rest = left.into_iter();
    let mut plan = Plan::new();
    for id in members.keys() {
        let mut mine = kept.remove(id).unwrap_or_default();
        while mine.len() < quota {
            let Some(place) = rest.next() else { break };
            mine.push(place);
        }
        if mine.len() == quota
            && extra_left > 0
            && let Some(place) = rest.next()
        {
            extra_left -= 1;
            mine.push(place);
        }
        plan.insert(id.clone(), collect(mine));
    }
    plan
}

/// Subscriptions differ: keep what may be kept, give the rest to the least loaded, then even out what can be.
fn uneven(members: &Candidates, sizes: &Sizes) -> Plan {
    let mut left = all_partitions(members, sizes);
    let mut plan = Plan::new();
    let mut loads: BTreeMap<&String, usize> = BTreeMap::new();
    for (id, member) in members {
        let mine: Vec<_> = each(&member.before)
            .filter(|(topic, _)| member.topics.contains(topic))
            .filter(|place| left.remove(place))
            .collect();
        loads.insert(id, mine.len());
        plan.insert(id.clone(), collect(mine));
    }
    let mut subscribers: BTreeMap<TopicId, Vec<&String>> = BTreeMap::new();
    for (id, member) in members {
        for topic in &member.topics {
            subscribers.entry(*topic).or_default().push(id);
        }
    }
    for (topic, index) in left {
        let least = subscribers[&topic].iter().min_by_key(|id| loads[**id]);
        if let Some(id) = least {
            *loads.entry(id).or_default() += 1;
            let share = plan.entry((*id).clone()).or_default();
            share.entry(topic).or_default().insert(index);
        }
    }
    // Each move makes the sum of squared loads smaller, so that this ends.
    while subscribers
        .iter()
        .any(|(topic, ids)| level(*topic, ids, &mut loads, &mut plan))
    {}
    plan
}

/// Moves one partition of a topic from its most to its least loaded subscriber if that evens them out.
fn level<'a>(
    topic: TopicId,
    ids: &[&'a String],
    loads: &mut BTreeMap<&'a String, usize>,
    plan: &mut Plan,
) -> bool {
    let owns = |id: &&&String| {
        plan.get(**id)
            .is_some_and(|share| share.contains_key(&topic))
    };
    let Some(most) = ids.iter().filter(owns).max_by_key(|id| loads[**id]) else {
        return false;
    };
    let Some(least) = ids.iter().min_by_key(|id| loads[**id]) else {
        return false;
    };
    if loads[*most] <= loads[*least] + 1 {
        return false;
    }
    let taken = plan.get_mut(*most).and_then(|share| {
        let indexes = share.get_mut(&topic)?;
        let index = indexes.pop_last()?;
        if indexes.is_empty() {
            share.remove(&topic);
        }
        Some(index)
    });
    let Some(index) = taken else { return false };
    *loads.entry(most).or_default() -= 1;
    *loads.entry(least).or_default() += 1;
    let share = plan.entry((*least).clone()).or_default();
    debug_assert!(!contains(share, (topic, index)));
    share.entry(topic).or_default().insert(index);
    true
}

/// Every partition that anybody subscribes to.
fn all_partitions(members: &Candidates, sizes: &Sizes) -> BTreeSet<(TopicId, i32)> {
    let topics: BTreeSet<TopicId> = members
        .values()
        .flat_map(|member| member.topics.iter().copied())
        .collect();
    topics
        .into_iter()
        .flat_map(|topic| (0..sizes.get(&topic).copied().unwrap_or(0)).map(move |i| (topic, i)))
        .collect()
}
