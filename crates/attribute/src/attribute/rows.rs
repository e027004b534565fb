//! Rows as bytes, in the memory of one run: what is needed of an event or an order, cut into partitions. All rows of a customer
//! are in one partition, and so are all copies of an order. Events by address have partitions of their own behind those.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
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

/// Says which partition an id or an address belongs to.
#[derive(Debug, Clone)]
pub(super) struct Partitioning {
    hash: RandomState,
    of_customers: usize,
}

impl Partitioning {
    /// Cuts the rows of customers and of orders into so many partitions. As many again are those of addresses.
    pub(super) fn new(of_customers: usize) -> Self {
        Self {
            hash: RandomState::default(),
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

    fn of(&self, id: &str) -> usize {
        self.hash.hash_one(id) as usize % self.of_customers
    }

    fn of_recipient(&self, recipient: PlainRecipient<'_>) -> usize {
        match recipient {
            PlainRecipient::Customer(id) => self.of(id),
            PlainRecipient::Address(address) => {
                self.of_customers + self.hash.hash_one(address) as usize % self.of_customers
            }
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
        let [customer_length, event_length, message_length] =
            [customer, event.event_id, message].map(|id| id.len() as u8);
        let mut row = ShortRow::default();
        // Seven bytes of the number, and the length of the message in the eighth.
        let head = packed | u64::from(message_length) << 56;
        row.put(part, &head.to_le_bytes());
        row.put_number(part, campaign);
        row.put(part, &[customer_length, event_length]);
        row.put(part, customer.as_bytes());
        row.put(part, address.as_ref().map_or(&[], |bits| bits));
        row.put(part, event.event_id.as_bytes());
        row.put(part, message.as_bytes());
        row.end(part);
    }

    /// Writes an event that was written before into another partition.
    pub(super) fn put_event_again(&mut self, partition: usize, event: &EventRow<'_>) {
        self.parts[partition].extend_from_slice(event.row);
    }

    /// Writes a copy of an order, from a line of its file, into the partition of its id.
    pub(super) fn put_order(&mut self, order: &PlainOrder<'_>, free: Free<'_>, line: u64) {
        let partition = self.partitioning.of(order.order_id);
        self.put_order_into(partition, order, free, line);
    }

    /// Writes a copy of an order into the partition of a customer, whose the order is.
    pub(super) fn put_order_of(&mut self, customer_id: &str, row: &OrderRow<'_>) {
        let order = PlainOrder {
            customer_id,
            ..row.order
        };
        let partition = self.partitioning.of(customer_id);
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
        put_number(part, ms_since_first(order.placed_at).into());
        put_number(
            part,
            order
                .updated_at
                .map_or(0, |at| 1 + ms_since_first(at))
                .into(),
        );
        for amount in [order.total, order.refunded_total] {
            let (digits, scale) = amount.parts();
            part.push(scale);
            put_number(part, digits);
        }
        put_number(part, line.into());
        part.extend_from_slice(order.order_id.as_bytes());
        part.extend_from_slice(order.customer_id.as_bytes());
        free.write(part);
    }
}

/// A row that is put together before it is written. Its parts are short and many: to write each for itself takes longer.
struct ShortRow {
    bytes: [u8; 64],
    length: usize,
}

impl Default for ShortRow {
    fn default() -> Self {
        Self {
            bytes: [0; 64],
            length: 0,
        }
    }
}

impl ShortRow {
    /// Puts a part behind the others. Where the row is full, what it has is written first.
    #[inline]
    fn put(&mut self, to: &mut Vec<u8>, part: &[u8]) {
        if part.len() > self.bytes.len() - self.length {
            self.end(to);
            to.extend_from_slice(part);
            return;
        }
        let room = &mut self.bytes[self.length..][..part.len()];
        match (part.first_chunk::<8>(), part.last_chunk::<8>()) {
            // Two words cover it, and no call is made.
            (Some(first), Some(last)) if part.len() <= 16 => {
                room[..8].copy_from_slice(first);
                room[part.len() - 8..].copy_from_slice(last);
            }
            _ => room.copy_from_slice(part),
        }
        self.length += part.len();
    }

    #[inline]
    fn put_number(&mut self, to: &mut Vec<u8>, mut number: u32) {
        while number >= 0x80 {
            self.put(to, &[number as u8 | 0x80]);
            number >>= 7;
        }
        self.put(to, &[number as u8]);
    }

    fn end(&mut self, to: &mut Vec<u8>) {
        to.extend_from_slice(&self.bytes[..self.length]);
        self.length = 0;
    }
}

/// Milliseconds since the first instant there is.
fn ms_since_first(at: Instant) -> u64 {
    (at.ms() - Instant::MIN.ms()) as u64
}

fn instant(ms_since_first: u64) -> Instant {
    Instant::MIN.plus_ms(ms_since_first as i64)
}

/// Writes a number in as many bytes as it needs: seven bits in each, and the highest says that more follow.
fn put_number(to: &mut Vec<u8>, mut number: u128) {
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
    put_number(to, text.len() as u128);
    to.extend_from_slice(text.as_bytes());
}

/// An event of a partition.
#[derive(Debug, Clone, Copy)]
pub(super) struct EventRow<'a> {
    /// The number of its campaign, as the worker gave it.
    pub(super) campaign: u32,
    /// Equal for the copies of an event: its recipient and its id, behind their lengths.
    pub(super) identity: &'a [u8],
    /// The id of its customer, or the bits of its address.
    pub(super) recipient: &'a [u8],
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
        let is_address = self.identity.first() == Some(&0);
        let bits = self.recipient.first_chunk().filter(|_| is_address)?;
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

    /// The touchpoint of the event, without the id of its message.
    #[inline]
    pub(super) fn touchpoint_of_any(self, campaign: CampaignIx) -> Touchpoint<'a> {
        let packed = self.packed;
        Touchpoint {
            campaign,
            channel: Channel::ALL[(packed >> 52 & 3) as usize % Channel::ALL.len()],
            message: None,
            recipient: 0,
            at: instant(packed & ((1 << 49) - 1)),
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

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let array = self.bytes.get(self.at..)?.first_chunk()?;
        self.at += N;
        Some(*array)
    }

    fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let bytes = self.bytes.get(self.at..self.at + length)?;
        self.at += length;
        Some(bytes)
    }

    fn text(&mut self, length: usize) -> Option<&'a str> {
        std::str::from_utf8(self.bytes(length)?).ok()
    }

