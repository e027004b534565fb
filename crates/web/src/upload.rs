//! Addresses that are good for one file of one marketplace, so that who sends files needs no other account. On AWS they are
//! addresses of the bucket. Where this service takes the files itself, they are its own, signed under the deployment's key.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::Mac;
use http::Uri;
use revtrail_core::value::id::MarketplaceId;
use revtrail_core::value::time::Instant;

use crate::app::{App, Uploads};
use crate::call::Call;
use crate::encoding::{path_segment, segment_text};
use crate::problem::Problem;
use crate::query;
use crate::session::origin;

/// For how long such an address is good, in milliseconds.
pub const GOOD_FOR_MS: i64 = 15 * 60_000;

/// The path of the addresses of this service.
pub const PATH: &str = "/uploads/{marketplace}/{name}";

/// What a signature of an address is for.
const PURPOSE: &str = "upload";

impl Call {
    /// The address for a file of the caller's marketplace, good until `until`; `key` is where the file will lie. `None` where there
    /// is nowhere to put files.
    ///
    /// # Errors
    /// 500 where the address cannot be signed.
    pub fn upload_address(
        &self,
        (key, name): (&str, &str),
        until: Instant,
    ) -> Result<Option<String>, Problem> {
        match self.app.uploads() {
            None => Ok(None),
            Some(Uploads::Bucket(address)) => address(key, self.now)
                .map(Some)
                .map_err(|why| Problem::internal(&why)),
            Some(Uploads::Here) => {
                let marketplace = self.marketplace()?.as_str();
                let until = until.ms().to_string();
                let tag = self.app.sign(&[PURPOSE, marketplace, name, &until]);
                let tag = BASE64_URL_SAFE_NO_PAD.encode(tag.finalize().into_bytes());
                let (origin, name) = (origin(&self.headers), path_segment(name));
                Ok(Some(format!(
                    "{origin}/uploads/{marketplace}/{name}?until={until}&signature={tag}"
                )))
            }
        }
    }
}

impl App {
    /// Whose file an address of this service is for, and its name; `None` where this deployment did not sign it, or its time is
    /// over.
    pub fn uploaded_to(&self, address: &Uri) -> Option<(MarketplaceId, String)> {
        let (marketplace, name) = address.path().strip_prefix("/uploads/")?.split_once('/')?;
        let marketplace = MarketplaceId::new(&segment_text(marketplace)?).ok()?;
        let name = segment_text(name)?;
        let pairs = query::pairs(address.query());
        let [(until_is, until), (signature_is, tag)] = pairs.as_slice() else {
            return None;
        };
        if (until_is.as_str(), signature_is.as_str()) != ("until", "signature") {
            return None;
        }
        let tag = BASE64_URL_SAFE_NO_PAD.decode(tag).ok()?;
        self.sign(&[PURPOSE, marketplace.as_str(), &name, until])
            .verify_slice(&tag)
            .ok()?;
        let until = until.parse().map(Instant::from_ms).ok()?;
        (self.now() < until).then_some((marketplace, name))
    }
}
