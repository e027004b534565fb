//! What the functions of revtrail need of AWS besides the table: what stands in their environment, the clock, and the queue
//! that points at work. Without features it is the clock and the shape of a delivery, and knows no SDK.

pub mod clock;
pub mod delivery;
#[cfg(feature = "environment")]
pub mod environment;
#[cfg(feature = "queue")]
pub mod queue;
