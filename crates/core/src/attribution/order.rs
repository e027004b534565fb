//! Orders, and which of several copies of an order is current (rule 3.2).

use serde::{Deserialize, Serialize};

use crate::record::{AcceptanceWindow, Code, Record, RecordProblem, quoted};
use crate::value::address::AddressHash;
use crate::value::id::{CustomerId, MarketplaceId, OrderId};
use crate::value::money::{Currency, Money};
use crate::value::time::Instant;

/// The status of an order. The variants follow the life of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Status {
    AbandonedShoppingCart,
    Pending,
    Initialized,
    InProgress,
    Preparing,
    Ready,
    Complete,
    Delivered,
    Rejected,
    Cancelled,
    Refunded,
}

impl Status {
    /// All statuses, in the order of an order's life.
    pub const ALL: [Self; 11] = [
        Self::AbandonedShoppingCart,
        Self::Pending,
        Self::Initialized,
        Self::InProgress,
        Self::Preparing,
        Self::Ready,
        Self::Complete,
        Self::Delivered,
        Self::Rejected,
        Self::Cancelled,
        Self::Refunded,
    ];

    /// The statuses that the orders page adds up (rule 5, R50).
    pub const IN_TOTAL: [Self; 6] = [
        Self::Initialized,
        Self::InProgress,
        Self::Delivered,
        Self::Preparing,
        Self::Ready,
        Self::Complete,
    ];

    /// The name of the status, as the interface spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::AbandonedShoppingCart => "ABANDONED_SHOPPING_CART",
            Self::Pending => "PENDING",
            Self::Initialized => "INITIALIZED",
            Self::InProgress => "IN_PROGRESS",
            Self::Preparing => "PREPARING",
            Self::Ready => "READY",
            Self::Complete => "COMPLETE",
            Self::Delivered => "DELIVERED",
            Self::Rejected => "REJECTED",
            Self::Cancelled => "CANCELLED",
            Self::Refunded => "REFUNDED",
        }
    }

    /// The status with this name, in upper or lower case.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|status| status.name().eq_ignore_ascii_case(name))
    }
}

/// One line of an order. The shop may fill its fields as it likes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct OrderItem {
    /// What the item cost, as the shop wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<String>,
    /// The shop's id of the article.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The name of the article.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How many of the article were ordered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<Quantity>,
}

/// The quantity of an item, as the shop wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Quantity {
    /// The shop wrote a JSON number.
    Number(serde_json::Number),
    /// The shop wrote a text.
    Text(String),
}

/// One copy of an order whose fields are all valid. The fields are declared in the order of their names, so that the JSON has
/// sorted keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The coupon codes that were used for the order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub coupon_codes: Vec<String>,
    /// The currency of all amounts of the order. It never changes.
    pub currency: Currency,
    /// The customer who bought: it is the customer that the first copy named, see [`Order::of_customer`].
    pub customer_id: CustomerId,
    /// The customer that this copy named, where that is another one, because the shop merged two customers. Copies are compared
    /// by what was sent.
    #[serde(skip)]
    pub sent_with: Option<CustomerId>,
    /// The e-mail address of the customer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The addresses that the copy named before its customer was erased: what the order was decided by stays.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub erased_addresses: Vec<AddressHash>,
    /// The first name of the customer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_name: Option<String>,
    /// The items that were bought.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<OrderItem>,
    /// The last name of the customer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_name: Option<String>,
    /// The id of the order, unique in the marketplace.
    pub order_id: OrderId,
    /// The phone number of the customer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// When the order was placed, in UTC. It never changes.
    pub placed_at: Instant,
    /// How much was paid back, as the shop sent it. It can be more than the total after the shop edits an order, see
    /// [`Order::refund`].
    pub refunded_total: Money,
    /// Where the order was placed, such as the app or the website.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The current status of the order.
    pub status: Status,
    /// The total amount of the order.
    pub total: Money,
    /// When this copy was made, in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Instant>,
}

