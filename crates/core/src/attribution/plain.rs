//! Events and orders of plain rows: what decisions and figures need of them, with texts that are borrowed. [`Event::read`] and
//! [`Order::read`] say what a row means and why it is rejected. This module knows at a glance most rows that they accept, and says
//! the same of them; whatever else a row is, it leaves to them.

use crate::attribution::event::{Channel, Event, EventKind, app_too_old, is_version};
use crate::attribution::order::{Order, Status, refund};
use crate::record::Record;
use crate::value::address::{AddressHash, Recipient};
use crate::value::id::{CustomerId, ID_BYTES_MAX, MarketplaceId, OrderId, may_be_control};
use crate::value::money::{Currency, Money};
use crate::value::time::Instant;

/// Whom an event went to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PlainRecipient<'a> {
    /// A customer, by their id.
    Customer(&'a str),
    /// An address.
    Address(AddressHash),
}

/// What is needed of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "as in `Event`")]
pub struct PlainEvent<'a> {
    pub event_id: &'a str,
    pub kind: EventKind,
    pub channel: Channel,
    pub campaign_id: &'a str,
    pub recipient: PlainRecipient<'a>,
    pub message_id: Option<&'a str>,
    pub occurred_at: Instant,
    pub machine: bool,
    /// True for a push open from an app below version 5.1.
    pub app_too_old: bool,
}

impl<'a> PlainEvent<'a> {
    /// The fields that [`PlainEvent::read`] takes. The others can be anything.
    pub const FIELDS: [&'static str; 13] = [
        "event_id",
        "kind",
        "channel",
        "campaign_id",
        "customer_id",
        "email",
        "phone",
        "message_id",
        "occurred_at",
        "machine",
        "promotion_id",
        "voucher_code",
        "app_version",
    ];

    /// Which of the fields is the instant.
    pub const OCCURRED_AT: usize = 8;

    /// Reads the texts of the fields of an event of a marketplace, of which those that are absent are empty; `None` where
    /// [`Event::read`] must look. `at` is the instant, where it is not known as a text. `calm` says that no text holds a control
    /// character.
    #[inline]
    pub fn read(
        fields: &[&'a str; 13],
        at: Option<Instant>,
        marketplace: &MarketplaceId,
        calm: bool,
    ) -> Option<Self> {
        let [
            event_id,
            kind,
            channel,
            campaign_id,
            customer_id,
            email,
            phone,
            message_id,
            occurred_at,
            machine,
            promotion_id,
            voucher_code,
            app_version,
        ] = *fields;
        let may_be_id = |text: &str| text.is_empty() || is_id(text, calm);
        let is_event = is_id(event_id, calm)
            && is_id(campaign_id, calm)
            && may_be_id(message_id)
            && may_be_id(promotion_id)
            && may_be_id(voucher_code)
            && (app_version.is_empty() || is_version(app_version));
        if !is_event {
            return None;
        }
        let recipient = match (customer_id, email, phone) {
            ("", "", "") => return None,
            ("", "", phone) => PlainRecipient::Address(AddressHash::of_phone(marketplace, phone)?),
            ("", email, _) => PlainRecipient::Address(AddressHash::of_email(marketplace, email)?),
            (id, ..) => PlainRecipient::Customer(Some(id).filter(|id| is_id(id, calm))?),
        };
        let (kind, channel) = (EventKind::parse(kind)?, Channel::parse(channel)?);
        let machine = match machine {
            "" | "false" => false,
            "true" => matches!(kind, EventKind::Opened | EventKind::Clicked),
            _ => return None,
        };
        Some(Self {
            event_id,
            kind,
            channel,
            campaign_id,
            recipient,
            message_id: Some(message_id).filter(|id| !id.is_empty()),
            occurred_at: instant(at, occurred_at)?,
            machine,
            app_too_old: !app_version.is_empty() && app_too_old(kind, channel, Some(app_version)),
        })
    }
}

impl<'a> From<&'a Event> for PlainEvent<'a> {
    fn from(event: &'a Event) -> Self {
        Self {
            event_id: event.event_id.as_str(),
            kind: event.kind,
            channel: event.channel,
            campaign_id: event.campaign_id.as_str(),
            recipient: match &event.recipient {
                Recipient::Customer(customer) => PlainRecipient::Customer(customer.as_str()),
                Recipient::Address(address) => PlainRecipient::Address(*address),
            },
            message_id: event.message_id.as_ref().map(|id| id.as_str()),
            occurred_at: event.occurred_at,
            machine: event.machine,
            app_too_old: event.app_too_old(),
        }
    }
}

