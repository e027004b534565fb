//! Message events: reports of what happened to a message (rule 3.1).

use serde::{Deserialize, Serialize, Serializer};

use crate::record::{AcceptanceWindow, Code, Record, RecordProblem, quoted};
use crate::value::address::{AddressHash, Recipient};
use crate::value::id::{
    CampaignId, CustomerId, EventId, MarketplaceId, MessageId, PromotionId, VoucherCode,
};
use crate::value::time::Instant;

/// The channel on which a message is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Channel {
    Email,
    Push,
    Sms,
}

impl Channel {
    /// All channels. Their order is also the order of their names.
    pub const ALL: [Self; 3] = [Self::Email, Self::Push, Self::Sms];

    /// The name of the channel, as the interface spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Push => "push",
            Self::Sms => "sms",
        }
    }

    /// The channel with this name, if there is one.
    #[inline]
    pub fn parse(name: &str) -> Option<Self> {
        // Every event that is read asks, and a match looks at the length first.
        match name {
            "email" => Some(Self::Email),
            "push" => Some(Self::Push),
            "sms" => Some(Self::Sms),
            _ => None,
        }
    }
}

/// What happened to a message. The order of the variants chooses the touch: of several events at one instant, the greatest
/// connects the message to the order (rule 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum EventKind {
    Unsubscribed,
    Complained,
    Bounced,
    Failed,
    Sent,
    Delivered,
    Opened,
    Clicked,
}

impl EventKind {
    /// All kinds, in ascending order.
    pub const ALL: [Self; 8] = [
        Self::Unsubscribed,
        Self::Complained,
        Self::Bounced,
        Self::Failed,
        Self::Sent,
        Self::Delivered,
        Self::Opened,
        Self::Clicked,
    ];

    /// The name of the kind, as the interface spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unsubscribed => "unsubscribed",
            Self::Complained => "complained",
            Self::Bounced => "bounced",
            Self::Failed => "failed",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Opened => "opened",
            Self::Clicked => "clicked",
        }
    }

    /// The kind with this name, if there is one.
    #[inline]
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "unsubscribed" => Some(Self::Unsubscribed),
            "complained" => Some(Self::Complained),
            "bounced" => Some(Self::Bounced),
            "failed" => Some(Self::Failed),
            "sent" => Some(Self::Sent),
            "delivered" => Some(Self::Delivered),
            "opened" => Some(Self::Opened),
            "clicked" => Some(Self::Clicked),
            _ => None,
        }
    }

    /// True for a kind that can connect a message to an order. Every other kind is engagement only.
    pub fn connects(self) -> bool {
        matches!(
            self,
            Self::Sent | Self::Delivered | Self::Opened | Self::Clicked
        )
    }
}

/// One message event whose fields are all valid. As JSON it has `customer_id`, or else `address`, the hash of the address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    /// The id of the event, unique for the recipient.
    pub event_id: EventId,
    /// What happened to the message.
    pub kind: EventKind,
    /// The channel of the message.
    pub channel: Channel,
    /// The campaign that the message belongs to.
    pub campaign_id: CampaignId,
    /// Whom the message was sent to.
    #[serde(flatten, serialize_with = "named")]
    pub recipient: Recipient,
    /// The id of the message. Events of a campaign on a channel that have no message id together form one message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<MessageId>,
    /// When the event happened, in UTC.
    pub occurred_at: Instant,
    /// The address that a click led to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// True for an open or click that was made by a machine. It is always false for other kinds.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub machine: bool,
    /// The promotion of the voucher code that the message carried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promotion_id: Option<PromotionId>,
    /// The voucher code that the message carried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub voucher_code: Option<VoucherCode>,
    /// The version of the app, as the sender wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_version: Option<String>,
}

