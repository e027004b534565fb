//! The hourly-attributor function on Lambda.
fn main() {}
