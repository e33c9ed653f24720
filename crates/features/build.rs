//! Empty: a crate with build-dependencies needs a build script, and those fix the features that build scripts of other crates share.

fn main() {}
