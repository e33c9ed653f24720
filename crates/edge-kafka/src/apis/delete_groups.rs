//! DeleteGroups, v0-2. v2 is flexible. A group named twice is answered once.

use std::collections::BTreeSet;

use headwater_wire::Versions;
use headwater_wire::messages::delete_groups_response::DeletableGroupResult;
use headwater_wire::messages::{DeleteGroupsRequestData, DeleteGroupsResponseData};

use crate::authorize::{Operation, Resource};
use crate::call::{Call, Handle};
use crate::codes::coordinator_code_of;

impl Handle for DeleteGroupsRequestData {
    const VERSIONS: Versions = Versions::new(0, 2);

    async fn answer(self, call: Call) -> DeleteGroupsResponseData {
        let mut results = Vec::with_capacity(self.groups_names.len());
        let mut seen = BTreeSet::new();
        for group_id in self.groups_names {
            if !seen.insert(group_id.as_str().to_owned()) {
                continue;
            }
            let id = group_id.as_str();
            let error_code = match call.check(Operation::Delete, Resource::Group(id)) {
                Ok(()) => coordinator_code_of(&call.broker().delete_group(id).await),
                Err(code) => code.code(),
            };
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
