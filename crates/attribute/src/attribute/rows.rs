//! Rows as bytes, in the memory of one run: what is needed of an event or an order.

use revtrail_core::attribution::campaign::CampaignIx;
use revtrail_core::attribution::event::{Channel, EventKind};
use revtrail_core::attribution::order::{Order, Status};
use revtrail_core::attribution::plain::{PlainEvent, PlainOrder, PlainRecipient};
use revtrail_core::attribution::timeline::Touchpoint;
use revtrail_core::record::Record;
use revtrail_core::value::address::AddressHash;
use revtrail_core::value::id::CustomerId;
use revtrail_core::value::money::{Currency, Money};
use revtrail_core::value::time::Instant;

/// The length of the bits of an address.
const ADDRESS_BYTES: usize = 16;

/// How many bytes the row of an event has besides ids: a word, the number of a campaign, and two lengths.
const HEAD_BYTES: usize = 8 + 4 + 2;

/// Writes an event behind other rows. `campaign` is the number of its campaign.
pub(super) fn write_event(to: &mut Vec<u8>, event: &PlainEvent<'_>, campaign: u32) {
    // Ten thousand years of milliseconds are 49 bits, and seven bytes hold the rest.
    let packed = ms_since_first(event.occurred_at)
        | (event.kind as u64) << 49
        | (event.channel as u64) << 52
        | u64::from(event.machine) << 54
        | u64::from(event.app_too_old) << 55;
    // An id has 1 to 128 bytes, so 0 says that there is none, and of a customer that there is an address.
    let message = event.message_id.unwrap_or_default();
    let (customer, address) = match event.recipient {
        PlainRecipient::Customer(id) => (id, None),
        PlainRecipient::Address(address) => ("", Some(address.to_bytes())),
    };
    let recipient = address.as_ref().map_or(customer.as_bytes(), |bits| bits);
    let [customer_length, event_length, message_length] =
        [customer, event.event_id, message].map(|id| id.len() as u8);
    // Seven bytes of the number, and the length of the message in the eighth.
    let head = packed | u64::from(message_length) << 56;
    let most = HEAD_BYTES + recipient.len() + event.event_id.len() + message.len();
    let mut row = Room::new(to, most);
    row.put(&head.to_le_bytes());
    row.put(&campaign.to_le_bytes());
    row.put(&[customer_length, event_length]);
    row.put(recipient);
    row.put(event.event_id.as_bytes());
    row.put(message.as_bytes());
    row.end();
}

/// Writes a copy of an order, from a line of its file, behind other rows.
pub(super) fn write_order(to: &mut Vec<u8>, order: &PlainOrder<'_>, free: Free<'_>, line: u64) {
    let lengths = [order.order_id, order.customer_id].map(|id| id.len() as u8);
    let currency = order.currency.number().to_le_bytes();
    to.extend_from_slice(&[order.status as u8, lengths[0], lengths[1]]);
    to.extend_from_slice(&currency);
    put_number(to, ms_since_first(order.placed_at));
    put_number(to, order.updated_at.map_or(0, |at| 1 + ms_since_first(at)));
    for amount in [order.total, order.refunded_total] {
        let (digits, scale) = amount.parts();
        to.push(scale);
        put_number(to, digits as u64);
        put_number(to, (digits >> 64) as u64);
    }
    put_number(to, line);
    to.extend_from_slice(order.order_id.as_bytes());
    to.extend_from_slice(order.customer_id.as_bytes());
    free.write(to);
}

/// Room for one row behind others. To make room for each of its many short parts takes longer.
struct Room<'w> {
    to: &'w mut Vec<u8>,
    at: usize,
}

impl<'w> Room<'w> {
    #[inline]
    fn new(to: &'w mut Vec<u8>, most: usize) -> Self {
        let at = to.len();
        match most <= 64 {
            // A known length is quicker than the right one.
            true => to.extend_from_slice(&[0; 64]),
            false => to.resize(at + most, 0),
        }
        Self { to, at }
    }

    #[inline]
    fn put(&mut self, part: &[u8]) {
        let room = &mut self.to[self.at..][..part.len()];
        // Two words cover a short part, and no call is made.
        match part.len() {
            16..=32 => put_ends::<16>(part, room),
            8..16 => put_ends::<8>(part, room),
            4..8 => put_ends::<4>(part, room),
            2..4 => put_ends::<2>(part, room),
            _ => room.copy_from_slice(part),
        }
        self.at += part.len();
    }

    #[inline]
    fn end(self) {
        self.to.truncate(self.at);
    }
}

/// Copies a part of N to 2 N bytes.
#[inline]
pub(super) fn put_ends<const N: usize>(part: &[u8], to: &mut [u8]) {
    let last = part.len() - N;
    to[..N].copy_from_slice(&part[..N]);
    to[last..].copy_from_slice(&part[last..]);
}

