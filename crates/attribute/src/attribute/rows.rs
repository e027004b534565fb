//! Rows as bytes, in the memory of one run: what is needed of an event or an order, cut into partitions. All rows of a customer
//! are in one partition, and so are all copies of an order. Events by address have partitions of their own behind those.

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

use super::numbers::Hashing;

/// The length of the bits of an address.
const ADDRESS_BYTES: usize = 16;

/// Says which partition an id or an address belongs to.
#[derive(Debug, Clone)]
pub(super) struct Partitioning {
    hashing: Hashing,
    of_customers: usize,
}

impl Partitioning {
    /// Cuts the rows of customers and of orders into so many partitions. As many again are those of addresses.
    pub(super) fn new(of_customers: usize) -> Self {
        Self {
            hashing: Hashing::default(),
            of_customers,
        }
    }

    /// The number of all partitions.
    pub(super) fn all(&self) -> usize {
        2 * self.of_customers
    }

    pub(super) fn is_of_addresses(&self, partition: usize) -> bool {
        partition >= self.of_customers
    }

    pub(super) fn hashing(&self) -> &Hashing {
        &self.hashing
    }

    #[inline]
    fn of(&self, id: &[u8]) -> usize {
        // The lower half of the hash, as a part of all that there can be. Within a partition, the upper half tells ids apart.
        let hash = u64::from(self.hashing.of(id) as u32);
        ((hash * self.of_customers as u64) >> 32) as usize
    }

    fn of_recipient(&self, recipient: PlainRecipient<'_>) -> usize {
        match recipient {
            PlainRecipient::Customer(id) => self.of(id.as_bytes()),
            PlainRecipient::Address(address) => self.of_customers + self.of(&address.to_bytes()),
        }
    }
}

/// The rows of one block of a file, in their order within each partition.
#[derive(Debug)]
pub(super) struct Segments {
    bytes: Box<[u8]>,
    /// For each partition, where it ends.
    ends: Vec<u32>,
    /// The index of the worker that made the rows, which numbered the campaigns.
    pub(super) worker: usize,
    /// The index of the file.
    pub(super) file: usize,
}

impl Segments {
    /// The rows of one partition, and where they begin.
    pub(super) fn part(&self, partition: usize) -> Bytes<'_> {
        let start = partition
            .checked_sub(1)
            .map_or(0, |before| self.ends[before]);
        let end = self.ends[partition] as usize;
        Bytes {
            bytes: &self.bytes[..end],
            at: start as usize,
        }
    }

    /// The number of partitions.
    pub(super) fn parts(&self) -> usize {
        self.ends.len()
    }

    /// How many bytes the rows of one partition have, also after they were dropped.
    pub(super) fn part_len(&self, partition: usize) -> usize {
        let start = partition
            .checked_sub(1)
            .map_or(0, |before| self.ends[before]);
        (self.ends[partition] - start) as usize
    }

    /// How many bytes all rows have.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Frees the memory of the rows.
    pub(super) fn drop_rows(&mut self) {
        self.bytes = Box::default();
    }

    /// The row at an offset.
    pub(super) fn row_at(&self, at: u32) -> Bytes<'_> {
        Bytes {
            bytes: &self.bytes,
            at: at as usize,
        }
    }
}

/// Rows that are written into their partitions.
#[derive(Debug)]
pub(super) struct RowWriter {
    partitioning: Partitioning,
    parts: Vec<Vec<u8>>,
}

impl RowWriter {
    pub(super) fn new(partitioning: Partitioning) -> Self {
        Self {
            parts: vec![Vec::new(); partitioning.all()],
            partitioning,
        }
    }

    pub(super) fn hashing(&self) -> &Hashing {
        self.partitioning.hashing()
    }

    pub(super) fn clear(&mut self) {
        self.parts.iter_mut().for_each(Vec::clear);
    }

    /// The rows that were written since the last call.
    pub(super) fn take(&mut self, worker: usize, file: usize) -> Segments {
        let mut end = 0;
        let ends = self.parts.iter().map(|part| {
            end += part.len() as u32;
            end
        });
        let segments = Segments {
            ends: ends.collect(),
            bytes: self.parts.concat().into_boxed_slice(),
            worker,
            file,
        };
        self.clear();
        segments
    }