/// The most bytes of a stored order. An item of the table holds 409,600.
const ORDER_BYTES_MAX: usize = 390_000;

/// The fields of an order. Any other field of a record is ignored.
pub const FIELDS: [&str; 15] = [
    "order_id",
    "customer_id",
    "status",
    "total",
    "currency",
    "placed_at",
    "updated_at",
    "refunded_total",
    "source",
    "coupon_codes",
    "items",
    "email",
    "phone",
    "first_name",
    "last_name",
];

/// The columns that an orders file must have.
pub const NEEDED: [&str; 6] = [
    "order_id",
    "customer_id",
    "status",
    "total",
    "currency",
    "placed_at",
];

impl Order {
    /// Reads a record. Without an acceptance window, as in runs over files, any time is accepted.
    ///
    /// # Errors
    /// The problem of the first bad field, in the order of rule 3.2.
    pub fn read(
        record: &Record<'_>,
        acceptance_window: Option<&AcceptanceWindow>,
    ) -> Result<Self, RecordProblem> {
        let order_id = record.needed_id("order_id", OrderId::new)?;
        let customer_id = record.needed_id("customer_id", CustomerId::new)?;
        let status = record.needed("status")?;
        let status = Status::parse(&status).ok_or_else(|| {
            RecordProblem::of(
                "status",
                Code::UnknownStatus,
                format!(
                    "status: {} is none of {}",
                    quoted(&status),
                    Status::ALL.map(Status::name).join(", ")
                ),
            )
        })?;
        let total = record.needed_money("total")?;
        let currency = record.needed_currency("currency")?;
        let placed_at = record.needed_instant("placed_at")?;
        if let Some(acceptance_window) = acceptance_window {
            acceptance_window.check("placed_at", placed_at)?;
        }
        let updated_at = record.instant("updated_at")?;
        if let (Some(acceptance_window), Some(at)) = (acceptance_window, updated_at) {
            acceptance_window.check_ahead("updated_at", at)?;
        }
        let refunded_total = record.money("refunded_total")?.unwrap_or_default();
        let order = Self {
            coupon_codes: Vec::new(),
            currency,
            customer_id,
            sent_with: None,
            email: None,
            erased_addresses: Vec::new(),
            first_name: None,
            items: Vec::new(),
            last_name: None,
            order_id,
            phone: None,
            placed_at,
            refunded_total,
            source: None,
            status,
            total,
            updated_at,
        };
        Ok(order.with_free_fields(record))
    }

    /// This order with the fields of a record that the shop may fill as it likes.
    pub(crate) fn with_free_fields(self, record: &Record<'_>) -> Self {
        let mut order = Self {
            coupon_codes: record.free_list("coupon_codes"),
            email: record.free_text("email"),
            first_name: record.free_text("first_name"),
            items: read_items(record),
            last_name: record.free_text("last_name"),
            phone: record.free_text("phone"),
            source: record.free_text("source"),
            ..self
        };
        // Each free text is cut by itself. Together, or with characters that need an escape, they can still be too long to store.
        while !(order.items.is_empty() && order.coupon_codes.is_empty())
            && order.standing().len() > ORDER_BYTES_MAX
            && (order.items.pop().is_some() || order.coupon_codes.pop().is_some())
        {}
        order
    }

    /// Compares a copy with the currency and time of the first copy (rule 3.2), since neither may change.
    ///
    /// # Errors
    /// `immutable_field` for the first of the two that differs.
    pub fn check_unchanged(
        &self,
        currency: Currency,
        placed_at: Instant,
    ) -> Result<(), RecordProblem> {
        // The message does not show what is stored: whoever may send orders may not necessarily read them.
        let changed = |field: &str, sent: &dyn std::fmt::Display| {
            let detail = format!(
                "{field} of a known order does not change, and this copy says {sent}: send what the first copy said, \
                 or another order_id where it is another order"
            );
            Err(RecordProblem::of(field, Code::ImmutableField, detail))
        };
        if self.currency != currency {
            changed("currency", &self.currency)
        } else if self.placed_at != placed_at {
            changed("placed_at", &self.placed_at)
        } else {
            Ok(())
        }
    }

