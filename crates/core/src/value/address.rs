//! Addresses: how an e-mail address and a phone number are compared, and whom a message went to (rule 3.5).
//!
//! # Example
//!
//! ```
//! use revtrail_core::value::address::{AddressHash, Recipient};
//! use revtrail_core::value::id::{CustomerId, MarketplaceId};
//!
//! let shop = MarketplaceId::new("shop").unwrap();
//! let ann = AddressHash::of_email(&shop, " Ann@Example.com").unwrap();
//! assert_eq!(AddressHash::of_email(&shop, "ann@example.com"), Some(ann));
//! assert!(AddressHash::of_phone(&shop, "12345").is_none());
//!
//! let customer = Recipient::from(CustomerId::new("c-17").unwrap());
//! assert_eq!(customer.to_string(), "c-17");
//! assert!(Recipient::Address(ann) < customer);
//! ```

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::value::id::{CustomerId, MarketplaceId};

/// The fewest digits of a phone number.
const PHONE_DIGITS_MIN: usize = 6;
/// The most bytes of an e-mail address: 64 before the `@`, and 255 after it (RFC 5321). An order keeps that many, so a longer text in
/// an event could never meet one in an order.
pub const EMAIL_BYTES_MAX: usize = 320;

/// An e-mail address as it is compared: without blanks around it and in lower case, and nothing else changed; `None` where nothing is
/// left, where it holds a control character, and where it is longer than [`EMAIL_BYTES_MAX`].
pub fn normalised_email(text: &str) -> Option<String> {
    let email = text.trim().to_lowercase();
    let fits = (1..=EMAIL_BYTES_MAX).contains(&email.len());
    (fits && !email.contains(char::is_control)).then_some(email)
}

/// A phone number as it is compared: its digits, so that one leading `+` counts for nothing; `None` where there are fewer than 6.
pub fn normalised_phone(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    Some(digits).filter(|digits| digits.len() >= PHONE_DIGITS_MIN)
}

/// The length of an [`AddressHash`], in bytes.
const HASH_BYTES: usize = 16;

/// An address of a marketplace: the first 128 bits of SHA-256 over the id of the marketplace, the end of a line, and the address as
/// it is compared. Nothing else is kept of the address of an event. As a text it has 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressHash([u8; HASH_BYTES]);

impl AddressHash {
    /// The hash of an e-mail address; `None` where [`normalised_email`] has none.
    pub fn of_email(marketplace: &MarketplaceId, text: &str) -> Option<Self> {
        normalised_email(text).map(|email| Self::of(marketplace, &email))
    }

    /// The hash of a phone number; `None` where [`normalised_phone`] has none.
    pub fn of_phone(marketplace: &MarketplaceId, text: &str) -> Option<Self> {
        normalised_phone(text).map(|phone| Self::of(marketplace, &phone))
    }

    fn of(marketplace: &MarketplaceId, normalised: &str) -> Self {
        let hash = Sha256::digest(format!("{marketplace}\n{normalised}"));
        let mut first = [0; HASH_BYTES];
        first.copy_from_slice(&hash[..HASH_BYTES]);
        Self(first)
    }

    /// The hash that has these bits.
    pub fn from_bytes(bits: [u8; 16]) -> Self {
        Self(bits)
    }

    /// The bits of the hash.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// The hash that this text spells, if it spells one.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        let lower = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if digits.len() != 2 * HASH_BYTES || !digits.iter().all(lower) {
            return None;
        }
        let bits = u128::from_str_radix(text, 16).ok()?;
        Some(Self(bits.to_be_bytes()))
    }
}

impl fmt::Display for AddressHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for AddressHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for AddressHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AddressHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let bad = || serde::de::Error::custom("the hash of an address is 32 hexadecimal digits");
        Self::parse(&text).ok_or_else(bad)
    }
}

/// Whom a message went to: a customer or an address.
///
/// As a text it is the customer's id or, for an address, a control character and the hash. No id holds a control character, so the two
/// never collide, and addresses sort before customers, as they do here.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Recipient {
    /// An address, which nobody owns.
    Address(AddressHash),
    /// A customer.
    Customer(CustomerId),
}

/// What the text of an address begins with.
const ADDRESS_MARK: char = '\u{1}';

impl Recipient {
    /// The customer, unless the message went to an address.
    pub fn customer(&self) -> Option<&CustomerId> {
        match self {
            Self::Customer(customer) => Some(customer),
            Self::Address(_) => None,
        }
    }

