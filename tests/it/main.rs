//! revtrail as its users meet it: over HTTP, over files, and against a second implementation of the rules.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    unreachable_pub,
    missing_docs,
    reason = "tests; what they print says how much ran"
)]

/// Histories and crash points are millions of small requests and answers; an eighth of their time goes with the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

mod access;
mod actions;
mod bad_input;
mod batches;
mod cases;
mod cost;
mod crash;
mod envelope;
mod frozen;
mod golden;
mod heavy;
mod held;
mod histories;
mod isolation;
mod journey;
mod journey_promotions;
mod ledger;
mod line;
mod meter;
mod promotions;
mod promotions_http;
#[cfg(feature = "real")]
mod real;
#[cfg(feature = "real")]
mod real_batches;
mod redeem_parallel;
mod requirements;
mod requirements_promotions;
mod retries;
mod rules;
mod service;
mod shop;
mod template;
mod tree;
mod tripwire;
mod two_at_once;
mod worlds_http;
