//! Rows as bytes, in the memory of one run: what is needed of an event or an order, cut into partitions. All rows of a customer
//! are in one partition, and so are all copies of an order. Events by address have partitions of their own behind those.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use revtrail_core::attribution::event::{Channel, EventKind};
use revtrail_core::attribution::order::{Order, Status};
use revtrail_core::attribution::plain::{PlainEvent, PlainOrder, PlainRecipient};
use revtrail_core::record::Record;
use revtrail_core::value::address::AddressHash;
use revtrail_core::value::id::CustomerId;
use revtrail_core::value::money::{Currency, Money};
use revtrail_core::value::time::Instant;

/// Into how many partitions the rows of customers and of orders are cut. Ten million rows make partitions that fit into a cache.
pub(super) const OF_CUSTOMERS: usize = 256;
/// All partitions: as many again are those of addresses.
pub(super) const PARTITIONS: usize = 2 * OF_CUSTOMERS;

/// Says which partition an id or an address belongs to.
#[derive(Debug, Clone, Default)]
pub(super) struct Partitioning(RandomState);

impl Partitioning {
    pub(super) fn of(&self, id: &str) -> usize {
        self.0.hash_one(id) as usize % OF_CUSTOMERS
    }

    fn of_recipient(&self, recipient: PlainRecipient<'_>) -> usize {
        match recipient {
            PlainRecipient::Customer(id) => self.of(id),
            PlainRecipient::Address(address) => {
                OF_CUSTOMERS + self.0.hash_one(address) as usize % OF_CUSTOMERS
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
            partitioning,
            parts: vec![Vec::new(); PARTITIONS],
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

    /// Writes an event into the partition of its recipient. `campaign` is the number of its campaign.
    pub(super) fn put_event(&mut self, event: &PlainEvent<'_>, campaign: u32) {
        let partition = self.partitioning.of_recipient(event.recipient);
        self.put_event_into(partition, event, campaign);
    }

    /// Writes an event into a partition.
    pub(super) fn put_event_into(
        &mut self,
        partition: usize,
        event: &PlainEvent<'_>,
        campaign: u32,
    ) {
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
        let lengths = [customer, event.event_id, message].map(|id| id.len() as u8);
        part.extend_from_slice(&packed.to_le_bytes()[..7]);
        part.extend_from_slice(&lengths);
        put_number(part, campaign.into());
        part.extend_from_slice(customer.as_bytes());
        part.extend_from_slice(address.as_ref().map_or(&[], |bits| bits));
        part.extend_from_slice(event.event_id.as_bytes());
        part.extend_from_slice(message.as_bytes());
    }

    /// Writes a copy of an order, from a line of its file, into the partition of its id.
    pub(super) fn put_order(&mut self, order: &PlainOrder<'_>, free: Free<'_>, line: u64) {
        let part = &mut self.parts[self.partitioning.of(order.order_id)];
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
    pub(super) event: PlainEvent<'a>,
    /// The number of its campaign, as the worker gave it. The event has no name of it.
    pub(super) campaign: u32,
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
    /// The copy as an order of its customer, with its addresses only where they are asked for.
    pub(super) fn to_order_of_customer(self, with_addresses: bool) -> Option<Order> {
        if !with_addresses {
            return self.order.to_order(None);
        }
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

    fn text(&mut self, length: usize) -> Option<&'a str> {
        let bytes = self.bytes.get(self.at..self.at + length)?;
        self.at += length;
        std::str::from_utf8(bytes).ok()
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
        let mut packed = [0; 8];
        packed[..7].copy_from_slice(&self.array::<7>()?);
        let packed = u64::from_le_bytes(packed);
        let [customer, event, message] = self.array()?;
        let campaign = self.number()? as u32;
        let recipient = match customer {
            0 => PlainRecipient::Address(AddressHash::from_bytes(self.array()?)),
            length => PlainRecipient::Customer(self.text(length.into())?),
        };
        let event_id = self.text(event.into())?;
        let message = self.text(message.into())?;
        let event = PlainEvent {
            event_id,
            kind: EventKind::ALL[(packed >> 49 & 7) as usize],
            channel: *Channel::ALL.get((packed >> 52 & 3) as usize)?,
            campaign_id: "",
            recipient,
            message_id: Some(message).filter(|id| !id.is_empty()),
            occurred_at: instant(packed & ((1 << 49) - 1)),
            machine: packed >> 54 & 1 != 0,
            app_too_old: packed >> 55 & 1 != 0,
        };
        Some(EventRow { event, campaign })
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