    /// The address, unless the message went to a customer.
    pub fn address(&self) -> Option<AddressHash> {
        match self {
            Self::Customer(_) => None,
            Self::Address(address) => Some(*address),
        }
    }

    /// The recipient that this text spells, if it spells one.
    pub fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix(ADDRESS_MARK) {
            Some(hash) => AddressHash::parse(hash).map(Self::Address),
            None => CustomerId::new(text).ok().map(Self::Customer),
        }
    }
}

impl From<CustomerId> for Recipient {
    fn from(customer: CustomerId) -> Self {
        Self::Customer(customer)
    }
}

impl From<AddressHash> for Recipient {
    fn from(address: AddressHash) -> Self {
        Self::Address(address)
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Customer(customer) => f.write_str(customer.as_str()),
            Self::Address(address) => write!(f, "{ADDRESS_MARK}{address}"),
        }
    }
}

impl Serialize for Recipient {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Recipient {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let bad = || serde::de::Error::custom("a recipient is a customer's id or an address");
        Self::parse(&text).ok_or_else(bad)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SHA-256 over `shop\nann@example.com` and over `shop\n380942583691`, by another program.
    #[test]
    fn what_is_kept_of_an_address() {
        let shop = MarketplaceId::new("shop").unwrap();
        let email = AddressHash::of_email(&shop, "Ann@example.com ").unwrap();
        let phone = AddressHash::of_phone(&shop, "+380 94 258 36 91").unwrap();
        assert_eq!(email.to_string(), "95ecdf3c865da630646295c41c5991ad");
        assert_eq!(phone.to_string(), "61de3836122dbf60d5add6e82f3532ff");
        let other = MarketplaceId::new("other").unwrap();
        assert_ne!(
            AddressHash::of_email(&other, "ann@example.com"),
            Some(email)
        );
        for bad in [
            "",
            "E",
            "éé",
            &email.to_string()[1..],
            &email.to_string().to_uppercase(),
        ] {
            assert_eq!(AddressHash::parse(bad), None, "{bad}");
        }
    }

    /// What was stored of customers is read, and an address and a customer never share a text.
    #[test]
    fn recipients_are_texts() {
        let hash = AddressHash([0xab; HASH_BYTES]);
        let digits = "ab".repeat(HASH_BYTES);
        for (text, recipient) in [
            (
                "c-17".to_owned(),
                Recipient::from(CustomerId::new("c-17").unwrap()),
            ),
            (
                digits.clone(),
                Recipient::from(CustomerId::new(&digits).unwrap()),
            ),
            (format!("\u{1}{digits}"), Recipient::from(hash)),
        ] {
            assert_eq!(recipient.to_string(), text);
            let stored = serde_json::to_string(&recipient).unwrap();
            assert_eq!(stored, serde_json::to_string(&text).unwrap());
            assert_eq!(
                serde_json::from_str::<Recipient>(&stored).unwrap(),
                recipient
            );
        }
        for bad in ["", "\u{1}", "\u{1}ab", "\u{2}abab"] {
            assert_eq!(Recipient::parse(bad), None, "{bad:?}");
        }
        let mut all = [
            "!",
            "~",
            "\u{1}ffffffffffffffffffffffffffffffff",
            "\u{1}00000000000000000000000000000001",
        ]
        .map(|text| Recipient::parse(text).unwrap());
        let by_text = {
            let mut texts = all.clone().map(|one| one.to_string());
            texts.sort();
            texts
        };
        all.sort();
        assert_eq!(all.map(|one| one.to_string()), by_text);
    }

    #[test]
    fn how_addresses_are_compared() {
        for (text, email) in [
            ("ann@example.com", Some("ann@example.com")),
            ("  Ann@EXAMPLE.com\t", Some("ann@example.com")),
            ("ann+news@example.com", Some("ann+news@example.com")),
            ("a n n", Some("a n n")),
            ("ÄNN@example.com", Some("änn@example.com")),
            (" ", None),
            ("ann\u{0}@example.com", None),
            ("ann\n@example.com", None),
            (&"a".repeat(320), Some(&*"a".repeat(320))),
            (&"a".repeat(321), None),
        ] {
            assert_eq!(normalised_email(text).as_deref(), email, "{text}");
        }
        for (text, phone) in [
            ("+38 (094) 258-36-91", Some("380942583691")),
            ("380942583691", Some("380942583691")),
            ("00380942583691", Some("00380942583691")),
            ("123456", Some("123456")),
            ("12345", None),
            ("+", None),
        ] {
            assert_eq!(normalised_phone(text).as_deref(), phone, "{text}");
        }
    }
}
