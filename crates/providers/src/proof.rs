//! What proves that a post is its sender's: signatures, as each sender makes them. A scheme is a row of a table too.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use revtrail_core::value::time::Instant;
use ring::signature::{self, UnparsedPublicKey};
use sha2::{Digest, Sha256};

use crate::Refused;
use crate::certificate;
use crate::node::Node;
use crate::post::Post;
use crate::senders::sns;
use crate::time::{self, Unit};

/// How far a signed time may be from the receiver's clock, in milliseconds: five minutes.
const TOLERANCE_MS: i64 = 5 * 60 * 1_000;

/// How the bytes of a signature are spelled in a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spelling {
    Hex,
    Base64,
}

/// How a sender signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme<'a> {
    /// It does not: the key in the address is all there is.
    Unsigned,
    /// HMAC-SHA256 over a text in which `{body}` and `{timestamp}` are replaced.
    Hmac {
        header: &'a str,
        spelling: Spelling,
        over: &'a str,
        /// The header of the time that is signed too.
        timestamp: Option<&'a str>,
    },
    /// HMAC-SHA256 over the body as JSON without blanks, in hex.
    HmacOfCompact { header: &'a str },
    /// Standard Webhooks: `webhook-…` or `svix-…` headers.
    StandardWebhooks,
    /// ECDSA over P-256 of the time and the body; the key is public.
    SendGrid,
    /// HMAC-SHA256 of a time and a token, all in the body. What the event says is not signed.
    Mailgun,
    /// RSA over fields of the body; the key is a certificate of Amazon, or the names of the topics that may post.
    Sns,
    /// MD5 over the body in which the key stands in the place of the hash.
    UnisenderGo,
}

/// Checks the signature of a post.
///
/// # Errors
/// [`Refused::Unproven`] with what is wrong; the same post will be refused again.
pub(crate) fn check(
    scheme: Scheme<'_>,
    post: &Post<'_>,
    body: &Node,
    secret: &str,
    now: Instant,
) -> Result<(), Refused> {
    match scheme {
        Scheme::Unsigned => Ok(()),
        Scheme::Hmac {
            header,
            spelling,
            over,
            timestamp,
        } => {
            let signed_at = match timestamp {
                Some(name) => recent(needed(post, name)?, now)?,
                None => "",
            };
            let signed = filled(over, post.body, signed_at);
            hmac_is(secret.as_bytes(), &signed, needed(post, header)?, spelling)
        }
        Scheme::HmacOfCompact { header } => {
            let compact = compact(post.body);
            hmac_is(
                secret.as_bytes(),
                &compact,
                needed(post, header)?,
                Spelling::Hex,
            )
        }
        Scheme::StandardWebhooks => standard_webhooks(post, secret, now),
        Scheme::SendGrid => sendgrid(post, secret, now),
        Scheme::Mailgun => mailgun(body, secret, now),
        Scheme::Sns => sns(post, body, secret, now),
        Scheme::UnisenderGo => unisender_go(post, body, secret),
    }
}

fn unproven(why: impl Into<String>) -> Refused {
    Refused::Unproven(why.into())
}

fn needed<'p>(post: &'p Post<'_>, header: &str) -> Result<&'p str, Refused> {
    let found = post.header(header);
    found.ok_or_else(|| unproven(format!("the header {header} is missing")))
}

/// A signed time that is within the tolerance: seconds or milliseconds of the epoch, or a date of HTTP.
fn recent(signed_at: &str, now: Instant) -> Result<&str, Refused> {
    let http = || chrono::DateTime::parse_from_rfc2822(signed_at).ok();
    let at = time::instant(signed_at, Unit::Any, chrono_tz::Tz::UTC)
        .or_else(|| Some(Instant::from_ms(http()?.timestamp_millis())));
    match at {
        None => Err(unproven("the time of its signature is no time")),
        Some(at) if (at.ms() - now.ms()).abs() > TOLERANCE_MS => Err(unproven(format!(
            "its signature is of {at}, which is more than five minutes from now"
        ))),
        Some(_) => Ok(signed_at),
    }
}

