//! Addresses: how an e-mail address and a phone number are compared (rule 3.5).

/// The fewest digits of a phone number.
const PHONE_DIGITS_MIN: usize = 6;

/// An e-mail address as it is compared: without blanks around it and in lower case, and nothing else changed; `None` where nothing is
/// left.
pub fn normalised_email(text: &str) -> Option<String> {
    Some(text.trim().to_lowercase()).filter(|email| !email.is_empty())
}

/// A phone number as it is compared: its digits, so that one leading `+` counts for nothing; `None` where there are fewer than 6.
pub fn normalised_phone(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    Some(digits).filter(|digits| digits.len() >= PHONE_DIGITS_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_addresses_are_compared() {
        for (text, email) in [
            ("ann@example.com", Some("ann@example.com")),
            ("  Ann@EXAMPLE.com\t", Some("ann@example.com")),
            ("ann+news@example.com", Some("ann+news@example.com")),
            ("a n n", Some("a n n")),
            ("ÄNN@example.com", Some("änn@example.com")),
            (" ", None),
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
