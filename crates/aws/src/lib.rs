//! What the functions of revtrail need of AWS besides the table: the variables of their environment, the clock, and the queue
//! that points at work. Without features the crate has only the clock and the shape of a delivery, and depends on no SDK.

pub mod clock;
pub mod delivery;
#[cfg(feature = "environment")]
pub mod environment;
pub mod metrics;
#[cfg(feature = "presign")]
pub mod presign;
#[cfg(feature = "queue")]
pub mod queue;
#[cfg(feature = "environment")]
pub mod units;