    fn number(&mut self) -> Option<u128> {
        let (mut number, mut bits) = (0, 0);
        loop {
            let [byte] = self.array()?;
            number |= u128::from(byte & 0x7f) << bits;
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
    pub(super) fn event(&mut self) -> Option<EventRow<'a>> {
        let start = self.at;
        let packed = u64::from_le_bytes(self.array()?);
        let campaign = self.number()? as u32;
        let identity = self.at;
        let [customer, event] = self.array()?;
        let recipient = self.bytes(match customer {
            0 => ADDRESS_BYTES,
            length => length.into(),
        })?;
        self.bytes(event.into())?;
        let identity = &self.bytes[identity..self.at];
        let message = match packed >> 56 {
            0 => None,
            length => Some(self.bytes(length as usize)?),
        };
        Some(EventRow {
            campaign,
            identity,
            recipient,
            what: Happened { message, packed },
            row: &self.bytes[start..self.at],
        })
    }

    fn money(&mut self) -> Option<Money> {
        let [scale] = self.array()?;
        Some(Money::from_parts(self.number()?, scale))
    }

    /// The next copy of an order; `None` behind the last.
    pub(super) fn order(&mut self) -> Option<OrderRow<'a>> {
        let [status, order_length, customer_length] = self.array()?;
        let currency = Currency::numbered(u16::from_le_bytes(self.array()?))?;
        let placed_at = instant(self.number()? as u64);
        let updated_at = (self.number()? as u64).checked_sub(1).map(instant);
        let (total, refunded_total) = (self.money()?, self.money()?);
        let line = self.number()? as u64;
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
