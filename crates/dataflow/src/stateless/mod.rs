//! Operators without state: each row is judged alone, so its origin stays known.

pub(crate) mod constant;
pub(crate) mod filter;
pub(crate) mod project;
#[cfg(test)]
mod tests;
pub(crate) mod union;
pub(crate) mod unnest;
