//! What the HTTP functions of revtrail share: who may call what, bodies of records, problems, queries, CSV.
//!
//! A function crate lists its [`route::Route`]s; [`dispatch::router`] makes one `axum::Router` of the lists of one
//! function (Lambda) or of all (one machine). The rules of the facts are `core`'s, the table is `store`'s.

pub mod access;
pub mod answer;
pub mod app;
pub mod csv;
pub mod dispatch;
pub mod encoding;
#[cfg(feature = "lambda")]
pub mod lambda;
pub mod problem;
pub mod query;
pub mod records;
pub mod route;

#[cfg(test)]
mod tests;
