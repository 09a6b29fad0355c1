//! What the tests and the examples share: corpora, cases, a server in memory.
#![allow(dead_code, reason = "each test and example uses a part of it")]

#[path = "harness/case.rs"]
pub mod case;
#[path = "harness/corpus.rs"]
pub mod corpus;
#[path = "harness/crs.rs"]
pub mod crs;
#[path = "harness/libinjection.rs"]
pub mod libinjection;
#[path = "harness/serve.rs"]
pub mod serve;
#[path = "harness/yaml.rs"]
pub mod yaml;
