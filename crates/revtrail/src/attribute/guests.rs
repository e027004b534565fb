//! Events by address: an order is decided by the messages to its addresses too (rule 3.5). So the first copy of each such event goes,
//! as a guest, into the partition of each customer whose order names the address. Its engagement counts where the address itself is.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use foldhash::fast::RandomState;
use revtrail_core::attribution::plain::PlainRecipient;
use revtrail_core::value::address::AddressHash;

use super::facts::FileFacts;
use super::intake::Tuning;
use super::orders::row_at;
use super::parallel::each_partition;
use super::rows::{OF_CUSTOMERS, Partitioning, RowWriter};
use super::spill::SpillingRows;
use super::{Failure, failed_to_read_rows};

/// For each address, the partitions of the customers whose orders name it.
type Named = HashMap<AddressHash, Vec<usize>, RandomState>;

/// The guests of all partitions. Memory holds as many of them as the events left room for.
///
/// # Errors
/// Rows that are not in memory cannot be read again, or cannot be written.
pub(super) fn guests(
    facts: &FileFacts,
    partitioning: &Partitioning,
    tuning: &Tuning,
) -> Result<SpillingRows, Failure> {
    let named = named(facts, tuning.threads);
    let room = tuning.memory_bytes.saturating_sub(facts.events.bytes());
    let guests = Mutex::new(Ok(SpillingRows::new(room)));
    let new = || {
        let writer = |_| RowWriter::new(partitioning.clone());
        let writers: Vec<RowWriter> = (0..facts.workers()).map(writer).collect();
        (writers, Vec::new())
    };
    each_partition(tuning.threads, new, |(writers, buffer), partition| {
        if partition < OF_CUSTOMERS {
            return;
        }
        let written = invite(facts, partition, &named, writers, buffer);
        let mut guests = guests.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = writers.iter_mut().enumerate();
        let rows = rows.map(|(worker, writer)| writer.take(worker, 0));
        let before = std::mem::replace(&mut *guests, Ok(SpillingRows::new(0)));
        *guests = before.and_then(|mut guests| {
            written?;
            for rows in rows.filter(|rows| rows.len() > 0) {
                guests.push(rows)?;
            }
            Ok(guests)
        });
    });
    guests.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Writes the events of a partition of addresses into those of the customers.
fn invite(
    facts: &FileFacts,
    partition: usize,
    named: &Named,
    writers: &mut [RowWriter],
    buffer: &mut Vec<u8>,
) -> Result<(), Failure> {
    let mut seen: HashSet<(AddressHash, &str), RandomState> = HashSet::default();
    let parts = facts.events.part(partition, buffer);
    for (worker, mut rows) in parts.map_err(failed_to_read_rows)? {
        while let Some(row) = rows.event() {
            let PlainRecipient::Address(address) = row.event.recipient else {
                continue;
            };
            let Some(customers) = named.get(&address) else {
                continue;
            };
            if seen.insert((address, row.event.event_id)) {
                for customers in customers {
                    writers[worker].put_event_into(*customers, &row.event, row.campaign);
                }
            }
        }
    }
    Ok(())
}

fn named(facts: &FileFacts, threads: usize) -> Named {
    let parts = each_partition(threads, Named::default, |named: &mut Named, partition| {
        for (standing, _) in &facts.standing.by_customer[partition] {
            let order = row_at(&facts.orders, *standing).and_then(|row| row.to_order());
            for address in order.map_or_else(Vec::new, |order| order.addresses(&facts.marketplace))
            {
                let partitions = named.entry(address).or_default();
                if !partitions.contains(&partition) {
                    partitions.push(partition);
                }
            }
        }
    });
    let mut all = Named::default();
    for (address, partitions) in parts.into_iter().flatten() {
        all.entry(address).or_default().extend(partitions);
    }
    all
}
