//! The manage function on Lambda.
fn main() {}
