//! The senders of webhooks: how each names our ids, what proves its posts, and how a sender of a marketplace's own is described
//! (rule 4.1, `providers`). What a post means is in the crate of providers.

use std::collections::BTreeMap;

use chrono::format::{Item, StrftimeItems};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::reader::{SettingsReader, by_name, present};
use crate::attribution::event::{Channel, EventKind};
use crate::attribution::order::Status;
use crate::record::{Code, Problems, RecordProblem, no_controls, shown};

/// The built-in senders, by the name in the address of their webhook.
pub const SENDERS: [&str; 15] = [
    "sendgrid",
    "mailgun",
    "postmark",
    "ses",
    "sparkpost",
    "brevo",
    "mailjet",
    "resend",
    "mailersend",
    "mailtrap",
    "unisender_go",
    "yespo",
    "shopify",
    "woocommerce",
    "voucherify",
];

/// What stands in an answer for a secret. Saved again it means the secret that is stored.
pub const HIDDEN: &str = "(hidden)";
/// What stands in the answer to a change for a secret that was replaced.
const HIDDEN_NEW: &str = "(hidden, new)";

/// The most senders of a marketplace's own.
const CUSTOM_MAX: usize = 50;
/// The most words of one sender that are translated.
const WORDS_MAX: usize = 200;
/// The longest path or secret, in bytes. A certificate has some 2,000.
const TEXT_BYTES_MAX: usize = 4_096;
/// The longest name of a sender, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// The settings of all senders.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Providers {
    /// Senders of the marketplace's own, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub custom: BTreeMap<String, CustomSender>,
    /// Built-in senders, by name.
    #[serde(flatten)]
    pub builtin: BTreeMap<String, Provider>,
}

/// What settings say of a built-in sender. A path is dotted, and says where in an event a value is found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provider {
    /// The path of the campaign's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaign_id: Option<String>,
    /// The path of the customer's id. Where there is none, the address of the recipient says whom an event went to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer_id: Option<String>,
    /// The path of the message's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// What proves a post: a secret, a public key or a certificate, as the sender has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification_key: Option<String>,
    /// The zone of times that have no offset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<Tz>,
    /// What the words of a shop for a status mean, where that is not what the built-in table says.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub statuses: BTreeMap<String, Status>,
}

/// A sender of a marketplace's own: a row of the table of senders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomSender {
    /// The path of the list of events; where it is left out, the body is an event or a list of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<String>,
    /// The path of the event's id; where it is left out, the id is hashed from what names the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The path of the word for the kind of the event.
    pub kind: String,
    /// What each word means. Events of other words are ignored, and counted.
    pub kinds: BTreeMap<String, EventKind>,
    /// The path of the time; where it is left out, an event happened when it arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// How times are written.
    #[serde(default)]
    pub unit: TimeUnit,
    /// The zone of times that have no offset; where it is left out, the marketplace's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<Tz>,
    /// The channel of all its events.
    pub channel: Channel,
    /// The path of the campaign's id.
    pub campaign_id: String,
    /// The path of the customer's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer_id: Option<String>,
    /// The path of the recipient's e-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The path of the recipient's phone number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// The path of the message's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// The path of the address that a click led to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// What marks an event that a machine caused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<MachineMark>,
    /// What proves a post.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
}

/// How a sender writes its times. Printed and stored as `s`, `ms`, `rfc3339` or the format.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum TimeUnit {
    /// Seconds of the epoch.
    Seconds,
    /// Milliseconds of the epoch.
    Milliseconds,
    /// RFC 3339.
    #[default]
    Rfc3339,
    /// A format of `strftime`.
    Format(String),
}

impl From<String> for TimeUnit {
    fn from(text: String) -> Self {
        match text.as_str() {
            "s" => Self::Seconds,
            "ms" => Self::Milliseconds,
            "rfc3339" => Self::Rfc3339,
            _ => Self::Format(text),
        }
    }
}

