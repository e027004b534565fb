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

/// What tests share: the service in this process, its words, what lies under its client, and what must always hold.
mod support {
    pub use revtrail_harness::{described, fault_client, tier, tripwire};

    pub mod fixtures;
    pub mod invariants;
    pub mod promotion_lists;
    pub mod root;
    pub mod scan;
    pub mod script;
    pub mod service;
}

/// The service as its callers meet it.
mod http {
    pub mod access;
    pub mod access_log;
    pub mod addresses;
    pub mod bad_input;
    pub mod deployment_keys;
    pub mod erasure;
    pub mod exports;
    pub mod forms;
    pub mod import;
    pub mod isolation;
    pub mod logs;
    pub mod look_ahead;
    pub mod openapi;
    pub mod page_tables;
    pub mod pages;
    pub mod promotion_worlds;
    pub mod rate;
    pub mod report_columns;
    pub mod requirements;
    pub mod requirements_promotions;
    pub mod rivals;
    pub mod segments;
    pub mod sender_pages;
    pub mod senders;
    pub mod settings_pages;
    pub mod streams;
    pub mod uploads;
    pub mod webhooks;
    pub mod worlds;
}

/// The rules over files and worlds, held against tables worked out by hand and a second implementation.
mod rules {
    pub mod exports;
    pub mod files;
    pub mod golden;
    pub mod journey;
    pub mod journey_promotions;
    pub mod worlds;
}

/// What fails, comes twice, late, at once or frozen: nothing is lost, and nothing counts twice.
mod faults {
    pub mod addresses;
    pub mod batches;
    pub mod crash;
    pub mod envelope;
    pub mod erasures;
    pub mod exports;
    pub mod frozen_workers;
    pub mod heavy;
    pub mod histories;
    pub mod look_ahead;
    pub mod redeem_parallel;
    pub mod retries;
    pub mod runs;
    pub mod schedule;
    pub mod two_at_once;
    pub mod verification;
}

/// Cases from the world: what people who do this job reported elsewhere and was wrong here too.
mod cases {
    pub mod attacks_connections;
    pub mod attacks_http;
    pub mod attacks_inbox;
    pub mod facts;
    pub mod files;
    pub mod inbox;
    pub mod promotions;
    pub mod reports;
}

/// What it costs, in read and write units.
mod cost {
    pub mod bounded;
    pub mod campaigns;
    pub mod meter;
    pub mod scale;
    pub mod units;
}

/// What is deployed: the template, the built functions, the dependency tree, and what is taken for granted of the real parts.
mod deploy {
    pub mod actions;
    pub mod contract;
    pub mod dependency_tree;
    pub mod gateway;
    pub mod panics;
    pub mod real;
    pub mod real_batches;
    pub mod releases;
    pub mod stack;
    pub mod template;
    pub mod tidy;
}
