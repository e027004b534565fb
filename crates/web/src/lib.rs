//! What the HTTP functions of revtrail share: who may call what, bodies of records, problems, queries, CSV.
//!
//! A function crate lists its [`api::Route`]s; [`dispatch::router`] makes one `axum::Router` of the lists of one
//! function (Lambda) or of all (one machine). The rules of the facts are `core`'s, the table is `store`'s.

pub mod access;
pub mod answer;
pub mod api;
pub mod app;
mod body;
pub mod call;
pub mod csv;
mod cursor;
pub mod dispatch;
pub mod encoding;
pub mod etag;
#[cfg(feature = "lambda")]
pub mod lambda;
pub mod list;
pub mod patch;
pub mod problem;
pub mod query;
pub mod records;

#[cfg(test)]
mod tests;