/// What is needed of an order. Its free texts are not part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "as in `Order`")]
pub struct PlainOrder<'a> {
    pub order_id: &'a str,
    pub customer_id: &'a str,
    pub status: Status,
    pub total: Money,
    pub currency: Currency,
    pub placed_at: Instant,
    pub updated_at: Option<Instant>,
    pub refunded_total: Money,
}

impl<'a> PlainOrder<'a> {
    /// The fields that [`PlainOrder::read`] takes. The others are free texts, which only matter where copies are compared.
    pub const FIELDS: [&'static str; 8] = [
        "order_id",
        "customer_id",
        "status",
        "total",
        "currency",
        "placed_at",
        "updated_at",
        "refunded_total",
    ];

    /// Which of the fields are instants.
    pub const TIMES: [usize; 2] = [5, 6];

    /// Reads the texts of the fields, of which those that are absent are empty; `None` where [`Order::read`] must look. `times` has
    /// the instants that are not known as texts. `calm` says that no text holds a control character.
    pub fn read(fields: &[&'a str; 8], times: [Option<Instant>; 2], calm: bool) -> Option<Self> {
        let [
            order_id,
            customer_id,
            status,
            total,
            currency,
            placed_at,
            updated_at,
            refunded_total,
        ] = *fields;
        if !is_id(order_id, calm) || !is_id(customer_id, calm) {
            return None;
        }
        Some(Self {
            order_id,
            customer_id,
            status: Status::parse(status)?,
            total: Money::parse(total).ok()?,
            currency: Currency::parse(currency)?,
            placed_at: instant(times[0], placed_at)?,
            updated_at: match (times[1], updated_at) {
                (None, "") => None,
                (at, text) => Some(instant(at, text)?),
            },
            refunded_total: match refunded_total {
                "" => Money::ZERO,
                text => Money::parse(text).ok()?,
            },
        })
    }

    /// The refund, as [`Order::refund`] has it.
    pub fn refund(&self) -> Money {
        refund(self.status, self.total, self.refunded_total)
    }

    /// The fields that the shop may fill as it likes, in a CSV row. Items are no part of one.
    pub const FREE_FIELDS: [&'static str; 6] = [
        "source",
        "coupon_codes",
        "email",
        "phone",
        "first_name",
        "last_name",
    ];

    /// The order with the free fields of a record; `None` where an id is none.
    pub fn to_order(&self, free: Option<&Record<'_>>) -> Option<Order> {
        let order = Order {
            coupon_codes: Vec::new(),
            currency: self.currency,
            customer_id: CustomerId::new(self.customer_id).ok()?,
            sent_with: None,
            email: None,
            erased_addresses: Vec::new(),
            first_name: None,
            items: Vec::new(),
            last_name: None,
            order_id: OrderId::new(self.order_id).ok()?,
            phone: None,
            placed_at: self.placed_at,
            refunded_total: self.refunded_total,
            source: None,
            status: self.status,
            total: self.total,
            updated_at: self.updated_at,
        };
        Some(match free {
            Some(record) => order.with_free_fields(record),
            None => order,
        })
    }
}

impl<'a> From<&'a Order> for PlainOrder<'a> {
    fn from(order: &'a Order) -> Self {
        Self {
            order_id: order.order_id.as_str(),
            customer_id: order.customer_id.as_str(),
            status: order.status,
            total: order.total,
            currency: order.currency,
            placed_at: order.placed_at,
            updated_at: order.updated_at,
            refunded_total: order.refunded_total,
        }
    }
}

/// What decisions need of an order. The store has an [`Order`], and runs over files have rows.
pub trait Decidable {
    /// The order without its free texts.
    fn plain(&self) -> PlainOrder<'_>;

