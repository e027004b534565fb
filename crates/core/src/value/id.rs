//! Identifiers as types. What a text must be to name something lives here; where an id is stored does not.
//!
//! # Example
//!
//! ```
//! use revtrail_core::value::id::{BadId, CustomerId, MarketplaceId};
//!
//! let customer = CustomerId::new(" Ann/Ünal #7 ")?;
//! assert_eq!(customer.as_str(), " Ann/Ünal #7 ");
//! assert_eq!(CustomerId::new("two\nlines"), Err(BadId::ControlCharacter));
//! assert_eq!(MarketplaceId::new("Shop"), Err(BadId::NotAMarketplace));
//! # Ok::<(), BadId>(())
//! ```

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Greatest length of an id, in bytes (rule 2).
pub const ID_BYTES_MAX: usize = 128;

/// Why a text is no id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadId {
    /// No byte at all.
    #[error("an id has at least 1 byte")]
    Empty,
    /// Longer than [`ID_BYTES_MAX`]; the length in bytes.
    #[error("an id has at most 128 bytes, this one has {0}")]
    TooLong(usize),
    /// A control character (Unicode category Cc) inside.
    #[error("an id holds no control characters")]
    ControlCharacter,
    /// Not `[a-z0-9][a-z0-9-]{0,63}`.
    #[error("a marketplace id is 1 to 64 of a-z 0-9 -, beginning with a letter or digit")]
    NotAMarketplace,
}

fn check(text: &str) -> Result<(), BadId> {
    if text.is_empty() {
        Err(BadId::Empty)
    } else if text.len() > ID_BYTES_MAX {
        Err(BadId::TooLong(text.len()))
    } else if text.chars().any(char::is_control) {
        Err(BadId::ControlCharacter)
    } else {
        Ok(())
    }
}

fn check_marketplace(text: &str) -> Result<(), BadId> {
    let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    let good = (1..=64).contains(&bytes.len())
        && letter(bytes[0])
        && bytes.iter().all(|&b| letter(b) || b == b'-');
    if good {
        Ok(())
    } else {
        Err(BadId::NotAMarketplace)
    }
}

macro_rules! id_types {
    ($($(#[$doc:meta])* $name:ident by $check:ident;)*) => {$(
        $(#[$doc])*
        /// Compared byte for byte; cheap to clone.
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes the text as it stands: never trimmed, never case-folded.
            ///
            /// # Errors
            /// What rule 2 forbids, see [`BadId`].
            pub fn new(text: &str) -> Result<Self, BadId> {
                $check(text)?;
                Ok(Self(text.into()))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                Self::new(&text).map_err(serde::de::Error::custom)
            }
        }
    )*};
}

id_types! {
    /// The tenant.
    MarketplaceId by check_marketplace;
    /// What a marketer sends.
    CampaignId by check;
    /// Who gets messages and places orders.
    CustomerId by check;
    /// One message of a campaign to a customer on a channel.
    MessageId by check;
    /// One report of what happened to a message; one in the customer.
    EventId by check;
    /// A purchase; one in the marketplace.
    OrderId by check;
    /// A coupon campaign or bonus.
    PromotionId by check;
    /// One code of a promotion.
    VoucherCode by check;
    /// A step of a tiered promotion.
    TierId by check;
    /// A rule of a promotion, in words.
    RuleId by check;
    /// A group of customers, as the offer named it.
    SegmentName by check;
    /// Who got an offer; one in the marketplace.
    AssignmentId by check;
    /// Who acted on an offer; one in the marketplace.
    RedemptionId by check;
    /// Who took a redemption back, and when; one for a redemption.
    RollbackId by check;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_an_id() {
        let longest = "x".repeat(128);
        for good in ["a", "a#b", "a/b", "%23", " ", "🦀", longest.as_str()] {
            assert_eq!(CampaignId::new(good).unwrap().as_str(), good);
        }
        let long = "x".repeat(129);
        for (bad, why) in [
            ("", BadId::Empty),
            (long.as_str(), BadId::TooLong(129)),
            ("a\nb", BadId::ControlCharacter),
            ("\u{85}", BadId::ControlCharacter),
        ] {
            assert_eq!(CampaignId::new(bad), Err(why), "{bad:?}");
        }
    }

    #[test]
    fn what_is_a_marketplace() {
        let longest = "a".repeat(64);
        let long = "a".repeat(65);
        for (text, good) in [
            ("a", true),
            ("0-a-", true),
            (&longest, true),
            (&long, false),
            ("", false),
            ("-a", false),
            ("A", false),
            ("a_b", false),
            ("é", false),
        ] {
            assert_eq!(MarketplaceId::new(text).is_ok(), good, "{text:?}");
        }
    }
}
