//! What a file of redemptions must have; files are read in `revtrail-files`.

use std::io::Read;

use revtrail_files::{Fault, Format, Layout, NotUtf8, Records, Rules};

/// Half a file of another encoding would be taken otherwise, and its corrected copy would conflict with it.
const RULES: Rules = Rules {
    needed: &["redemption_id", "promotion_id", "customer_id"],
    not_utf8: NotUtf8::FailsFile,
};

/// Opens a file of redemptions at its beginning.
///
/// # Errors
/// As [`Records::open`].
pub fn rows<R: Read>(bytes: R, format: Format, gzipped: bool) -> Result<Records<R>, Fault> {
    Records::open(bytes, Some(Layout { format, gzipped }), RULES)
}