    /// The addresses that the order names, as [`Order::addresses`] gives them.
    fn addresses(&self, marketplace: &MarketplaceId) -> Vec<AddressHash>;
}

impl Decidable for Order {
    fn plain(&self) -> PlainOrder<'_> {
        self.into()
    }

    fn addresses(&self, marketplace: &MarketplaceId) -> Vec<AddressHash> {
        self.addresses(marketplace)
    }
}

#[inline]
fn instant(known: Option<Instant>, text: &str) -> Option<Instant> {
    known.or_else(|| Instant::parse(text).ok())
}

/// True for an id, unless it only may hold a control character.
#[inline]
fn is_id(text: &str, calm: bool) -> bool {
    (1..=ID_BYTES_MAX).contains(&text.len()) && (calm || !text.bytes().any(may_be_control))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts of which some fit a field and some do not.
    const TEXTS: [&str; 35] = [
        "",
        "a",
        " ",
        "é",
        "a\u{85}b",
        "a\u{7}",
        "clicked",
        "opened",
        "Sent",
        "sent",
        "email",
        " Ann@Example.com",
        "ann\u{7f}@example.com",
        "12345",
        "123456",
        "+12 34\u{a0}56",
        "push",
        "Push",
        "true",
        "TRUE",
        "false",
        "5.0",
        "5.1",
        "x5",
        "REFUNDED",
        "ready",
        "lost",
        "10",
        "010",
        "1.50",
        "EUR",
        "eur",
        "2026-11-20T10:15:00Z",
        "2026-11-20T10:15:00.1239+01:00",
        "2026-11-31T10:15:00Z",
    ];

    /// Each field of a good row takes each text, and fields that can be absent also are. A row that is known at a glance is what the
    /// one reader makes of it; and of the good ones most are known.
    fn check<const N: usize>(
        names: [&str; N],
        good: [&'static str; N],
        same: impl Fn([&'static str; N], bool, Record<'_>) -> Option<bool>,
    ) {
        let header: Vec<String> = names.map(str::to_owned).into();
        let long = "x".repeat(129).leak();
        let mut known = 0;
        for field in 0..N {
            for text in TEXTS.into_iter().chain([&*long]) {
                let mut row = good;
                row[field] = text;
                let calm = !row.iter().any(|text| text.contains(char::is_control));
                for calm in [false, calm] {
                    let record = Record::Row(&header, row.to_vec());
                    match same(row, calm, record) {
                        Some(same) => assert!(same, "{row:?}"),
                        None => continue,
                    }
                    known += 1;
                }
            }
        }
        assert!(known > 100, "{known}");
    }

    #[test]
    fn plain_rows_are_what_the_one_reader_says() {
        let event = [
            "e",
            "opened",
            "push",
            "k",
            "c",
            "Ann@example.com",
            "+380 942 583 691",
            "m",
            "2026-11-20T10:15:00Z",
            "true",
            "p",
            "v",
            "5.0",
        ];
        let files = MarketplaceId::of_files();
        let same = |row, calm, record: Record<'_>| {
            let plain = PlainEvent::read(&row, None, &files, calm)?;
            let event = Event::read(&record, &files, None).ok();
            Some(event.as_ref().map(PlainEvent::from) == Some(plain))
        };
        check(PlainEvent::FIELDS, event, same);
        // To an e-mail address, and to a phone.
        for absent in [&[4][..], &[4, 5]] {
            let mut event = event;
            absent.iter().for_each(|field| event[*field] = "");
            check(PlainEvent::FIELDS, event, same);
        }
        let order = [
            "o",
            "c",
            "READY",
            "10",
            "EUR",
            "2026-11-20T10:15:00Z",
            "2026-11-21T10:15:00Z",
            "1",
        ];
        check(PlainOrder::FIELDS, order, |row, calm, record| {
            let plain = PlainOrder::read(&row, [None; 2], calm)?;
            let order = Order::read(&record, None).ok();
            Some(order.is_some() && plain.to_order(None) == order)
        });
    }
}
