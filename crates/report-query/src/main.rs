//! The report-query function on Lambda.
fn main() {}
