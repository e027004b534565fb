//! Events by address: an order is decided by the messages to its addresses too (rule 3.5). So the first copy of each such event goes,
//! as a guest, into the partition of each customer whose order names the address. Its engagement counts where the address itself is.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use foldhash::fast::RandomState;
use revtrail_core::value::address::AddressHash;

use super::facts::FileFacts;
use super::intake::Tuning;
use super::orders::SEGMENT_BYTES;
use super::parallel::each_partition;
use super::rows::Bytes;
use super::segments::{Partitioning, RowWriter};
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
    let guests = Mutex::new(SpillingRows::new(room, partitioning.spare()));
    // Each event is there once, so it does not matter in which order they come.
    let give = |inviter: &mut Inviter, least: usize| {
        if inviter.writer.bytes() > least {
            let mut guests = guests.lock().unwrap_or_else(PoisonError::into_inner);
            guests.push(inviter.writer.take(0))?;
        }
        Ok(())
    };
    let new = || Inviter {
        writer: RowWriter::new(partitioning.clone()),
        buffer: Vec::new(),
        failed: None,
    };
    let each = |inviter: &mut Inviter, partition| {
        if partitioning.is_of_addresses(partition) && inviter.failed.is_none() {
            let invited = inviter.invite(facts, partition, &named);
            inviter.failed = invited.and_then(|()| give(inviter, SEGMENT_BYTES)).err();
        }
    };
    for mut inviter in each_partition(tuning.threads, facts.partitions, new, each) {
        match inviter.failed.take() {
            Some(failure) => return Err(failure),
            None => give(&mut inviter, 0)?,
        }
    }
    Ok(guests.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// What one thread writes.
struct Inviter {
    writer: RowWriter,
    buffer: Vec<u8>,
    failed: Option<Failure>,
}

impl Inviter {
    /// Writes the events of a partition of addresses into those of the customers.
    fn invite(
        &mut self,
        facts: &FileFacts,
        partition: usize,
        named: &Named,
    ) -> Result<(), Failure> {
        let mut seen: HashSet<[&[u8]; 2], RandomState> = HashSet::default();
        let read = facts.events.part(partition, &mut self.buffer);
        read.map_err(failed_to_read_rows)?;
        let mut rows = Bytes::from(&self.buffer, 0);
        while let Some(row) = rows.event() {
            let address = row.address().and_then(|address| named.get(&address));
            let customers = address.filter(|_| seen.insert([row.recipient, row.id]));
            for customers in customers.into_iter().flatten() {
                self.writer.put_event_again(*customers, &row);
            }
        }
        Ok(())
    }
}

fn named(facts: &FileFacts, threads: usize) -> Named {
    let parts = each_partition(
        threads,
        facts.partitions,
        Named::default,
        |named: &mut Named, partition| {
            for row in facts.standing.part(partition) {
                let order = row.to_order();
                for address in
                    order.map_or_else(Vec::new, |order| order.addresses(&facts.marketplace))
                {
                    let partitions = named.entry(address).or_default();
                    if !partitions.contains(&partition) {
                        partitions.push(partition);
                    }
                }
            }
        },
    );
    let mut all = Named::default();
    for (address, partitions) in parts.into_iter().flatten() {
        all.entry(address).or_default().extend(partitions);
    }
    all
}
