//! The one table of revtrail, through the SDK's client. The only crate that knows DynamoDB.
//!
//! [`Store`] is the table; [`Market`] is one marketplace in it, and all that is a tenant's is reached through one.

pub mod access;
mod client;
#[cfg(feature = "embedded")]
pub mod embedded;
pub mod keys;

pub use client::{Store, StoreError, TTL_ATTRIBUTE, random_hex};
