//! revtrail.
fn main() {}
