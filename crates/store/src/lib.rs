//! The one table of revtrail, through the SDK's client. The only crate that knows DynamoDB.
//!
//! [`Store`] is the table; [`market::Market`] is one marketplace in it, and all that is a tenant's is reached through one.

pub mod access;
#[cfg(feature = "aws")]
pub mod aws;
pub mod batches;
#[cfg(feature = "cases")]
pub mod cases;
mod change;
pub mod claims;
mod client;
pub mod contribution;
pub mod delivery;
pub mod distributions;
#[cfg(feature = "embedded")]
pub mod embedded;
pub mod facts;
pub mod keys;
pub mod lists;
pub mod market;
pub mod notes;
pub mod parked;
mod pool;
pub mod promotions;
pub mod purchases;
#[cfg(feature = "queue")]
pub mod queue;
mod resend;
pub mod runs;
pub mod sheets;
pub mod vouchers;
pub mod work;

pub use client::{Reading, Store, StoreError, TTL_ATTRIBUTE, random_hex};
