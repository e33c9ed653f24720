//! The table of APIs in the documentation is what a node tells.
#![allow(clippy::unwrap_used)]

mod common;

use common::Node;
use headwater_wire::messages as m;
use headwater_wire::{ApiKey, KafkaString};

const PAGE: &str = include_str!("../../../docs/compatibility.md");
const BEGIN: &str = "<!-- the APIs, checked by a test -->";
const END: &str = "<!-- end of the APIs -->";

#[tokio::test]
async fn the_page_lists_what_is_spoken() {
    let node = Node::start().await;
    let named = |text: &str| KafkaString::from(text.to_owned());
    let asked = m::ApiVersionsRequestData {
        client_software_name: named("test"),
        client_software_version: named("1"),
        ..Default::default()
    };
    let told = node.client().await.call(4, &asked).await;
    let line = |api: &m::api_versions_response::ApiVersion| {
        let name = ApiKey::from_i16(api.api_key).unwrap();
        let (min, max) = (api.min_version, api.max_version);
        format!("| {} | {name:?} | {min}-{max} |", api.api_key)
    };
    let right: Vec<String> = told.api_keys.iter().map(line).collect();
    let (_, rest) = PAGE.split_once(BEGIN).unwrap();
    let (table, _) = rest.split_once(END).unwrap();
    let listed: Vec<&str> = table.trim().lines().skip(2).collect();
    assert!(
        listed == right,
        "docs/compatibility.md should list:\n{}",
        right.join("\n")
    );
    node.stop().await;
}