impl From<TimeUnit> for String {
    fn from(unit: TimeUnit) -> Self {
        match unit {
            TimeUnit::Seconds => "s".to_owned(),
            TimeUnit::Milliseconds => "ms".to_owned(),
            TimeUnit::Rfc3339 => "rfc3339".to_owned(),
            TimeUnit::Format(format) => format,
        }
    }
}

impl TimeUnit {
    /// The unit of this name, or the format; `None` for a text that is neither. A format has a directive, and no unknown one.
    fn parse(text: &str) -> Option<Self> {
        let unit = Self::from(text.to_owned());
        let is_good = match &unit {
            Self::Format(format) => {
                let bad = StrftimeItems::new(format).any(|item| matches!(item, Item::Error));
                format.contains('%') && !bad
            }
            _ => true,
        };
        is_good.then_some(unit)
    }
}

/// Where a sender marks what a machine did, and by which value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineMark {
    /// The path of the mark.
    pub path: String,
    /// The value of the mark; `*` is any.
    pub is: String,
}

/// How a sender of a marketplace's own signs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// The scheme.
    pub scheme: SignatureScheme,
    /// What is signed: a text with `{body}` and, where there is a time, `{timestamp}`.
    #[serde(default = "whole_body")]
    pub over: String,
    /// The header of the signature. Standard Webhooks has headers of its own.
    #[serde(default)]
    pub header: String,
    /// The header of the time that is signed too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
    /// The key.
    pub secret: String,
}

fn whole_body() -> String {
    "{body}".to_owned()
}

/// A scheme of signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum SignatureScheme {
    #[serde(rename = "hmac-sha256-hex")]
    HmacSha256Hex,
    #[serde(rename = "hmac-sha256-base64")]
    HmacSha256Base64,
    StandardWebhooks,
}

impl Providers {
    /// True where nothing is set.
    pub fn is_empty(&self) -> bool {
        self.custom.is_empty() && self.builtin.is_empty()
    }

    /// The secrets, each with the dotted name of its place.
    fn secrets(&mut self) -> impl Iterator<Item = (String, &mut String)> {
        let builtin = self.builtin.iter_mut().filter_map(|(name, provider)| {
            let key = provider.verification_key.as_mut()?;
            Some((format!("providers.{name}.verification_key"), key))
        });
        let custom = self.custom.iter_mut().filter_map(|(name, own)| {
            let secret = &mut own.signature.as_mut()?.secret;
            Some((format!("providers.custom.{name}.signature.secret"), secret))
        });
        builtin.chain(custom)
    }

    /// These settings as an answer shows them: without their secrets.
    pub fn without_secrets(&self) -> Self {
        let mut hidden = self.clone();
        hidden
            .secrets()
            .for_each(|(_, secret)| HIDDEN.clone_into(secret));
        hidden
    }

    /// The same of settings that replaced others: a secret that is another one than before is shown as `(hidden, new)`.
    pub fn without_secrets_since(&self, before: &Self) -> Self {
        let old = before.clone().secrets_by_place();
        let mut hidden = self.clone();
        for (at, secret) in hidden.secrets() {
            let is_old = old.get(&at).is_none_or(|old| old == secret);
            (if is_old { HIDDEN } else { HIDDEN_NEW }).clone_into(secret);
        }
        hidden
    }

    fn secrets_by_place(mut self) -> BTreeMap<String, String> {
        let secrets = self.secrets();
        secrets.map(|(at, secret)| (at, secret.clone())).collect()
    }

    /// Puts the secrets that are stored where an answer's [`HIDDEN`] was sent back.
    ///
    /// # Errors
    /// `missing` for each place where nothing is stored.
    pub fn with_secrets_of(mut self, stored: &Self) -> Result<Self, Problems> {
        let stored = stored.clone().secrets_by_place();
        let mut problems = Problems::new();
        for (at, secret) in self.secrets().filter(|(_, secret)| *secret == HIDDEN) {
            match stored.get(&at) {
                Some(own) => own.clone_into(secret),
                None => {
                    let detail = format!(
                        "{at}: nothing is stored there that {HIDDEN} could stand for: give the secret"
                    );
                    problems.push(RecordProblem::of(&at, Code::Missing, detail));
                }
            }
        }
        match problems.is_empty() {
            true => Ok(self),
            false => Err(problems),
        }
    }
}

