//! What the HTTP functions of revtrail share: who may call what, bodies of records, problems, queries, CSV.
//!
//! A function crate lists its [`api::Route`]s. [`dispatch::router`] makes one `axum::Router` of the lists: on Lambda of the list
//! of one function, on a single machine of all lists. Crate `core` has the rules of the facts, and crate `store` has the table.

mod accept;
pub mod access;
mod access_log;
pub mod answer;
pub mod api;
pub mod app;
pub mod ask;
mod body;
pub mod call;
pub mod caller;
pub mod csv;
mod cursor;
pub mod dispatch;
pub mod encoding;
pub mod etag;
pub mod gateway;
pub mod hosts;
#[cfg(feature = "lambda")]
pub mod lambda;
pub mod list;
pub mod observed;
pub mod openapi;
pub mod patch;
pub mod problem;
pub mod query;
mod rate;
pub mod records;
pub mod session;
mod share;
pub mod upload;
pub mod webhook;

#[cfg(test)]
mod tests;