    /// This copy, assigned to the customer that the first copy named (rule 3.2). Whatever customer a later copy names, the order
    /// stays with the first one, so that a refund finds it there.
    pub fn of_customer(mut self, first: &CustomerId) -> Self {
        if self.customer_id != *first {
            let sent = std::mem::replace(&mut self.customer_id, first.clone());
            let sent = self.sent_with.take().unwrap_or(sent);
            self.sent_with = Some(sent).filter(|sent| sent != first);
        }
        self
    }

    /// The addresses that this copy names (rule 3.5): that of its e-mail first, then that of its phone, each once. A text that is no
    /// address names none.
    pub fn addresses(&self, marketplace: &MarketplaceId) -> Vec<AddressHash> {
        let email = self.email.as_deref();
        let phone = self.phone.as_deref();
        let mut addresses = self.erased_addresses.clone();
        addresses.extend(email.and_then(|text| AddressHash::of_email(marketplace, text)));
        addresses.extend(phone.and_then(|text| AddressHash::of_phone(marketplace, text)));
        addresses.dedup();
        addresses
    }

    /// This copy without its person, as an order of a pseudonym (rule 5). Amounts, times, items and codes stay, because figures follow
    /// from them, and so does what a shop sold. So do the hashes of its addresses: messages to them may have earned the order.
    pub fn without_person(self, pseudonym: &CustomerId, marketplace: &MarketplaceId) -> Self {
        Self {
            customer_id: pseudonym.clone(),
            sent_with: None,
            erased_addresses: self.addresses(marketplace),
            email: None,
            first_name: None,
            last_name: None,
            phone: None,
            ..self
        }
    }

    /// The refund of an order (rule 4.4): the whole total where the status is REFUNDED, and otherwise never more than the total.
    pub fn refund(&self) -> Money {
        refund(self.status, self.total, self.refunded_total)
    }

    /// A text that orders the copies of an order byte by byte: the copy with the greatest text is current, and equal texts are
    /// equal copies. The text ends with the copy itself as it was sent, see [`Order::from_standing`].
    pub fn standing(&self) -> String {
        let at = self.updated_at.unwrap_or(self.placed_at);
        let copy = match &self.sent_with {
            None => serde_json::to_string(self),
            Some(sent) => serde_json::to_string(&self.clone().of_customer(sent)),
        };
        let copy = copy.unwrap_or_default();
        format!(
            "{at}{:02}{:022}{copy}",
            self.status as u8,
            self.refunded_total.micros()
        )
    }

    /// The copy in a text made by [`Order::standing`], as it was sent; `None` where the text holds none.
    pub fn from_standing(text: &str) -> Option<Self> {
        serde_json::from_str(text.get(STANDING_BYTES..)?).ok()
    }
}

/// The refund of an order (rule 4.4): the whole total where the status is REFUNDED, and otherwise never more than the total.
pub(crate) fn refund(status: Status, total: Money, refunded_total: Money) -> Money {
    match status {
        Status::Refunded => total,
        _ => refunded_total.min(total),
    }
}

/// The bytes before the copy in [`Order::standing`]: 24 of the time, 2 of the status, 22 of the refund in millionths.
const STANDING_BYTES: usize = 24 + 2 + 22;

fn read_items(record: &Record<'_>) -> Vec<OrderItem> {
    let Some(raw) = record.raw("items") else {
        return Vec::new();
    };
    let Ok(items) = serde_json::from_str::<Vec<&serde_json::value::RawValue>>(raw) else {
        return Vec::new();
    };
    let texts = |raw: &&serde_json::value::RawValue| {
        let item = Record::from_json(raw.get()).ok()?;
        Some(OrderItem {
            cost: item.free_text("cost"),
            id: item.free_text("id"),
            name: item.free_text("name"),
            quantity: read_quantity(&item),
        })
    };
    items
        .iter()
        .filter_map(texts)
        .take(crate::record::FREE_ITEMS_MAX)
        .collect()
}