/// Reads the field `providers`. What is wrong is left in the reader.
pub(super) fn read(reader: &mut SettingsReader, value: &Value) -> Providers {
    let mut providers = Providers::default();
    let Some(senders) = reader.object(value, "providers", "an object by sender") else {
        return providers;
    };
    for (name, value) in senders {
        let here = format!("providers.{}", shown(name));
        if name == "custom" {
            providers.custom = read_custom(reader, value);
        } else if let Err(bad) = no_controls("providers", name) {
            reader.problems.push(bad);
        } else if !SENDERS.contains(&name.as_str()) {
            let known = SENDERS.join(", ");
            reader.problem(&here, Code::UnknownField, &format!("{known}, custom"));
        } else if let Some(fields) = reader.object(
            value,
            &here,
            "an object with campaign_id, customer_id and more",
        ) {
            let provider = within(reader, &here, |reader| read_builtin(reader, fields));
            providers.builtin.insert(name.clone(), provider);
        }
    }
    providers
}

/// Reads the object at a place.
fn within<T>(
    reader: &mut SettingsReader,
    here: &str,
    read: impl FnOnce(&mut SettingsReader) -> T,
) -> T {
    let outer = std::mem::replace(&mut reader.prefix, here.to_owned());
    let found = read(reader);
    reader.prefix = outer;
    found
}

fn read_builtin(reader: &mut SettingsReader, fields: &Map<String, Value>) -> Provider {
    reader.unknown_fields(
        fields,
        &[
            "campaign_id",
            "customer_id",
            "message_id",
            "verification_key",
            "zone",
            "statuses",
        ],
    );
    Provider {
        campaign_id: text(reader, fields, "campaign_id", "the path of a value"),
        customer_id: text(reader, fields, "customer_id", "the path of a value"),
        message_id: text(reader, fields, "message_id", "the path of a value"),
        verification_key: text(reader, fields, "verification_key", "the sender's key"),
        zone: zone(reader, fields),
        statuses: words(
            reader,
            fields,
            "statuses",
            Status::parse,
            &Status::ALL.map(Status::name).join(", "),
        ),
    }
}

fn read_custom(reader: &mut SettingsReader, value: &Value) -> BTreeMap<String, CustomSender> {
    let mut custom = BTreeMap::new();
    let Some(senders) = reader.object(value, "providers.custom", "an object by name of a sender")
    else {
        return custom;
    };
    if senders.len() > CUSTOM_MAX {
        reader.problem(
            "providers.custom",
            Code::UnknownValue,
            "an object of at most 50 senders",
        );
    }
    for (name, value) in senders.iter().take(CUSTOM_MAX) {
        let here = format!("providers.custom.{}", shown(name));
        let plain = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_'
        };
        if !(1..=NAME_BYTES_MAX).contains(&name.len())
            || !name.bytes().all(plain)
            || SENDERS.contains(&name.as_str())
        {
            let expected = "named by 1 to 64 of a-z 0-9 - _, and not like a built-in sender";
            reader.problem(&here, Code::UnknownValue, expected);
        } else if let Some(fields) = reader.object(
            value,
            &here,
            "an object with kind, kinds, channel, campaign_id and more",
        ) && let Some(own) = within(reader, &here, |reader| read_own(reader, fields))
        {
            custom.insert(name.clone(), own);
        }
    }
    custom
}

