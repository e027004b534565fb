//! Amazon SNS before it posts anything: it asks whether the address wants the topic.

use crate::Refused;
use crate::post::Post;

/// The address that confirms a subscription, if this is the post of SNS that asks for it and the address is Amazon's.
///
/// # Errors
/// [`Refused::Unreadable`] for a body that is no JSON.
pub fn subscribe_url(post: &Post<'_>) -> Result<Option<String>, Refused> {
    let body = post.tree()?;
    let asks = body.text_at("Type").as_deref() == Some("SubscriptionConfirmation");
    let url = body
        .text_at("SubscribeURL")
        .filter(|url| asks && amazon_url(url));
    Ok(url)
}

/// True for an address of SNS itself: HTTPS, a host like `sns.eu-west-1.amazonaws.com`, no port and no user.
pub fn amazon_url(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("https://") else {
        return false;
    };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.strip_suffix(".cn").unwrap_or(host);
    let region = host
        .strip_prefix("sns.")
        .and_then(|host| host.strip_suffix(".amazonaws.com"));
    region.is_some_and(|region| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !region.is_empty() && region.bytes().all(plain)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_addresses_are_amazons() {
        for (url, is) in [
            (
                "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-1.pem",
                true,
            ),
            (
                "https://sns.cn-north-1.amazonaws.com.cn/?Action=ConfirmSubscription",
                true,
            ),
            ("http://sns.us-east-1.amazonaws.com/x.pem", false),
            (
                "https://sns.us-east-1.amazonaws.com.evil.example/x.pem",
                false,
            ),
            (
                "https://evil.example/sns.us-east-1.amazonaws.com/x.pem",
                false,
            ),
            (
                "https://sns.us-east-1.amazonaws.com@evil.example/x.pem",
                false,
            ),
            ("https://sns.us-east-1.amazonaws.com:8443/x.pem", false),
            ("https://sns.evil.example#.amazonaws.com/x.pem", false),
            ("https://bucket.s3.amazonaws.com/x.pem", false),
            ("https://sns..amazonaws.com/x.pem", false),
        ] {
            assert_eq!(amazon_url(url), is, "{url}");
        }
    }
}
