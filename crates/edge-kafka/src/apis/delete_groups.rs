//! DeleteGroups, v0-2. v2 is flexible.

use headwater_wire::Versions;
use headwater_wire::messages::delete_groups_response::DeletableGroupResult;
use headwater_wire::messages::{DeleteGroupsRequestData, DeleteGroupsResponseData};

use crate::call::{Call, Handle};
use crate::codes::coordinator_code_of;

impl Handle for DeleteGroupsRequestData {
    const VERSIONS: Versions = Versions::new(0, 2);

    async fn answer(self, call: Call) -> DeleteGroupsResponseData {
        let mut results = Vec::with_capacity(self.groups_names.len());
        for group_id in self.groups_names {
            let error_code =
                coordinator_code_of(&call.broker().delete_group(group_id.as_str()).await);
            results.push(DeletableGroupResult {
                group_id,
                error_code,
                ..Default::default()
            });
        }
        DeleteGroupsResponseData {
            results,
            ..Default::default()
        }
    }
}