fn read_own(reader: &mut SettingsReader, fields: &Map<String, Value>) -> Option<CustomSender> {
    const PATH: &str = "the path of a value";
    let known = [
        "list",
        "id",
        "kind",
        "kinds",
        "at",
        "unit",
        "zone",
        "channel",
        "campaign_id",
        "customer_id",
        "email",
        "phone",
        "message_id",
        "url",
        "machine",
        "signature",
    ];
    reader.unknown_fields(fields, &known);
    let kind = needed(reader, fields, "kind", PATH);
    let names = EventKind::ALL.map(EventKind::name).join(", ");
    let kinds = words(reader, fields, "kinds", EventKind::parse, &names);
    if present(fields, "kinds").is_none() {
        reader.problem(
            "kinds",
            Code::Missing,
            "an object from the sender's words to kinds",
        );
    }
    let channel = reader.one_of(fields, "channel", Channel::parse, || {
        "email, push or sms".into()
    });
    if present(fields, "channel").is_none() {
        reader.problem("channel", Code::Missing, "email, push or sms");
    }
    let campaign_id = needed(reader, fields, "campaign_id", PATH);
    let mut path = |field: &str| text(reader, fields, field, PATH);
    let [list, id, at, customer_id, email, phone, message_id, url] = [
        "list",
        "id",
        "at",
        "customer_id",
        "email",
        "phone",
        "message_id",
        "url",
    ]
    .map(&mut path);
    if ["customer_id", "email", "phone"]
        .iter()
        .all(|field| present(fields, field).is_none())
    {
        reader.problem(
            "customer_id",
            Code::Missing,
            "customer_id, email or phone says whom an event went to",
        );
    }
    let unit = reader.one_of(fields, "unit", TimeUnit::parse, || {
        "s, ms, rfc3339 or a format like %Y-%m-%d %H:%M:%S".into()
    });
    Some(CustomSender {
        list,
        id,
        at,
        customer_id,
        email,
        phone,
        message_id,
        url,
        unit: unit.unwrap_or_default(),
        zone: zone(reader, fields),
        machine: read_machine(reader, fields),
        signature: read_signature(reader, fields),
        kind: kind?,
        kinds,
        channel: channel?,
        campaign_id: campaign_id?,
    })
}

fn read_machine(reader: &mut SettingsReader, fields: &Map<String, Value>) -> Option<MachineMark> {
    let value = present(fields, "machine")?;
    let mark = reader.object(value, "machine", "an object with path and is")?;
    let here = reader.name("machine");
    within(reader, &here, |reader| {
        reader.unknown_fields(mark, &["path", "is"]);
        let path = needed(reader, mark, "path", "the path of the mark");
        let is = match present(mark, "is") {
            Some(Value::Bool(flag)) => Some(flag.to_string()),
            Some(Value::Number(number)) => Some(number.to_string()),
            _ => needed(reader, mark, "is", "the value of the mark, or * for any"),
        };
        Some(MachineMark {
            path: path?,
            is: is?,
        })
    })
}

fn read_signature(reader: &mut SettingsReader, fields: &Map<String, Value>) -> Option<Signature> {
    const SCHEMES: &str = "hmac-sha256-hex, hmac-sha256-base64 or standard-webhooks";
    let value = present(fields, "signature")?;
    let given = reader.object(
        value,
        "signature",
        "an object with scheme, header and secret",
    )?;
    let here = reader.name("signature");
    within(reader, &here, |reader| {
        reader.unknown_fields(given, &["scheme", "over", "header", "timestamp", "secret"]);
        let scheme = reader.one_of(given, "scheme", by_name, || SCHEMES.into());
        if present(given, "scheme").is_none() {
            reader.problem("scheme", Code::Missing, SCHEMES);
        }
        let secret = needed(reader, given, "secret", "the sender's key");
        let over = reader.one_of(given, "over", over, || {
            "a text with {body} and perhaps {timestamp}".into()
        });
        let over = over.unwrap_or_else(whole_body);
        let timestamp = reader.one_of(given, "timestamp", header, || "the name of a header".into());
        if over.contains("{timestamp}") && present(given, "timestamp").is_none() {
            reader.problem(
                "timestamp",
                Code::Missing,
                "the header of the time that over names",
            );
        }
        let name = reader.one_of(given, "header", header, || "the name of a header".into());
        if present(given, "header").is_none() && scheme != Some(SignatureScheme::StandardWebhooks) {
            reader.problem(
                "header",
                Code::Missing,
                "the name of the header of the signature",
            );
        }
        let header = name.unwrap_or_default();
        Some(Signature {
            scheme: scheme?,
            over,
            header,
            timestamp,
            secret: secret?,
        })
    })
}

