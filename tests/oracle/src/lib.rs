//! What the tests of revtrail share: a second, naive implementation of the rules, and random worlds to compare on.
//!
//! Nothing here knows `revtrail-core`; whoever compares the two brings it along.

mod addresses;
pub mod histories;
pub mod naive;
pub mod naive_promotions;
pub mod promotion_worlds;
mod rng;
pub mod shrink;
pub mod worlds;
