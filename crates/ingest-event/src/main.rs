//! The ingest-event function on Lambda.
fn main() {}