/// What is signed must have the body in it, or anything could be sent under an old signature.
fn over(text: &str) -> Option<String> {
    let rest = text.replace("{body}", "").replace("{timestamp}", "");
    let good =
        text.contains("{body}") && !rest.contains(['{', '}']) && text.len() <= TEXT_BYTES_MAX;
    good.then(|| text.to_owned())
}

fn header(text: &str) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let good = (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(plain);
    good.then(|| text.to_ascii_lowercase())
}

fn text(
    reader: &mut SettingsReader,
    fields: &Map<String, Value>,
    field: &str,
    expected: &str,
) -> Option<String> {
    let is_good = |text: &str| (1..=TEXT_BYTES_MAX).contains(&text.len());
    reader.one_of(
        fields,
        field,
        |text| is_good(text).then(|| text.to_owned()),
        || expected.to_owned(),
    )
}

fn needed(
    reader: &mut SettingsReader,
    fields: &Map<String, Value>,
    field: &str,
    expected: &str,
) -> Option<String> {
    if present(fields, field).is_none() {
        reader.problem(field, Code::Missing, expected);
    }
    text(reader, fields, field, expected)
}

fn zone(reader: &mut SettingsReader, fields: &Map<String, Value>) -> Option<Tz> {
    let zone = |name: &str| name.parse::<Tz>().ok();
    reader.one_of(fields, "zone", zone, || {
        "an IANA time zone like Europe/Kyiv".into()
    })
}