fn read_quantity(item: &Record<'_>) -> Option<Quantity> {
    let number = item.raw("quantity").map(serde_json::from_str);
    match number.and_then(Result::ok) {
        Some(number) => Some(Quantity::Number(number)),
        None => item.free_text("quantity").map(Quantity::Text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(more: &str) -> Result<Order, RecordProblem> {
        let text = format!(
            r#"{{"order_id":"o","customer_id":"c","status":"pending","total":"10.00","currency":"USD","placed_at":"2026-11-20T10:00:00Z"{more}}}"#
        );
        Order::read(&Record::from_json(&text).unwrap(), None)
    }

    #[test]
    fn which_copy_stands() {
        // Each copy replaces all copies above it.
        let copies = [
            r#","source":"website""#,
            "",
            r#","refunded_total":"9.99""#,
            r#","refunded_total":10"#,
            r#","status":"READY""#,
            r#","status":"Refunded""#,
            r#","updated_at":"2026-11-20T10:00:00.001Z""#,
            r#","updated_at":"2026-11-20T10:00:01Z","status":"READY""#,
            r#","updated_at":"2026-11-20T10:00:01Z","status":"READY","customer_id":"d""#,
            // The refunds are compared as they were sent, even where they are more than the total.
            r#","updated_at":"2026-11-20T10:00:01Z","status":"READY","refunded_total":"11""#,
            r#","updated_at":"2026-11-20T10:00:01Z","status":"READY","refunded_total":"12","total":"1""#,
        ];
        let texts: Vec<_> = copies
            .iter()
            .map(|more| order(more).unwrap().standing())
            .collect();
        assert!(texts.is_sorted_by(|a, b| a < b), "{texts:#?}");
        for (text, more) in texts.iter().zip(copies) {
            assert_eq!(Order::from_standing(text), order(more).ok());
        }
        assert_eq!(
            order(r#","total":10"#).unwrap().standing(),
            order(r#","total":"10.000","unknown":1,"email":null"#)
                .unwrap()
                .standing()
        );
    }

    #[test]
    fn what_does_not_change() {
        let known = order("").unwrap();
        for (more, field) in [
            ("", None),
            (r#","status":"READY","total":"9""#, None),
            (r#","placed_at":"2026-11-20T11:00:00+01:00""#, None),
            (r#","customer_id":"d""#, None),
            (r#","customer_id":"d","currency":"EUR""#, Some("currency")),
            (
                r#","customer_id":"d","placed_at":"2026-11-20T10:00:00.001Z""#,
                Some("placed_at"),
            ),
            (
                r#","placed_at":"2026-11-20T10:00:00.001Z","currency":"EUR""#,
                Some("currency"),
            ),
            (
                r#","placed_at":"2026-11-20T10:00:00.001Z""#,
                Some("placed_at"),
            ),
        ] {
            let problem = order(more)
                .unwrap()
                .check_unchanged(known.currency, known.placed_at)
                .err();
            assert_eq!(problem.as_ref().and_then(|p| p.field.as_deref()), field);
            assert!(problem.is_none_or(|p| p.code == Code::ImmutableField));
        }
    }

    #[test]
    fn an_order_stays_with_its_first_customer_and_is_compared_as_it_was_sent() {
        let (first, other) = (CustomerId::new("c").unwrap(), CustomerId::new("d").unwrap());
        let sent = order(r#","customer_id":"d""#).unwrap();
        let kept = sent.clone().of_customer(&first);
        assert_eq!(kept.customer_id, first);
        assert_eq!(kept.standing(), sent.standing());
        assert_ne!(kept, order("").unwrap());
        let stored = Order::from_standing(&kept.standing()).unwrap();
        assert_eq!(stored.of_customer(&first), kept);
        assert_eq!(kept.clone().of_customer(&first), kept);
        assert_eq!(kept.of_customer(&other), sent);
    }

    #[test]
    fn a_refund_is_at_most_the_total() {
        for (more, refund) in [
            ("", "0"),
            (r#","refunded_total":"9.999999""#, "9.999999"),
            (r#","refunded_total":"10""#, "10"),
            (r#","refunded_total":"10.000001""#, "10"),
            (r#","refunded_total":"80","total":"50""#, "50"),
            (r#","refunded_total":"1","total":"0""#, "0"),
            (r#","refunded_total":"80","status":"REFUNDED""#, "10"),
            (r#","status":"REFUNDED""#, "10"),
        ] {
            assert_eq!(order(more).unwrap().refund().to_string(), refund, "{more}");
        }
    }

    #[test]
    fn no_order_is_too_large_to_be_stored() {
        let long = "é".repeat(1_000);
        let item =
            format!(r#"{{"id":"{long}","name":"{long}","quantity":"{long}","cost":"{long}"}}"#);
        let items = [item.as_str(); 201].join(",");
        let codes = vec![format!(r#""{long}""#); 200].join(",");
        let free = ["email", "phone", "first_name", "last_name", "source"]
            .map(|name| format!(r#","{name}":"{long}""#))
            .concat();
        let order = order(&format!(
            r#"{free},"items":[{items}],"coupon_codes":[{codes}]"#
        ))
        .unwrap();
        assert!(
            order.standing().len() < 409_600 - 4_096,
            "{}",
            order.standing().len()
        );
        assert_eq!(order.coupon_codes.len(), 200);
        assert!(order.items.len() > 100, "{}", order.items.len());
        assert_eq!(order.email.unwrap().len(), 400);
        let escaped = "\\u0001".repeat(400);
        let order = self::order(&format!(
            r#","items":[{}]"#,
            vec![format!(r#"{{"name":"{escaped}"}}"#); 200].join(",")
        ));
        let order = order.unwrap();
        assert!(order.standing().len() < 409_600 - 4_096);
        assert!(order.items.len() > 100, "{}", order.items.len());
    }

    #[test]
    fn the_first_bad_field_is_named() {
        for (more, code, field) in [
            (r#","order_id":null"#, Code::Missing, "order_id"),
            (r#","status":"LOST""#, Code::UnknownStatus, "status"),
            (r#","total":"-1""#, Code::BadMoney, "total"),
            (r#","total":1e2"#, Code::BadMoney, "total"),
            (r#","total":true"#, Code::WrongType, "total"),
            (r#","currency":"usd""#, Code::UnknownCurrency, "currency"),
            (r#","updated_at":"now""#, Code::BadTime, "updated_at"),
            (
                r#","refunded_total":"-1""#,
                Code::BadMoney,
                "refunded_total",
            ),
        ] {
            let problem = order(more).unwrap_err();
            assert_eq!(
                (problem.code, problem.field.as_deref()),
                (code, Some(field)),
                "{more}"
            );
        }
        let free = order(
            r#","items":[{"id":7,"cost":0.10,"quantity":2,"x":1},3,{"quantity":1.5},{"quantity":"two"}],"email":{},"coupon_codes":5"#,
        )
        .unwrap();
        assert_eq!(
            serde_json::to_string(&free.items).unwrap(),
            r#"[{"cost":"0.10","id":"7","quantity":2},{"quantity":1.5},{"quantity":"two"}]"#
        );
        assert_eq!((free.email, free.coupon_codes), (None, vec![]));
        let free = order(r#","coupon_codes":["B","\u0041",5,null,["C"]]"#).unwrap();
        assert_eq!(free.coupon_codes, ["B", "A", "5"]);
    }
}