    /// How many bytes were written since the last call of [`RowWriter::take`].
    pub(super) fn bytes(&self) -> usize {
        self.parts.iter().map(Vec::len).sum()
    }

    /// Writes an event into the partition of its recipient. `campaign` is the number of its campaign.
    pub(super) fn put_event(&mut self, event: &PlainEvent<'_>, campaign: u32) {
        let partition = self.partitioning.of_recipient(event.recipient);
        let part = &mut self.parts[partition];
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
        let mut row = Room::new(part, most);
        row.put(&head.to_le_bytes());
        row.put(&campaign.to_le_bytes());
        row.put(&[customer_length, event_length]);
        row.put(recipient);
        row.put(event.event_id.as_bytes());
        row.put(message.as_bytes());
        row.end();
    }

    /// Writes an event that was written before into another partition.
    pub(super) fn put_event_again(&mut self, partition: usize, event: &EventRow<'_>) {
        self.parts[partition].extend_from_slice(event.row);
    }

    /// Writes a copy of an order, from a line of its file, into the partition of its id.
    pub(super) fn put_order(&mut self, order: &PlainOrder<'_>, free: Free<'_>, line: u64) {
        let partition = self.partitioning.of(order.order_id.as_bytes());
        self.put_order_into(partition, order, free, line);
    }

    /// Writes a copy of an order into the partition of a customer, whose the order is.
    pub(super) fn put_order_of(&mut self, customer_id: &str, row: &OrderRow<'_>) {
        let order = PlainOrder {
            customer_id,
            ..row.order
        };
        let partition = self.partitioning.of(customer_id.as_bytes());
        self.put_order_into(partition, &order, row.free, row.line);
    }

    fn put_order_into(
        &mut self,
        partition: usize,
        order: &PlainOrder<'_>,
        free: Free<'_>,
        line: u64,
    ) {
        let part = &mut self.parts[partition];
        let lengths = [order.order_id, order.customer_id].map(|id| id.len() as u8);
        let currency = order.currency.number().to_le_bytes();
        part.extend_from_slice(&[order.status as u8, lengths[0], lengths[1]]);
        part.extend_from_slice(&currency);
        put_number(part, ms_since_first(order.placed_at));
        put_number(
            part,
            order.updated_at.map_or(0, |at| 1 + ms_since_first(at)),
        );
        for amount in [order.total, order.refunded_total] {
            let (digits, scale) = amount.parts();
            part.push(scale);
            put_number(part, digits as u64);
            put_number(part, (digits >> 64) as u64);
        }
        put_number(part, line);
        part.extend_from_slice(order.order_id.as_bytes());
        part.extend_from_slice(order.customer_id.as_bytes());
        free.write(part);
    }
}

/// How many bytes the row of an event has besides ids: a word, the number of a campaign, and two lengths.
const HEAD_BYTES: usize = 8 + 4 + 2;

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
fn put_ends<const N: usize>(part: &[u8], to: &mut [u8]) {
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
    /// The number of its campaign, as the worker gave it.
    pub(super) campaign: u32,
    is_address: bool,
    /// The id of its customer, or the bits of its address. No partition holds both kinds.
    pub(super) recipient: &'a [u8],
    /// The id of the event.
    pub(super) id: &'a [u8],
    pub(super) what: Happened<'a>,
    row: &'a [u8],
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
    pub(super) free: Free<'a>,
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
        match self.free {
            Free::Json(json) => serde_json::from_str(json).ok(),
            Free::Cells(cells) if cells.iter().all(|cell| cell.is_empty()) => {
                self.order.to_order(None)
            }
            Free::Cells(cells) => {
                let header = PlainOrder::FREE_FIELDS.map(str::to_owned);
                let record = Record::Row(&header, cells.to_vec());
                self.order.to_order(Some(&record))
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
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// What was not read yet.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Where the next row begins.
    pub(super) fn at(&self) -> u32 {
        self.at as u32
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
        let [free] = self.array()?;
        let mut cells = [""; 6];
        let free = match free {
            Free::JSON => Free::Json(self.long_text()?),
            Free::CELLS => {
                for cell in &mut cells {
                    *cell = self.long_text()?;
                }
                Free::Cells(cells)
            }
            _ => Free::Cells(cells),
        };
        Some(OrderRow { order, free, line })
    }
}
