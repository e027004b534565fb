//! revtrail as its users meet it: over HTTP, over files, and against a second implementation of the rules.

#![allow(clippy::unwrap_used, unreachable_pub, missing_docs, reason = "tests")]

mod golden;
mod requirements;
mod rules;
mod service;
mod shop;
mod tripwire;
mod worlds_http;