/// Writes a recipient as one field, named by what it is.
fn named<S: Serializer>(recipient: &Recipient, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    enum Field<'r> {
        #[serde(rename = "customer_id")]
        Customer(&'r CustomerId),
        #[serde(rename = "address")]
        Address(&'r AddressHash),
    }
    match recipient {
        Recipient::Customer(customer) => Field::Customer(customer),
        Recipient::Address(address) => Field::Address(address),
    }
    .serialize(serializer)
}

/// Whom an event went to: its customer, or else its e-mail address, or else its phone number (rule 3.5).
fn recipient(record: &Record<'_>, marketplace: &MarketplaceId) -> Result<Recipient, RecordProblem> {
    if let Some(customer) = record.id("customer_id", CustomerId::new)? {
        return Ok(customer.into());
    }
    let bad = |field, needs| {
        let detail = format!("{field}: {needs}");
        RecordProblem::of(field, Code::BadAddress, detail)
    };
    if let Some(email) = record.text("email")? {
        let needs = "an e-mail address has 1 to 320 bytes and no control characters";
        match AddressHash::of_email(marketplace, &email) {
            Some(hash) => return Ok(hash.into()),
            // A template without a value leaves a blank text, which names nobody; the phone beside it names somebody.
            None if email.trim().is_empty() && record.text("phone")?.is_some() => {}
            None => return Err(bad("email", needs)),
        }
    }
    if let Some(phone) = record.text("phone")? {
        let hash = AddressHash::of_phone(marketplace, &phone);
        let needs = "a phone number has at least 6 digits";
        return hash.map(Recipient::from).ok_or_else(|| bad("phone", needs));
    }
    let detail = "customer_id is needed, or else email or phone: whom the message went to";
    Err(RecordProblem::of("customer_id", Code::Missing, detail))
}

/// The same of a record of our own exports, which name an address by its hash.
fn exported_recipient(
    record: &Record<'_>,
    marketplace: &MarketplaceId,
) -> Result<Recipient, RecordProblem> {
    let customer = record.id("customer_id", CustomerId::new)?;
    let (None, Some(address)) = (customer, record.text("address")?) else {
        return recipient(record, marketplace);
    };
    let hash = AddressHash::parse(&address).map(Recipient::from);
    hash.ok_or_else(|| {
        let detail = format!("address: {} is not 32 hexadecimal digits", quoted(&address));
        RecordProblem::of("address", Code::BadAddress, detail)
    })
}

/// The fields of an event. Any other field of a record is ignored.
pub const FIELDS: [&str; 14] = [
    "event_id",
    "kind",
    "channel",
    "campaign_id",
    "customer_id",
    "email",
    "phone",
    "message_id",
    "occurred_at",
    "url",
    "machine",
    "promotion_id",
    "voucher_code",
    "app_version",
];

/// The columns that an events file must have; of names joined by `|`, one.
pub const NEEDED: [&str; 6] = [
    "event_id",
    "kind",
    "channel",
    "campaign_id",
    "customer_id|email|phone",
    "occurred_at",
];

impl Event {
    /// Reads a record of a marketplace. Without an acceptance window, as in runs over files, any time is accepted. Where a customer is
    /// named, `email` and `phone` are not looked at.
    ///
    /// # Errors
    /// The problem of the first bad field, in the order of rule 3.1.
    pub fn read(
        record: &Record<'_>,
        marketplace: &MarketplaceId,
        acceptance_window: Option<&AcceptanceWindow>,
    ) -> Result<Self, RecordProblem> {
        Self::read_with(record, acceptance_window, |record| {
            recipient(record, marketplace)
        })
    }

    /// Reads an event of our own export of a marketplace, which may name an address by its hash, as `address`.
    ///
    /// # Errors
    /// As [`Event::read`]; `bad_address` also where `address` is no such hash.
    pub fn read_exported(
        record: &Record<'_>,
        marketplace: &MarketplaceId,
    ) -> Result<Self, RecordProblem> {
        Self::read_with(record, None, |record| {
            exported_recipient(record, marketplace)
        })
    }

    fn read_with(
        record: &Record<'_>,
        acceptance_window: Option<&AcceptanceWindow>,
        recipient: impl Fn(&Record<'_>) -> Result<Recipient, RecordProblem>,
    ) -> Result<Self, RecordProblem> {
        let event_id = record.needed_id("event_id", EventId::new)?;
        let kind = record.needed("kind")?;
        let kind = EventKind::parse(&kind).ok_or_else(|| {
            RecordProblem::of(
                "kind",
                Code::UnknownKind,
                format!(
                    "kind: {} is none of sent, delivered, bounced, failed, opened, clicked, unsubscribed, complained",
                    quoted(&kind)
                ),
            )
        })?;
        let channel = record.needed("channel")?;
        let channel = Channel::parse(&channel).ok_or_else(|| {
            RecordProblem::of(
                "channel",
                Code::UnknownChannel,
                format!("channel: {} is none of email, push, sms", quoted(&channel)),
            )
        })?;
        let campaign_id = record.needed_id("campaign_id", CampaignId::new)?;
        let recipient = recipient(record)?;
        let message_id = record.id("message_id", MessageId::new)?;
        let occurred_at = record.needed_instant("occurred_at")?;
        if let Some(acceptance_window) = acceptance_window {
            acceptance_window.check("occurred_at", occurred_at)?;
        }
        let url = record.free_text("url");
        let machine =
            record.flag("machine")? && matches!(kind, EventKind::Opened | EventKind::Clicked);
        let promotion_id = record.id("promotion_id", PromotionId::new)?;
        let voucher_code = record.id("voucher_code", VoucherCode::new)?;
        let app_version = record.text("app_version")?.map(String::from);
        if let Some(text) = &app_version
            && !is_version(text)
        {
            return Err(RecordProblem::of(
                "app_version",
                Code::BadVersion,
                format!("app_version: {} is no version like 5.1", quoted(text)),
            ));
        }
        Ok(Self {
            event_id,
            kind,
            channel,
            campaign_id,
            recipient,
            message_id,
            occurred_at,
            url,
            machine,
            promotion_id,
            voucher_code,
            app_version,
        })
    }

    /// True for a push open from an app below version 5.1. Such an open counts for no figure and is no touch.
    pub fn app_too_old(&self) -> bool {
        app_too_old(self.kind, self.channel, self.app_version.as_deref())
    }
}

/// True for a text that is a version: it begins with a number.
pub(crate) fn is_version(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit()) && text.len() <= crate::value::id::ID_BYTES_MAX
}

/// True for a push open from an app below version 5.1. An absent or empty version is none.
pub(crate) fn app_too_old(kind: EventKind, channel: Channel, version: Option<&str>) -> bool {
    let version = version.filter(|version| !version.is_empty());
    kind == EventKind::Opened
        && channel == Channel::Push
        && version.is_some_and(|version| !at_least_5_1(version))
}

/// True where a version is 5.1 or above. Versions are compared number by number, so 5.10 is above 5.9. A missing part is 0, and
/// everything after the first other character is ignored.
fn at_least_5_1(version: &str) -> bool {
    let mut parts = [0_u64; 2];
    let mut rest = version;
    for part in &mut parts {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        *part = rest[..digits].bytes().fold(0_u64, |n, b| {
            n.saturating_mul(10).saturating_add(u64::from(b - b'0'))
        });
        match rest[digits..].strip_prefix('.') {
            Some(after) => rest = after,
            None => break,
        }
    }
    parts >= [5, 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read() {
        for channel in Channel::ALL {
            assert_eq!(Channel::parse(channel.name()), Some(channel));
        }
        for kind in EventKind::ALL {
            assert_eq!(EventKind::parse(kind.name()), Some(kind));
        }
    }

    #[test]
    fn versions_compare_number_by_number() {
        for (version, enough) in [
            ("5.1", true),
            ("5.10", true),
            ("5.9", true),
            ("5.0", false),
            ("5", false),
            ("5.0.9", false),
            ("4.99", false),
            ("6", true),
            ("10.0", true),
            ("5.1-beta", true),
            ("5-1", false),
            ("5..1", false),
            ("05.01", true),
            ("99999999999999999999999.0", true),
        ] {
            assert_eq!(at_least_5_1(version), enough, "{version}");
        }
    }

    #[test]
    fn the_first_bad_field_is_named() {
        let good = r#""event_id":"e","kind":"opened","channel":"push","campaign_id":"c","customer_id":"x","occurred_at":"2026-11-20T10:15:00Z""#;
        for (more, code, field) in [
            (r#","event_id":null"#, Code::Missing, "event_id"),
            (r#","event_id":7"#, Code::WrongType, "event_id"),
            (r#","event_id":"""#, Code::BadId, "event_id"),
            (
                r#","kind":"seen","channel":"fax""#,
                Code::UnknownKind,
                "kind",
            ),
            (r#","channel":"Email""#, Code::UnknownChannel, "channel"),
            (r#","message_id":[]"#, Code::WrongType, "message_id"),
            (
                r#","occurred_at":"yesterday""#,
                Code::BadTime,
                "occurred_at",
            ),
            (
                r#","occurred_at":"2026-08-22T10:14:59.999Z""#,
                Code::TooOld,
                "occurred_at",
            ),
            (
                r#","occurred_at":"2026-11-20T10:25:00.001Z""#,
                Code::InFuture,
                "occurred_at",
            ),
            (r#","machine":"true""#, Code::WrongType, "machine"),
            (r#","app_version":"beta""#, Code::BadVersion, "app_version"),
        ] {
            let text = format!("{{{good}{more}}}");
            let acceptance_window = AcceptanceWindow {
                now: Instant::parse("2026-11-20T10:15:00Z").unwrap(),
                retention: crate::value::time::Retention::DEFAULT,
            };
            let problem = read(&text, Some(&acceptance_window)).unwrap_err();
            assert_eq!(
                (problem.code, problem.field.as_deref()),
                (code, Some(field)),
                "{more}"
            );
        }
        let text = format!(
            r#"{{{good},"url":7,"machine":true,"more":[1],"occurred_at":"2026-08-22T10:15:00Z"}}"#
        );
        let acceptance_window = AcceptanceWindow {
            now: Instant::parse("2026-11-20T10:15:00Z").unwrap(),
            retention: crate::value::time::Retention::DEFAULT,
        };
        assert!(read(&text, Some(&acceptance_window)).unwrap().machine);
    }

    fn read(text: &str, window: Option<&AcceptanceWindow>) -> Result<Event, RecordProblem> {
        let shop = MarketplaceId::new("shop").unwrap();
        Event::read(&Record::from_json(text).unwrap(), &shop, window)
    }

    /// The same of an export, in which an address is a hash. A customer goes first, because others have a column of that name.
    #[test]
    fn whom_an_exported_event_went_to() {
        let shop = MarketplaceId::new("shop").unwrap();
        let event = r#""event_id":"e","kind":"sent","channel":"email","campaign_id":"c","occurred_at":"2026-11-20T10:15:00Z""#;
        let hash = "95ecdf3c865da630646295c41c5991ad";
        let ann = Recipient::from(AddressHash::parse(hash).unwrap());
        for (whom, goes_to) in [
            (format!(r#""address":"{hash}""#), Ok(ann.clone())),
            (r#""email":"ann@example.com""#.to_owned(), Ok(ann)),
            (
                r#""customer_id":"c","address":"Oak Street 7""#.to_owned(),
                Ok(Recipient::parse("c").unwrap()),
            ),
            (
                r#""address":"Oak Street 7""#.to_owned(),
                Err(Code::BadAddress),
            ),
            (r#""address":null"#.to_owned(), Err(Code::Missing)),
        ] {
            let text = format!("{{{event},{whom}}}");
            let read = Event::read_exported(&Record::from_json(&text).unwrap(), &shop);
            let read = read.map(|event| event.recipient).map_err(|why| why.code);
            assert_eq!(read, goes_to, "{whom}");
        }
    }

    /// Whom an event goes to, as the event is written; or what is wrong with it.
    #[test]
    fn whom_an_event_goes_to() {
        const ANN: &str = r#""address":"95ecdf3c865da630646295c41c5991ad""#;
        const PHONE: &str = r#""address":"61de3836122dbf60d5add6e82f3532ff""#;
        for (whom, goes_to) in [
            (
                r#""customer_id":"c","email":7,"phone":"1""#,
                Ok(r#""customer_id":"c""#),
            ),
            (r#""email":"ann@example.com","phone":"1""#, Ok(ANN)),
            (r#""customer_id":null,"email":" ANN@example.com ""#, Ok(ANN)),
            (r#""phone":"+38 094 258-36-91""#, Ok(PHONE)),
            (r#""email":null,"phone":"380942583691""#, Ok(PHONE)),
            (r#""email":"380942583691""#, Ok(PHONE)),
            (r#""message_id":"m""#, Err((Code::Missing, "customer_id"))),
            (
                r#""customer_id":"","email":"ann@example.com""#,
                Err((Code::BadId, "customer_id")),
            ),
            (r#""email":"","phone":"380942583691""#, Ok(PHONE)),
            (r#""email":" ","phone":"380942583691""#, Ok(PHONE)),
            (
                r#""email":"","phone":"12345""#,
                Err((Code::BadAddress, "phone")),
            ),
            (
                r#""email":"","phone":null"#,
                Err((Code::BadAddress, "email")),
            ),
            (
                r#""email":"\u0000","phone":"380942583691""#,
                Err((Code::BadAddress, "email")),
            ),
            (r#""email":"ann@example.com","phone":7"#, Ok(ANN)),
            (r#""email":" ""#, Err((Code::BadAddress, "email"))),
            (
                r#""email":"ann\u0000@example.com""#,
                Err((Code::BadAddress, "email")),
            ),
            (
                r#""email":["ann@example.com"]"#,
                Err((Code::WrongType, "email")),
            ),
            (r#""phone":"12345""#, Err((Code::BadAddress, "phone"))),
            (r#""phone":380942583691"#, Err((Code::WrongType, "phone"))),
        ] {
            let text = format!(
                r#"{{"event_id":"e","kind":"sent","channel":"sms","campaign_id":"k",{whom},"occurred_at":"2026-11-20T10:15:00Z"}}"#
            );
            let read = read(&text, None);
            let written = read.map(|event| serde_json::to_string(&event).unwrap());
            let expected = goes_to.map(|field| {
                format!(
                    r#"{{"event_id":"e","kind":"sent","channel":"sms","campaign_id":"k",{field},"occurred_at":"2026-11-20T10:15:00.000Z"}}"#
                )
            });
            let problem = |problem: RecordProblem| (problem.code, problem.field);
            let named = |(code, field): (Code, &str)| (code, Some(field.to_owned()));
            assert_eq!(written.map_err(problem), expected.map_err(named), "{whom}");
        }
    }
}
