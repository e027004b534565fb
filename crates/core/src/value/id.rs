//! Identifiers as types. This module decides which texts are valid ids, and not where an id is stored.
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

/// The greatest length of an id, in bytes (rule 2).
pub const ID_BYTES_MAX: usize = 128;
/// A pattern (ECMA-262) of texts without control characters, for documents of the interface.
pub const PATTERN: &str = r"^[^\u0000-\u001F\u007F-\u009F]*$";
/// A pattern (ECMA-262) of the ids of marketplaces.
pub const MARKETPLACE_PATTERN: &str = "^[a-z0-9][a-z0-9-]{0,63}$";

/// Why a text is not a valid id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadId {
    /// The text is empty.
    #[error("an id has at least 1 byte")]
    Empty,
    /// The text is longer than [`ID_BYTES_MAX`]. The number is its length in bytes.
    #[error("an id has at most 128 bytes, this one has {0}")]
    TooLong(usize),
    /// The text contains a control character (Unicode category Cc).
    #[error("an id holds no control characters")]
    ControlCharacter,
    /// The text does not match `[a-z0-9][a-z0-9-]{0,63}`.
    #[error("a marketplace id is 1 to 64 of a-z 0-9 -, beginning with a letter or digit")]
    NotAMarketplace,
}

/// True for a byte that is a control character, or with which one beyond ASCII begins.
pub(crate) fn may_be_control(byte: u8) -> bool {
    byte < 0x20 || byte == 0x7f || byte == 0xc2
}

fn check(text: &str) -> Result<(), BadId> {
    if text.is_empty() {
        Err(BadId::Empty)
    } else if text.len() > ID_BYTES_MAX {
        Err(BadId::TooLong(text.len()))
    } else if text.bytes().any(may_be_control) && text.chars().any(char::is_control) {
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
        /// Ids are compared byte for byte, and they are cheap to clone.
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes the text exactly as it is: it is never trimmed and never case-folded.
            ///
            /// # Errors
            /// The [`BadId`] that says what rule 2 forbids in this text.
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
    /// A marketplace: one tenant of the deployment.
    MarketplaceId by check_marketplace;
    /// A campaign: the messages that a marketer plans and reports together.
    CampaignId by check;
    /// A customer: somebody who gets messages and places orders.
    CustomerId by check;
    /// One message of a campaign to one customer on one channel.
    MessageId by check;
    /// One report of what happened to a message; the id is unique for the customer.
    EventId by check;
    /// An order; the id is unique in the marketplace.
    OrderId by check;
    /// A promotion, such as a coupon campaign or a bonus.
    PromotionId by check;
    /// The code of one voucher of a promotion.
    VoucherCode by check;
    /// A tier of a tiered promotion.
    TierId by check;
    /// A validation rule of a promotion, which is written in words.
    RuleId by check;
    /// A segment: a group of customers, by the name that the offer gave it.
    SegmentName by check;
    /// One offer of a promotion to a customer; the id is unique in the marketplace.
    AssignmentId by check;
    /// One use of an offer by a customer; the id is unique in the marketplace.
    RedemptionId by check;
    /// The rollback of a redemption; a redemption has at most one.
    RollbackId by check;
}

impl MarketplaceId {
    /// The id that stands for the marketplace in runs over files, which have none.
    pub fn of_files() -> Self {
        Self("files".into())
    }
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
