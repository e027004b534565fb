//! What a file of redemptions must have. The reader of files itself is in `revtrail-files`.

use std::io::Read;

use revtrail_files::{FileFault, FileRules, Layout, NotUtf8, Records};

/// Half a file in another encoding would be read as other texts, and its corrected copy would conflict with them.
const RULES: FileRules = FileRules {
    needed: &["redemption_id", "promotion_id", "customer_id"],
    not_utf8: NotUtf8::FailsFile,
};

/// Opens a file of redemptions at its beginning.
///
/// # Errors
/// As [`Records::open`].
pub fn rows<R: Read>(bytes: R, layout: Layout) -> Result<Records<R>, FileFault> {
    Records::open(bytes, Some(layout), RULES)
}