/// Milliseconds since the first instant there is.
fn ms_since_first(at: Instant) -> u64 {
    (at.ms() - Instant::MIN.ms()) as u64
}

fn instant(ms_since_first: u64) -> Instant {
    Instant::MIN.plus_ms(ms_since_first as i64)
}

/// Writes a number in as many bytes as it needs: seven bits in each, and the highest says that more follow.
fn put_number(to: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

/// What a copy of an order holds besides. It matters only where an order has several copies.
#[derive(Debug, Clone, Copy)]
pub(super) enum Free<'a> {
    /// The cells of [`PlainOrder::FREE_FIELDS`].
    Cells([&'a str; 6]),
    /// The whole order as JSON.
    Json(&'a str),
    /// What was written of one of these.
    Written(&'a [u8]),
}

impl Free<'_> {
    const NONE: u8 = 0;
    const CELLS: u8 = 1;
    const JSON: u8 = 2;

    fn write(self, to: &mut Vec<u8>) {
        match self {
            Self::Cells(cells) if cells.iter().all(|cell| cell.is_empty()) => to.push(Self::NONE),
            Self::Cells(cells) => {
                to.push(Self::CELLS);
                cells.iter().for_each(|cell| put_long(to, cell));
            }
            Self::Json(json) => {
                to.push(Self::JSON);
                put_long(to, json);
            }
            Self::Written(bytes) => to.extend_from_slice(bytes),
        }
    }
}

fn put_long(to: &mut Vec<u8>, text: &str) {
    put_number(to, text.len() as u64);
    to.extend_from_slice(text.as_bytes());
}

/// An event of a partition.
#[derive(Debug, Clone, Copy)]
pub(super) struct EventRow<'a> {
    /// The number of its campaign.
    pub(super) campaign: u32,
    is_address: bool,
    /// The id of its customer, or the bits of its address. No partition holds both kinds.
    pub(super) recipient: &'a [u8],
    /// The id of the event.
    pub(super) id: &'a [u8],
    pub(super) what: Happened<'a>,
    /// The row.
    pub(super) row: &'a [u8],
}

/// What happened to which message, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Happened<'a> {
    /// The id of the message.
    pub(super) message: Option<&'a [u8]>,
    packed: u64,
}

impl<'a> EventRow<'a> {
    /// The address that the event went to; `None` where it went to a customer.
    pub(super) fn address(&self) -> Option<AddressHash> {
        let bits = self.recipient.first_chunk().filter(|_| self.is_address)?;
        Some(AddressHash::from_bytes(*bits))
    }
}

impl<'a> Happened<'a> {
    /// The touchpoint of the event. `campaign` is the index of its campaign in the catalog.
    pub(super) fn touchpoint(self, campaign: CampaignIx) -> Touchpoint<'a> {
        let message = self.message.map(std::str::from_utf8);
        Touchpoint {
            message: message.and_then(Result::ok),
            ..self.touchpoint_of_any(campaign)
        }
    }

    /// An event of each class.
    pub(super) fn of_each_class() -> impl Iterator<Item = Self> {
        (0..1 << 7).map(|class| Self {
            message: None,
            packed: class << 49,
        })
    }

    /// A number for what happened on which channel, and whether a machine or an old app did it.
    #[inline]
    pub(super) fn class(self) -> usize {
        (self.packed >> 49 & 0x7f) as usize
    }

    #[inline]
    pub(super) fn channel(self) -> Channel {
        Channel::ALL[(self.packed >> 52 & 3) as usize % Channel::ALL.len()]
    }

    #[inline]
    pub(super) fn at(self) -> Instant {
        instant(self.packed & ((1 << 49) - 1))
    }

    /// The touchpoint of the event, without the id of its message.
    #[inline]
    pub(super) fn touchpoint_of_any(self, campaign: CampaignIx) -> Touchpoint<'a> {
        let packed = self.packed;
        Touchpoint {
            campaign,
            channel: self.channel(),
            message: None,
            recipient: 0,
            at: self.at(),
            kind: EventKind::ALL[(packed >> 49 & 7) as usize],
            machine: packed >> 54 & 1 != 0,
            app_too_old: packed >> 55 & 1 != 0,
        }
    }
}

/// A copy of an order.
#[derive(Debug, Clone, Copy)]
pub(super) struct OrderRow<'a> {
    pub(super) order: PlainOrder<'a>,
    /// What [`Free`] wrote.
    pub(super) free: &'a [u8],
    /// The line of its file that it begins on.
    pub(super) line: u64,
}

