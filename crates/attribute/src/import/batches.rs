//! Records are cut into batches, each for one lane. The same file gives the same batches again.

use revtrail_core::record::{Record, RecordProblem};
use revtrail_providers::exports::Makes;

/// The most records and bytes of a call. The service takes 1,000 and 4 MiB.
const RECORDS_MAX: usize = 1_000;
const BYTES_MAX: usize = 3 << 20;

/// Some records that are sent together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// The lane that it goes through.
    pub(super) lane: usize,
    /// Its number in its lane, from 0.
    pub(super) number: u64,
    /// The records as JSON, each with its line.
    pub(super) records: Vec<(u64, String)>,
    bytes: usize,
}

/// The batches that are not full yet.
#[derive(Debug)]
pub(super) struct Batches {
    id: &'static str,
    lanes: Vec<Batch>,
    /// The rows that are no records, each with its line.
    pub(super) rejected: Vec<(u64, RecordProblem)>,
}

impl Batches {
    pub(super) fn new(makes: Makes, lanes: u8) -> Self {
        let id = match makes {
            Makes::Events => "event_id",
            Makes::Orders => "order_id",
            Makes::Campaigns => "campaign_id",
            Makes::Vouchers => "code",
        };
        let lane = |lane| Batch {
            lane,
            ..Batch::default()
        };
        Self {
            id,
            lanes: (0..usize::from(lanes)).map(lane).collect(),
            rejected: Vec::new(),
        }
    }

    /// Takes a record; returns a batch that is full.
    pub(super) fn take(
        &mut self,
        line: u64,
        record: Result<String, RecordProblem>,
    ) -> Option<Batch> {
        let text = match record {
            Ok(text) => text,
            Err(problem) => {
                self.rejected.push((line, problem));
                return None;
            }
        };
        let id =
            Record::from_json(&text).and_then(|record| Ok(record.text(self.id)?.map(String::from)));
        let id = id.ok().flatten().unwrap_or_default();
        let lane = fnv(&id) as usize % self.lanes.len();
        let batch = &mut self.lanes[lane];
        let is_full = batch.records.len() == RECORDS_MAX || batch.bytes + text.len() > BYTES_MAX;
        let full = is_full.then(|| batch.next());
        batch.bytes += text.len() + 1;
        batch.records.push((line, text));
        full
    }

    /// The batches that were not full.
    pub(super) fn rest(&mut self) -> Vec<Batch> {
        let lanes = self
            .lanes
            .iter_mut()
            .filter(|batch| !batch.records.is_empty());
        lanes.map(Batch::next).collect()
    }
}

impl Batch {
    /// Returns this batch, and begins the next of its lane.
    fn next(&mut self) -> Self {
        let next = Self {
            lane: self.lane,
            number: self.number + 1,
            ..Self::default()
        };
        std::mem::replace(self, next)
    }
}

/// FNV-1a, which is the same in every process.
fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_with_one_id_stay_in_order() {
        let mut batches = Batches::new(Makes::Orders, 4);
        let mut full = Vec::new();
        for line in 0..10_000 {
            let record = format!("{{\"order_id\":\"o{}\",\"n\":{line}}}", line % 3_000);
            full.extend(batches.take(line, Ok(record)));
        }
        full.extend(batches.rest());
        assert!(full.iter().all(|batch| batch.records.len() <= RECORDS_MAX));
        assert_eq!(
            full.iter().map(|batch| batch.records.len()).sum::<usize>(),
            10_000
        );
        for lane in 0..4 {
            let own: Vec<&Batch> = full.iter().filter(|batch| batch.lane == lane).collect();
            assert!(
                own.iter()
                    .enumerate()
                    .all(|(at, batch)| batch.number == at as u64)
            );
            let lines: Vec<u64> = own
                .iter()
                .flat_map(|batch| batch.records.iter().map(|(line, _)| *line))
                .collect();
            assert!(lines.is_sorted() && !lines.is_empty());
            assert!(lines.iter().all(|line| lines.contains(&(line % 3_000))));
        }
        let long = format!(
            "{{\"order_id\":\"o\",\"free\":\"{}\"}}",
            "x".repeat(BYTES_MAX / 2)
        );
        let cut: Vec<_> = (0..4)
            .filter_map(|line| batches.take(line, Ok(long.clone())))
            .collect();
        assert_eq!(
            cut.iter()
                .map(|batch| batch.records.len())
                .collect::<Vec<_>>(),
            [1, 1, 1]
        );
    }
}
