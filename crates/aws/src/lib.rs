//! What the functions of revtrail need of AWS besides the table: the variables of their environment, the clock, and the queue
//! that points at work. Without features the crate has only the clock and the shape of a delivery, and depends on no SDK.

pub mod clock;
pub mod delivery;
#[cfg(feature = "environment")]
pub mod environment;
#[cfg(feature = "fetch")]
pub mod fetch;
#[cfg(feature = "environment")]
pub mod log;
pub mod metrics;
#[cfg(feature = "presign")]
pub mod presign;
#[cfg(feature = "queue")]
pub mod queue;
#[cfg(feature = "environment")]
pub mod units;

/// The authorities that sign the certificates of AWS: Amazon Root CA 1 to 4, and Starfield Services Root CA G2. They are those of
/// <https://www.amazontrust.com/repository/>.
#[cfg(any(feature = "environment", feature = "fetch"))]
const AMAZON_ROOTS: &str = include_str!("amazon_roots.pem");
