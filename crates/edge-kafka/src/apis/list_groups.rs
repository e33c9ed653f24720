//! ListGroups, v0-5.
//!
//! v3 is flexible; v4 adds states and a filter by them (KIP-518); v5 types (KIP-848).

use headwater_broker::GroupListing;
use headwater_wire::messages::list_groups_response::ListedGroup;
use headwater_wire::messages::{ListGroupsRequestData, ListGroupsResponseData};
use headwater_wire::{KafkaString, Versions};

use crate::authorize::{Operation, Resource};
use crate::call::{Call, Handle, text};

impl Handle for ListGroupsRequestData {
    const VERSIONS: Versions = Versions::new(0, 5);

    async fn answer(self, call: Call) -> ListGroupsResponseData {
        let picks = |filter: &[KafkaString], name: &str| {
            let same = |one: &KafkaString| one.as_str().eq_ignore_ascii_case(name);
            filter.is_empty() || filter.iter().any(same)
        };
        let sees_all = call.may(Operation::Describe, Resource::Cluster);
        let wanted = |group: &GroupListing| {
            picks(&self.types_filter, group.group_type.name())
                && picks(&self.states_filter, group.state.name())
                && (sees_all || call.may(Operation::Describe, Resource::Group(&group.id)))
        };
        let line = |group: GroupListing| ListedGroup {
            group_state: text(group.state.name()),
            group_id: text(group.id),
            protocol_type: text(group.protocol_type),
            group_type: text(group.group_type.name()),
            ..Default::default()
        };
        let groups = call
            .broker()
            .list_groups()
            .into_iter()
            .filter(wanted)
            .map(line)
            .collect();
        ListGroupsResponseData {
            groups,
            ..Default::default()
        }
    }
}
