//! Which copy of each order stands (rule 3.2), partition by partition.

use revtrail_core::attribution::order::Order;
use revtrail_core::record::{Code, RecordProblem};
use revtrail_core::value::money::Currency;
use revtrail_core::value::time::Instant;

use super::numbers::Numbers;
use super::rows::{Bytes, OrderRow};
use super::segments::{Partitioning, RowWriter, Segments};

/// Where a row is: the index of its segments, and its offset there.
type RowAt = (u32, usize);

/// About how many bytes the row of an order has.
const ROW_BYTES: usize = 48;

/// How many bytes of rows are written before they are put together.
pub(super) const SEGMENT_BYTES: usize = 16 << 20;

/// The orders after all copies.
#[derive(Debug)]
pub(super) struct StandingOrders {
    /// The copies that stand, in the partitions of their customers.
    rows: Vec<Segments>,
    writer: RowWriter,
    /// The number of orders.
    pub(super) orders: usize,
    pub(super) duplicates: usize,
    pub(super) older: usize,
    /// The copies that were rejected: the file, the line and why.
    pub(super) rejects: Vec<(usize, u64, RecordProblem)>,
}

impl StandingOrders {
    pub(super) fn new(partitioning: &Partitioning) -> Self {
        Self {
            rows: Vec::new(),
            writer: RowWriter::new(partitioning.clone()),
            orders: 0,
            duplicates: 0,
            older: 0,
            rejects: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, mut other: Self) {
        self.rows.append(&mut other.rows);
        self.rows.push(other.writer.take(0));
        self.orders += other.orders;
        self.duplicates += other.duplicates;
        self.older += other.older;
        self.rejects.append(&mut other.rejects);
    }

    /// The copies that stand of the customers of a partition. The customer of each is the one that its first copy named.
    pub(super) fn part(&self, partition: usize) -> impl Iterator<Item = OrderRow<'_>> {
        let parts = self.rows.iter().map(move |rows| rows.part(partition));
        parts.flat_map(|mut rows: Bytes<'_>| std::iter::from_fn(move || rows.order()))
    }

    /// Puts an order into the partition of its customer.
    fn put(&mut self, standing: &OrderRow<'_>, customer_id: &str) {
        self.orders += 1;
        self.writer.put_order_of(customer_id, standing);
    }
}

/// An order of which at least one copy was read.
struct Known<'a> {
    id: &'a str,
    first: RowAt,
    standing: RowAt,
    customer_id: &'a str,
    currency: Currency,
    placed_at: Instant,
    /// The copy that stands, if there were several.
    order: Option<Box<Order>>,
}

/// Finds the copy that stands of each order in a partition.
pub(super) fn take_orders(partition: usize, all: &[Segments], found: &mut StandingOrders) {
    let bytes = all
        .iter()
        .map(|segments| segments.part(partition).rest().len());
    let room = bytes.sum::<usize>() / ROW_BYTES;
    let hashing = found.writer.hashing().clone();
    let mut places = Numbers::default();
    places.clear(room);
    let mut known: Vec<Known<'_>> = Vec::with_capacity(room);
    for (index, segments) in all.iter().enumerate() {
        let mut rows = segments.part(partition);
        loop {
            let at = (index as u32, rows.at());
            let Some(row) = rows.order() else {
                break;
            };
            let order = &row.order;
            let hash = hashing.of(order.order_id.as_bytes());
            let is_it = |place: u32| known[place as usize].id == order.order_id;
            let (place, is_new) = places.number(hash, is_it);
            if is_new {
                known.push(Known {
                    id: order.order_id,
                    first: at,
                    standing: at,
                    customer_id: order.customer_id,
                    currency: order.currency,
                    placed_at: order.placed_at,
                    order: None,
                });
            } else if let Err(problem) = take_copy(&mut known[place as usize], all, &row, at, found)
            {
                found.rejects.push((segments.file, row.line, problem));
            }
        }
    }
    for known in known {
        let standing = row_at(all, known.standing);
        standing.inspect(|standing| found.put(standing, known.customer_id));
    }
    if found.writer.bytes() > SEGMENT_BYTES {
        found.rows.push(found.writer.take(0));
    }
}

fn take_copy(
    known: &mut Known<'_>,
    all: &[Segments],
    row: &OrderRow<'_>,
    at: RowAt,
    found: &mut StandingOrders,
) -> Result<(), RecordProblem> {
    let lost = || RecordProblem::whole(Code::WrongType, "the order cannot be read again");
    let copy = row.to_order().ok_or_else(lost)?;
    copy.check_unchanged(known.currency, known.placed_at)?;
    let mut standing = match known.order.take() {
        Some(order) => *order,
        None => row_at(all, known.first)
            .and_then(|row| row.to_order())
            .ok_or_else(lost)?,
    };
    // The order stays with the customer of its first row, whatever customer a later row names.
    let copy = copy.of_customer(&standing.customer_id);
    if copy == standing {
        found.duplicates += 1;
    } else {
        found.older += 1;
        if copy.standing() > standing.standing() {
            known.standing = at;
            standing = copy;
        }
    }
    known.order = Some(standing.into());
    Ok(())
}

/// The row at a place.
fn row_at(all: &[Segments], (segments, at): RowAt) -> Option<OrderRow<'_>> {
    all.get(segments as usize)?.row_at(at).order()
}