/// A template with the body and the time in it.
fn filled(over: &str, body: &[u8], signed_at: &str) -> Vec<u8> {
    let mut signed = Vec::with_capacity(over.len() + body.len());
    let mut rest = over;
    while let Some((before, after)) = rest.split_once('{') {
        signed.extend_from_slice(before.as_bytes());
        let (name, after) = after.split_once('}').unwrap_or((after, ""));
        match name {
            "body" => signed.extend_from_slice(body),
            _ => signed.extend_from_slice(signed_at.as_bytes()),
        }
        rest = after;
    }
    signed.extend_from_slice(rest.as_bytes());
    signed
}

/// Compares in a time that does not depend on where two signatures differ.
fn hmac_is(secret: &[u8], signed: &[u8], given: &str, spelling: Spelling) -> Result<(), Refused> {
    let given = given.trim();
    // Some senders write the name of the hash before it.
    let given = given.strip_prefix("sha256=").unwrap_or(given);
    let given = match spelling {
        Spelling::Hex => hex::decode(given).ok(),
        Spelling::Base64 => BASE64.decode(given).ok(),
    };
    let given =
        given.ok_or_else(|| unproven("its signature is not spelled as this sender spells it"))?;
    let mut mac = Hmac::<Sha256>::new_from_slice(secret)
        .map_err(|_| unproven("the key of its signature is no key"))?;
    mac.update(signed);
    mac.verify_slice(&given)
        .map_err(|_| unproven("its signature is not of this body and key"))
}

fn standard_webhooks(post: &Post<'_>, secret: &str, now: Instant) -> Result<(), Refused> {
    let prefix = match post.header("webhook-id") {
        Some(_) => "webhook",
        None => "svix",
    };
    let header = |name: &str| needed(post, &format!("{prefix}-{name}"));
    let (id, signed_at) = (header("id")?, recent(header("timestamp")?, now)?);
    let secret = secret.strip_prefix("whsec_").unwrap_or(secret);
    let key = BASE64
        .decode(secret)
        .map_err(|_| unproven("the key of its signature is no base64"))?;
    let signed = [format!("{id}.{signed_at}.").as_bytes(), post.body].concat();
    // While keys are exchanged there is one signature for each.
    let given = header("signature")?.split_ascii_whitespace();
    let mut ours = given.filter_map(|one| one.strip_prefix("v1,"));
    match ours.any(|one| hmac_is(&key, &signed, one, Spelling::Base64).is_ok()) {
        true => Ok(()),
        false => Err(unproven("none of its signatures is of this body and key")),
    }
}

/// The bytes of an uncompressed point of P-256, which end its public key.
const P256_POINT_BYTES: usize = 65;

fn sendgrid(post: &Post<'_>, key: &str, now: Instant) -> Result<(), Refused> {
    let signature = needed(post, "x-twilio-email-event-webhook-signature")?;
    let signed_at = recent(needed(post, "x-twilio-email-event-webhook-timestamp")?, now)?;
    let key = pem(key);
    let point = key.len().checked_sub(P256_POINT_BYTES).map(|at| &key[at..]);
    let point =
        point.ok_or_else(|| unproven("the verification key of sendgrid is no public key"))?;
    let signed = [signed_at.as_bytes(), post.body].concat();
    let signature = BASE64.decode(signature).unwrap_or_default();
    UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_ASN1, point)
        .verify(&signed, &signature)
        .map_err(|_| unproven("its signature is not of this body and key"))
}

fn mailgun(body: &Node, secret: &str, now: Instant) -> Result<(), Refused> {
    let of = |field: &str| {
        let found = body.text_at(&format!("signature.{field}|{field}"));
        found.ok_or_else(|| unproven(format!("its signature has no {field}")))
    };
    let (signed_at, token, signature) = (of("timestamp")?, of("token")?, of("signature")?);
    recent(&signed_at, now)?;
    let signed = format!("{signed_at}{token}");
    let is_by = |given: &str| hmac_is(secret.as_bytes(), signed.as_bytes(), given, Spelling::Hex);
    // The post of a subaccount is signed by the account above it too.
    match body.text_at("signature.parent-signature") {
        Some(parents) => is_by(&signature).or_else(|_| is_by(&parents)),
        None => is_by(&signature),
    }
}

/// The fields that SNS signs, each with its name, in the order of their names.
const SNS_NOTIFICATION: [&str; 6] = [
    "Message",
    "MessageId",
    "Subject",
    "Timestamp",
    "TopicArn",
    "Type",
];
const SNS_CONFIRMATION: [&str; 7] = [
    "Message",
    "MessageId",
    "SubscribeURL",
    "Timestamp",
    "Token",
    "TopicArn",
    "Type",
];

