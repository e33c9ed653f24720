//! No code: its manifest fixes the features of shared dependencies, so that every selection of packages compiles them once.
