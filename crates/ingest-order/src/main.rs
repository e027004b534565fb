//! The ingest-order function on Lambda.
fn main() {}