/// A table from a sender's words, in lower case, to values of ours.
fn words<T>(
    reader: &mut SettingsReader,
    fields: &Map<String, Value>,
    field: &str,
    parse: impl Fn(&str) -> Option<T>,
    expected: &str,
) -> BTreeMap<String, T> {
    let mut table = BTreeMap::new();
    let Some(words) =
        present(fields, field).and_then(|value| reader.object(value, field, "an object by word"))
    else {
        return table;
    };
    if words.len() > WORDS_MAX {
        reader.problem(field, Code::UnknownValue, "an object of at most 200 words");
    }
    for word in words.keys().take(WORDS_MAX) {
        let here = reader.name(field);
        let value = within(reader, &here, |reader| {
            reader.one_of(words, word, &parse, || expected.to_owned())
        });
        if let Some(value) = value {
            table.insert(word.to_lowercase(), value);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read_all(value: Value) -> (Providers, Vec<(String, Code)>) {
        let mut reader = SettingsReader {
            prefix: String::new(),
            problems: Problems::new(),
        };
        let providers = read(&mut reader, &value);
        let named = |bad: &RecordProblem| (bad.field.clone().unwrap_or_default(), bad.code);
        (providers, reader.problems.iter().map(named).collect())
    }

    fn own() -> Value {
        json!({"list":"events","id":"id","kind":"type","kinds":{"Open":"opened"},"at":"ts","unit":"ms","zone":"Europe/Kyiv",
            "channel":"sms","campaign_id":"meta.campaign","phone":"to","machine":{"path":"bot","is":true},
            "signature":{"scheme":"hmac-sha256-hex","over":"{timestamp}:{body}","header":"X-Signature","timestamp":"X-Timestamp","secret":"s"}})
    }

    #[test]
    fn what_is_stored_is_what_was_read() {
        let (providers, problems) = read_all(json!({
            "sendgrid": {"campaign_id":"metadata.campaign","customer_id":"metadata.customer","verification_key":"k"},
            "shopify": {"statuses":{"fulfilled":"DELIVERED"},"zone":"Europe/Kyiv"},
            "custom": {"my-tool": own()},
        }));
        assert_eq!(problems, []);
        let stored = json!(providers);
        assert_eq!(
            serde_json::from_value::<Providers>(stored.clone()).unwrap(),
            providers
        );
        assert_eq!(read_all(stored), (providers, vec![]));
        // What was stored when a provider was a table of texts.
        let old = json!({"sendgrid":{"campaign_id":"c"},"another":{"customer_id":"x"}});
        let old: Providers = serde_json::from_value(old).unwrap();
        assert_eq!(old.builtin["sendgrid"].campaign_id.as_deref(), Some("c"));
        assert_eq!(json!(Providers::default()), json!({}));
    }

    #[test]
    fn every_fault_is_named() {
        let with = |change: Value| {
            let mut own = own();
            let fields = own.as_object_mut().unwrap();
            fields.extend(change.as_object().unwrap().clone());
            json!({"custom":{"t": own}})
        };
        let at = |field: &str| format!("providers.custom.t.{field}");
        for (value, expected) in [
            (json!([]), vec![("providers".to_owned(), Code::WrongType)]),
            (
                json!({"shopfy":{}}),
                vec![("providers.shopfy".to_owned(), Code::UnknownField)],
            ),
            (
                json!({"brevo":{"zone":"Mars","campaign":"x","campaign_id":""}}),
                vec![
                    ("providers.brevo.campaign".to_owned(), Code::UnknownField),
                    ("providers.brevo.campaign_id".to_owned(), Code::UnknownValue),
                    ("providers.brevo.zone".to_owned(), Code::UnknownValue),
                ],
            ),
            (
                json!({"shopify":{"statuses":{"paid":"LOST"}}}),
                vec![(
                    "providers.shopify.statuses.paid".to_owned(),
                    Code::UnknownValue,
                )],
            ),
            (
                json!({"custom":{"My Tool":own()}}),
                vec![("providers.custom.My Tool".to_owned(), Code::UnknownValue)],
            ),
            (
                json!({"custom":{"brevo":own()}}),
                vec![("providers.custom.brevo".to_owned(), Code::UnknownValue)],
            ),
            (
                with(json!({"kind":null,"channel":"fax"})),
                vec![
                    (at("kind"), Code::Missing),
                    (at("channel"), Code::UnknownValue),
                ],
            ),
            (
                with(json!({"phone":null})),
                vec![(at("customer_id"), Code::Missing)],
            ),
            (
                with(json!({"unit":"minutes"})),
                vec![(at("unit"), Code::UnknownValue)],
            ),
            (
                with(json!({"unit":"%Y %Q"})),
                vec![(at("unit"), Code::UnknownValue)],
            ),
            (
                with(json!({"kinds":{"a":"seen"}})),
                vec![(at("kinds.a"), Code::UnknownValue)],
            ),
            (
                with(json!({"signature":{"scheme":"md5","over":"{timestamp}","secret":"s"}})),
                vec![
                    (at("signature.scheme"), Code::UnknownValue),
                    (at("signature.over"), Code::UnknownValue),
                    (at("signature.header"), Code::Missing),
                ],
            ),
            (
                with(
                    json!({"signature":{"scheme":"hmac-sha256-hex","over":"{timestamp}.{body}","header":"a b","secret":7}}),
                ),
                vec![
                    (at("signature.secret"), Code::WrongType),
                    (at("signature.timestamp"), Code::Missing),
                    (at("signature.header"), Code::UnknownValue),
                ],
            ),
        ] {
            assert_eq!(read_all(value.clone()).1, expected, "{value}");
        }
    }

    #[test]
    fn secrets_do_not_leave_and_come_back() {
        let (stored, _) =
            read_all(json!({"sendgrid":{"verification_key":"k1"},"custom":{"t":own()}}));
        let shown = stored.without_secrets();
        let text = json!(shown).to_string();
        assert!(
            !text.contains("k1") && !text.contains(r#""secret":"s""#),
            "{text}"
        );
        assert_eq!(shown.clone().with_secrets_of(&stored), Ok(stored.clone()));
        let problems = shown.with_secrets_of(&Providers::default()).unwrap_err();
        assert_eq!(problems.total(), 2);
        let (other, _) = read_all(json!({"sendgrid":{"verification_key":"k2"}}));
        assert_eq!(other.clone().with_secrets_of(&stored), Ok(other));
    }
}
