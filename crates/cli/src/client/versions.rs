//! The newest version of each API whose form this client writes. Later ones name topics by id or batch what we send one by one.

use headwater_wire::messages as m;
use headwater_wire::{Request, Versions};

/// The versions of an API that this client speaks.
pub(super) fn spoken<R: Request>() -> Versions {
    let max = match R::KEY {
        m::ProduceRequestData::KEY | m::FetchRequestData::KEY | m::MetadataRequestData::KEY => 12,
        m::OffsetCommitRequestData::KEY => 9,
        m::OffsetFetchRequestData::KEY => 7,
        m::FindCoordinatorRequestData::KEY => 3,
        m::DeleteTopicsRequestData::KEY => 5,
        m::ApiVersionsRequestData::KEY => 3,
        _ => R::SCHEMA.max,
    };
    Versions::new(R::SCHEMA.min, max.min(R::SCHEMA.max))
}
