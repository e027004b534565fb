//! Rows that are cut into partitions. All rows of a customer are in one partition, and so are all copies of an order. Events by
//! address have partitions of their own behind those.

use std::sync::{Arc, Mutex, PoisonError};

use revtrail_core::attribution::plain::{PlainEvent, PlainOrder, PlainRecipient};

use super::numbers::Hashing;
use super::rows::{Bytes, EventRow, Free, OrderRow, put_ends, write_event, write_order};

/// Says which partition an id or an address belongs to.
#[derive(Debug, Clone)]
pub(super) struct Partitioning {
    hashing: Hashing,
    of_customers: usize,
    spare: Spare,
}

/// The memory of rows that went to a file. It serves the next ones, because new memory is slow.
#[derive(Debug, Clone, Default)]
pub(super) struct Spare(Arc<Mutex<Vec<Vec<u8>>>>);

impl Spare {
    fn take(&self) -> Vec<u8> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.pop().unwrap_or_default()
    }

    /// Takes the memory of rows that nobody needs.
    pub(super) fn give(&self, segments: Segments) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(segments.bytes);
    }

    /// Frees all of it.
    pub(super) fn clear(&self) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *all = Vec::new();
    }
}

impl Partitioning {
    /// Cuts the rows of customers and of orders into so many partitions. As many again are those of addresses.
    pub(super) fn new(of_customers: usize) -> Self {
        Self {
            hashing: Hashing::default(),
            of_customers,
            spare: Spare::default(),
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

    /// The memory that rows left.
    pub(super) fn spare(&self) -> &Spare {
        &self.spare
    }

    #[inline]
    fn of(&self, id: &[u8]) -> usize {
        // The lower half of the hash, as a part of all that there can be. Within a partition, the upper half tells ids apart.
        let hash = u64::from(self.hashing.of(id) as u32);
        ((hash * self.of_customers as u64) >> 32) as usize
    }

    #[inline]
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
    bytes: Vec<u8>,
    /// For each partition, where it ends.
    ends: Vec<u32>,
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
        Bytes::from(&self.bytes[..end], start as usize)
    }

    /// The number of partitions.
    pub(super) fn parts(&self) -> usize {
        self.ends.len()
    }

    /// How many bytes all rows have.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The row at an offset.
    pub(super) fn row_at(&self, at: usize) -> Bytes<'_> {
        Bytes::from(&self.bytes, at)
    }
}

/// Writes rows, and cuts them into partitions.
#[derive(Debug)]
pub(super) struct RowWriter {
    partitioning: Partitioning,
    /// The rows as they came: to cut them at once is quicker than to go to another partition for each.
    bytes: Vec<u8>,
    /// For each row, its partition, and where it ends.
    rows: Vec<(u32, u32)>,
}

impl RowWriter {
    pub(super) fn new(partitioning: Partitioning) -> Self {
        Self {
            partitioning,
            bytes: Vec::new(),
            rows: Vec::new(),
        }
    }

    pub(super) fn hashing(&self) -> &Hashing {
        self.partitioning.hashing()
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.rows.clear();
    }

    /// The rows that were written since the last call.
    pub(super) fn take(&mut self, file: usize) -> Segments {
        let mut ends = vec![0; self.partitioning.all()];
        let mut start = 0;
        for (partition, end) in &self.rows {
            ends[*partition as usize] += end - std::mem::replace(&mut start, *end);
        }
        let mut next = 0;
        for length in &mut ends {
            next += std::mem::replace(length, next);
        }
        let mut bytes = self.partitioning.spare.take();
        bytes.resize(self.bytes.len(), 0);
        let mut start = 0;
        for (partition, end) in &self.rows {
            let row = &self.bytes[std::mem::replace(&mut start, *end as usize)..*end as usize];
            let at = &mut ends[*partition as usize];
            let to = &mut bytes[*at as usize..][..row.len()];
            match row.len() {
                32..=64 => put_ends::<32>(row, to),
                16..32 => put_ends::<16>(row, to),
                _ => to.copy_from_slice(row),
            }
            *at += row.len() as u32;
        }
        self.clear();
        Segments { bytes, ends, file }
    }

    /// How many bytes were written since the last call of [`RowWriter::take`].
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    #[inline]
    fn end_row(&mut self, partition: usize) {
        self.rows.push((partition as u32, self.bytes.len() as u32));
    }

    /// Writes an event into the partition of its recipient. `campaign` is the number of its campaign.
    #[inline]
    pub(super) fn put_event(&mut self, event: &PlainEvent<'_>, campaign: u32) {
        write_event(&mut self.bytes, event, campaign);
        self.end_row(self.partitioning.of_recipient(event.recipient));
    }

    /// Writes an event that was written before into another partition.
    pub(super) fn put_event_again(&mut self, partition: usize, event: &EventRow<'_>) {
        self.bytes.extend_from_slice(event.row);
        self.end_row(partition);
    }

    /// Writes a copy of an order, from a line of its file, into the partition of its id.
    pub(super) fn put_order(&mut self, order: &PlainOrder<'_>, free: Free<'_>, line: u64) {
        write_order(&mut self.bytes, order, free, line);
        self.end_row(self.partitioning.of(order.order_id.as_bytes()));
    }

    /// Writes a copy of an order into the partition of a customer, whose the order is.
    pub(super) fn put_order_of(&mut self, customer_id: &str, row: &OrderRow<'_>) {
        let order = PlainOrder {
            customer_id,
            ..row.order
        };
        write_order(&mut self.bytes, &order, Free::Written(row.free), row.line);
        self.end_row(self.partitioning.of(customer_id.as_bytes()));
    }
}
