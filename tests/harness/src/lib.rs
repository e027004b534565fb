//! What lies under every test: the line to the table and what goes wrong on it, whose keys a call may touch, how much of a harness is
//! played, and whether an answer is one that the document describes. It runs millions of times in each run of the tests, so it is a crate
//! of its own, which is optimised; the tests need not be.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::new_without_default,
    missing_docs,
    reason = "tests; what they print says how much ran"
)]

pub mod described;
pub mod fault_client;
pub mod tier;
pub mod tripwire;