fn sns(post: &Post<'_>, body: &Node, key: &str, now: Instant) -> Result<(), Refused> {
    let text = |field: &str| body.text_at(field);
    let fields: &[&str] = match text("Type").as_deref() {
        Some("Notification") => &SNS_NOTIFICATION,
        _ => &SNS_CONFIRMATION,
    };
    let lines = fields
        .iter()
        .filter_map(|field| Some(format!("{field}\n{}\n", text(field)?)));
    let signed: String = lines.collect();
    let algorithm: &'static dyn signature::VerificationAlgorithm =
        match text("SignatureVersion").as_deref() {
            Some("1") => &signature::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
            Some("2") => &signature::RSA_PKCS1_2048_8192_SHA256,
            _ => return Err(unproven("its SignatureVersion is neither 1 nor 2")),
        };
    let certificate = match sns::names_topics(key) {
        true => fetched(post, body, key, now)?,
        false => pem(key),
    };
    let key = certificate::public_key(&certificate)
        .ok_or_else(|| unproven("the verification key of ses is no certificate"))?;
    let signature = BASE64
        .decode(text("Signature").unwrap_or_default())
        .unwrap_or_default();
    UnparsedPublicKey::new(algorithm, key)
        .verify(signed.as_bytes(), &signature)
        .map_err(|_| unproven("its signature is not of this body and certificate"))
}

/// The certificate that a post of one of these topics names. Amazon signs the posts of everybody's topics with it, so the topic counts.
fn fetched(post: &Post<'_>, body: &Node, topics: &str, now: Instant) -> Result<Vec<u8>, Refused> {
    let topic = body.text_at("TopicArn").unwrap_or_default();
    if !topics.split_ascii_whitespace().any(|own| own == topic) {
        return Err(unproven("it is not of a topic that verification_key names"));
    }
    let named = post.certificate.ok_or_else(|| {
        unproven("its SigningCertURL is no address of a certificate of Amazon SNS")
    })?;
    let bytes = pem(&String::from_utf8_lossy(named));
    let told = certificate::told(&bytes)
        .filter(|told| sns::signs(&told.name))
        .ok_or_else(|| unproven("what its SigningCertURL holds is no certificate of Amazon SNS"))?;
    match (told.from..=told.to).contains(&now) {
        true => Ok(bytes),
        false => Err(unproven(format!(
            "the certificate of its signature is good from {} to {}",
            told.from, told.to
        ))),
    }
}

fn unisender_go(post: &Post<'_>, body: &Node, secret: &str) -> Result<(), Refused> {
    let given = body
        .text_at("auth")
        .ok_or_else(|| unproven("it has no auth"))?;
    // A hash is in its body once, unless somebody plays with it.
    let text = post.text()?;
    if text.matches(given.as_str()).count() != 1 {
        return Err(unproven("its auth is not in the body once"));
    }
    let hash = hex::encode(Md5::digest(text.replace(given.as_str(), secret)));
    let differs = hash
        .bytes()
        .zip(given.bytes())
        .fold(0, |all, (a, b)| all | (a ^ b));
    match differs == 0 && hash.len() == given.len() {
        true => Ok(()),
        false => Err(unproven("its auth is not of this body and key")),
    }
}

/// The bytes between the lines of a PEM, or of bare base64.
fn pem(text: &str) -> Vec<u8> {
    let lines = text.lines().filter(|line| !line.starts_with("-----"));
    let text: String = lines
        .flat_map(|line| line.chars().filter(|c| !c.is_whitespace()))
        .collect();
    BASE64.decode(text).unwrap_or_default()
}

/// A JSON text without the blanks between its values. Anything else stays as it is.
fn compact(body: &[u8]) -> Vec<u8> {
    if serde_json::from_slice::<&serde_json::value::RawValue>(body).is_err() {
        return body.to_vec();
    }
    let (mut in_text, mut escaped) = (false, false);
    let kept = body.iter().filter(|byte| {
        let keep = in_text || !byte.is_ascii_whitespace();
        match byte {
            b'"' if !escaped => in_text = !in_text,
            _ => {}
        }
        escaped = in_text && **byte == b'\\' && !escaped;
        keep
    });
    kept.copied().collect()
}