impl OrderRow<'_> {
    /// The whole copy, as an order of its customer.
    pub(super) fn to_order_of_customer(self) -> Option<Order> {
        let customer = CustomerId::new(self.order.customer_id).ok()?;
        Some(self.to_order()?.of_customer(&customer))
    }

    /// The whole copy, as it was sent.
    pub(super) fn to_order(self) -> Option<Order> {
        let mut bytes = Bytes::from(self.free, 0);
        let [kind] = bytes.array()?;
        match kind {
            Free::NONE => self.order.to_order(None),
            Free::JSON => serde_json::from_str(bytes.long_text()?).ok(),
            _ => {
                let cells = PlainOrder::FREE_FIELDS.iter().map(|_| bytes.long_text());
                let cells = cells.collect::<Option<Vec<_>>>()?;
                let header = PlainOrder::FREE_FIELDS.map(str::to_owned);
                self.order.to_order(Some(&Record::Row(&header, cells)))
            }
        }
    }
}

/// Rows that are read one after the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bytes<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bytes<'a> {
    /// The rows from an offset on.
    #[inline]
    pub(super) fn from(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    /// What was not read yet.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Where the next row begins.
    #[inline]
    pub(super) fn at(&self) -> usize {
        self.at
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let array = self.bytes.get(self.at..)?.first_chunk()?;
        self.at += N;
        Some(*array)
    }

    #[inline]
    fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let bytes = self.bytes.get(self.at..self.at + length)?;
        self.at += length;
        Some(bytes)
    }

    fn text(&mut self, length: usize) -> Option<&'a str> {
        std::str::from_utf8(self.bytes(length)?).ok()
    }

    #[inline]
    fn number(&mut self) -> Option<u64> {
        let (mut number, mut bits) = (0, 0);
        loop {
            let [byte] = self.array()?;
            number |= u64::from(byte & 0x7f) << bits;
            bits += 7;
            if byte < 0x80 {
                return Some(number);
            }
        }
    }

    fn long_text(&mut self) -> Option<&'a str> {
        let length = self.number()?;
        self.text(length as usize)
    }

    /// The next event; `None` behind the last.
    #[inline]
    pub(super) fn event(&mut self) -> Option<EventRow<'a>> {
        let start = self.at;
        let head: [u8; HEAD_BYTES] = self.array()?;
        let packed = u64::from_le_bytes(*head.first_chunk()?);
        let campaign = u32::from_le_bytes([head[8], head[9], head[10], head[11]]);
        let [customer, event] = [head[12], head[13]];
        let recipient = self.bytes(match customer {
            0 => ADDRESS_BYTES,
            length => length.into(),
        })?;
        let id = self.bytes(event.into())?;
        let message = match packed >> 56 {
            0 => None,
            length => Some(self.bytes(length as usize)?),
        };
        Some(EventRow {
            campaign,
            is_address: customer == 0,
            recipient,
            id,
            what: Happened { message, packed },
            row: &self.bytes[start..self.at],
        })
    }

    /// The recipient of the next event, as [`EventRow::recipient`] has it; `None` behind the last.
    #[inline]
    pub(super) fn recipient(&mut self) -> Option<&'a [u8]> {
        let head: [u8; HEAD_BYTES] = self.array()?;
        let [message, customer, event] = [head[7], head[12], head[13]];
        let recipient = self.bytes(match customer {
            0 => ADDRESS_BYTES,
            length => length.into(),
        })?;
        self.at += usize::from(event) + usize::from(message);
        Some(recipient)
    }

    fn money(&mut self) -> Option<Money> {
        let [scale] = self.array()?;
        let (low, high) = (self.number()?, self.number()?);
        Some(Money::from_parts(
            u128::from(high) << 64 | u128::from(low),
            scale,
        ))
    }

    /// The next copy of an order; `None` behind the last.
    pub(super) fn order(&mut self) -> Option<OrderRow<'a>> {
        let [status, order_length, customer_length] = self.array()?;
        let currency = Currency::numbered(u16::from_le_bytes(self.array()?))?;
        let placed_at = instant(self.number()?);
        let updated_at = self.number()?.checked_sub(1).map(instant);
        let (total, refunded_total) = (self.money()?, self.money()?);
        let line = self.number()?;
        let order = PlainOrder {
            order_id: self.text(order_length.into())?,
            customer_id: self.text(customer_length.into())?,
            status: *Status::ALL.get(usize::from(status))?,
            total,
            currency,
            placed_at,
            updated_at,
            refunded_total,
        };
        let start = self.at;
        let [kind] = self.array()?;
        let texts = match kind {
            Free::NONE => 0,
            Free::JSON => 1,
            _ => PlainOrder::FREE_FIELDS.len(),
        };
        for _ in 0..texts {
            let length = self.number()?;
            self.bytes(length as usize)?;
        }
        let free = &self.bytes[start..self.at];
        Some(OrderRow { order, free, line })
    }
}
