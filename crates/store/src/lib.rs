//! The one table of revtrail, reached through the SDK's client. No other crate knows DynamoDB.
//!
//! [`Store`] is the table; [`market::Market`] is one marketplace in it. Everything that belongs to a tenant is reached through a
//! `Market`.

/// The table itself: keys, items, conditions, transactions, and the client that they go through.
pub mod table {
    pub(crate) mod attributes;
    pub(crate) mod change;
    pub(crate) mod chunks;
    pub mod client;
    pub(crate) mod condition;
    pub(crate) mod contention;
    #[cfg(feature = "contract")]
    pub mod contract;
    #[cfg(feature = "embedded")]
    pub mod embedded;
    pub mod fault;
    pub(crate) mod item;
    pub mod keys;
    mod retry;
    pub(crate) mod write;
}

pub mod market;

/// Facts of customers, what the facts add up to, and the intake markers of facts that no fold has seen yet.
pub mod ledger {
    pub mod contribution;
    pub mod daily;
    pub mod facts;
    pub mod first_facts;
    pub mod intake;
    pub mod links;
    mod parts;
    pub mod purchases;
    pub mod stored_days;
}

/// Work that waits, the runs that plan it, and the customers who cannot be folded.
pub mod jobs {
    pub mod export;
    pub mod exports;
    pub mod job;
    pub mod look_ahead;
    pub mod look_aheads;
    pub mod parked;
    pub mod runs;
    pub mod verification;
}

pub mod batches;
pub mod erasures;
pub mod promotions;
mod random;

pub use random::{random_below, random_hex};
pub use table::attributes::TTL_ATTRIBUTE;
pub use table::client::{Reading, Store};
pub use table::fault::StoreError;
