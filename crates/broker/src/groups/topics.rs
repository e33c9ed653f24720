//! How a group sees the topics: as they are at one moment, and as far as the asking client may.

use std::collections::BTreeSet;
use std::sync::Arc;

use headwater_base::TopicId;
use headwater_coord::consumer_groups::{Context, Limits, Topics};
use headwater_meta::Catalog;
use regex_automata::meta::{Config, Regex};
use regex_automata::util::syntax;
use regex_syntax::hir::{Hir, Look};

use super::Groups;

/// Most bytes that a compiled expression may take.
const REGEX_BYTES_MAX: usize = 1024 * 1024;

/// Whether the client that asks may see a topic; `None`: that is not known.
pub(crate) trait MaySee {
    fn may_see(&self, topic: &str) -> Option<bool>;
}

/// Nobody asks, or somebody who has no expression of its own. No expression is resolved then.
pub(crate) struct Unasked;

impl MaySee for Unasked {
    fn may_see(&self, _topic: &str) -> Option<bool> {
        None
    }
}

impl<F: Fn(&str) -> bool> MaySee for F {
    fn may_see(&self, topic: &str) -> Option<bool> {
        Some(self(topic))
    }
}

pub(crate) struct View<M> {
    catalog: Arc<Catalog>,
    revision: u64,
    asking: M,
}

impl Groups {
    pub(super) fn topics<M: MaySee>(&self, asking: M) -> View<M> {
        let (catalog, revision) = self.catalog.current_revision();
        View {
            catalog,
            revision,
            asking,
        }
    }
}

impl<M: MaySee> View<M> {
    pub(super) fn context(&self, limits: Limits, now_ms: i64) -> Context<'_> {
        Context {
            topics: self,
            limits,
            now_ms,
        }
    }
}

impl<M: MaySee> Topics for View<M> {
    fn revision(&self) -> u64 {
        self.revision
    }

    fn by_name(&self, name: &str) -> Option<(TopicId, i32)> {
        let topic = self.catalog.topic(name)?;
        Some((topic.id, topic.partitions))
    }

    fn name_of(&self, id: TopicId) -> Option<String> {
        Some(self.catalog.topic_by_id(id)?.name.clone())
    }

    fn matching(&self, pattern: &str) -> Result<Option<BTreeSet<String>>, String> {
        let regex = whole(pattern)?;
        let names = self.catalog.topics().map(|topic| &topic.name);
        let matching = names.filter(|name| regex.is_match(name.as_bytes()));
        let seen = matching.map(|name| Some((name, self.asking.may_see(name)?)));
        Ok(seen
            .filter(|one| one.is_none_or(|(_, may)| may))
            .map(|one| one.map(|(name, _)| name.clone()))
            .collect())
    }
}

/// The expression, to match a name from its first to its last letter.
fn whole(pattern: &str) -> Result<Regex, String> {
    let hir = syntax::parse(pattern).map_err(|error| first_line(&error.to_string()))?;
    let hir = Hir::concat(vec![Hir::look(Look::Start), hir, Hir::look(Look::End)]);
    let config = Config::new().nfa_size_limit(Some(REGEX_BYTES_MAX));
    Regex::builder()
        .configure(config)
        .build_from_hir(&hir)
        .map_err(|error| first_line(&error.to_string()))
}

fn first_line(text: &str) -> String {
    text.lines().last().unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_expression_matches_the_whole_of_a_name() {
        let matches = |pattern: &str, name: &str| whole(pattern).unwrap().is_match(name);
        assert!(matches("a.*|b", "abc") && matches("a.*|b", "b"));
        assert!(!matches("a.*|b", "bc") && !matches("b", "ab") && !matches("b|bc", "abc"));
        assert!(matches("b|bc", "bc"), "the longer branch counts, too");
        for bad in ["(", "a)(b", "[", "x{1000}{1000}"] {
            assert!(whole(bad).is_err(), "{bad}");
        }
    }
}
