//! Amazon SNS around its posts: the certificate that signs them, and the question whether an address wants a topic. Only addresses of SNS
//! itself are taken from a post.

use revtrail_core::attribution::settings::Settings;

use super::ses;
use crate::Refused;
use crate::post::Post;

/// What the key of a sender begins with that names topics instead of a certificate.
const TOPIC: &str = "arn:";
/// The name in the certificates of SNS in most regions. In others it is the name of the region's host.
const SIGNER: &str = "sns.amazonaws.com";

/// True for a key that names the topics which may post.
pub(crate) fn names_topics(key: &str) -> bool {
    key.starts_with(TOPIC)
}

/// True for the common name of a certificate of SNS.
pub(crate) fn signs(name: &str) -> bool {
    name == SIGNER || is_host(name)
}

/// The address of the certificate that signed a post, where settings name the topics that may post; `None` also where a post names
/// another address than one of SNS, and is then refused.
///
/// # Errors
/// [`Refused::Unreadable`] for a body that [`read`](crate::read) refuses too.
pub fn certificate_url(
    sender: &str,
    post: &Post<'_>,
    settings: &Settings,
) -> Result<Option<String>, Refused> {
    let key = settings.providers.builtin.get(sender);
    let key = key.and_then(|own| own.verification_key.as_deref());
    if sender != ses::SENDER.name || !key.is_some_and(names_topics) {
        return Ok(None);
    }
    let url = post.tree()?.text_at("SigningCertURL");
    Ok(url.filter(|url| of_amazon(url).is_some_and(is_certificate)))
}

/// The address that confirms a subscription, if this is the post of SNS that asks for it. A post that must be proven is to be proven first.
///
/// # Errors
/// [`Refused::Unreadable`] for a body that [`read`](crate::read) refuses too.
pub fn subscribe_url(sender: &str, post: &Post<'_>) -> Result<Option<String>, Refused> {
    if sender != ses::SENDER.name {
        return Ok(None);
    }
    let body = post.tree()?;
    let asks = body.text_at("Type").as_deref() == Some("SubscriptionConfirmation");
    let url = body.text_at("SubscribeURL");
    Ok(url.filter(|url| asks && of_amazon(url).is_some_and(confirms)))
}

/// What stands behind the host of an address of SNS: HTTPS, a host like `sns.eu-west-1.amazonaws.com`, no port and no user.
fn of_amazon(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("https://")?;
    let at = rest.find('/')?;
    is_host(&rest[..at]).then_some(&rest[at..])
}

fn is_host(host: &str) -> bool {
    let host = host.strip_suffix(".cn").unwrap_or(host);
    let region = host
        .strip_prefix("sns.")
        .and_then(|host| host.strip_suffix(".amazonaws.com"));
    region.is_some_and(|region| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !region.is_empty() && region.bytes().all(plain)
    })
}

/// The path of a certificate: `/SimpleNotificationService-` and a name, with nothing behind it.
fn is_certificate(path: &str) -> bool {
    let name = path
        .strip_prefix("/SimpleNotificationService-")
        .and_then(|name| name.strip_suffix(".pem"));
    name.is_some_and(|name| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

/// The path that confirms a subscription, and does nothing else.
fn confirms(path: &str) -> bool {
    let Some(query) = path.strip_prefix("/?") else {
        return false;
    };
    let mut actions = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "Action");
    matches!((actions.next(), actions.next()), (Some((_, action)), None) if action == "ConfirmSubscription")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_addresses_are_amazons() {
        for (url, is) in [
            (
                "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0a1b.pem",
                "certificate",
            ),
            (
                "https://sns.cn-north-1.amazonaws.com.cn/SimpleNotificationService-0a1b.pem",
                "certificate",
            ),
            (
                "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn=arn:aws:sns:x&Token=t",
                "confirmation",
            ),
            (
                "https://sns.eu-west-1.amazonaws.com/?Action=Publish&TopicArn=a",
                "",
            ),
            (
                "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Action=Publish",
                "",
            ),
            (
                "https://sns.eu-west-1.amazonaws.com/x?Action=ConfirmSubscription",
                "",
            ),
            (
                "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0a1b.pem?x=1",
                "",
            ),
            (
                "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-/../x.pem",
                "",
            ),
            (
                "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-.pem",
                "",
            ),
            ("https://sns.us-east-1.amazonaws.com/other.pem", ""),
            ("https://sns.us-east-1.amazonaws.com", ""),
            (
                "http://sns.us-east-1.amazonaws.com/SimpleNotificationService-0a1b.pem",
                "",
            ),
            (
                "https://sns.us-east-1.amazonaws.com.evil.example/SimpleNotificationService-0a1b.pem",
                "",
            ),
            (
                "https://evil.example/sns.us-east-1.amazonaws.com/SimpleNotificationService-0a1b.pem",
                "",
            ),
            (
                "https://sns.us-east-1.amazonaws.com@evil.example/SimpleNotificationService-0a1b.pem",
                "",
            ),
            (
                "https://sns.us-east-1.amazonaws.com:8443/SimpleNotificationService-0a1b.pem",
                "",
            ),
            (
                "https://sns.evil.example#.amazonaws.com/SimpleNotificationService-0a1b.pem",
                "",
            ),
            (
                "https://bucket.s3.amazonaws.com/SimpleNotificationService-0a1b.pem",
                "",
            ),
            (
                "https://sns..amazonaws.com/SimpleNotificationService-0a1b.pem",
                "",
            ),
        ] {
            let path = of_amazon(url);
            assert_eq!(
                path.is_some_and(is_certificate),
                is == "certificate",
                "{url}"
            );
            assert_eq!(path.is_some_and(confirms), is == "confirmation", "{url}");
        }
        for (name, is) in [
            ("sns.amazonaws.com", true),
            ("sns.cn-north-1.amazonaws.com.cn", true),
            ("sns.amazonaws.com.evil.example", false),
            ("amazonaws.com", false),
        ] {
            assert_eq!(signs(name), is, "{name}");
        }
    }
}
