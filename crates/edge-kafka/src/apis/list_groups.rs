//! ListGroups, v0-5.
//!
//! v3 is flexible; v4 adds states and a filter by them (KIP-518); v5 types (KIP-848).

use headwater_broker::GroupListing;
use headwater_wire::Versions;
use headwater_wire::messages::list_groups_response::ListedGroup;
use headwater_wire::messages::{ListGroupsRequestData, ListGroupsResponseData};

use crate::call::{Call, Handle, text};

/// The type of all groups of JoinGroup and SyncGroup.
const CLASSIC: &str = "classic";

impl Handle for ListGroupsRequestData {
    const VERSIONS: Versions = Versions::new(0, 5);

    async fn answer(self, call: Call) -> ListGroupsResponseData {
        let any_type = self.types_filter.is_empty()
            || self
                .types_filter
                .iter()
                .any(|one| one.as_str().eq_ignore_ascii_case(CLASSIC));
        let wanted = |group: &GroupListing| {
            let states = &self.states_filter;
            any_type
                && (states.is_empty()
                    || states
                        .iter()
                        .any(|one| one.as_str().eq_ignore_ascii_case(group.state.name())))
        };
        let line = |group: GroupListing| ListedGroup {
            group_state: text(group.state.name()),
            group_id: text(group.id),
            protocol_type: text(group.protocol_type),
            group_type: text(CLASSIC),
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
