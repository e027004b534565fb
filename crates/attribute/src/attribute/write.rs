//! What a run writes of its decisions: credits and explanations. The texts are exact, and lines end in LF.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use revtrail_core::attribution::decide::Decision;
use revtrail_core::attribution::explain::{Explanation, explain, reason};
use revtrail_core::attribution::order::Order;
use revtrail_core::attribution::plain::Decidable;
use revtrail_core::attribution::timeline::Timelines;
use revtrail_core::figures::fold::World;
use revtrail_core::value::id::OrderId;
use serde::Serialize;

use super::spill::temporary_file;

const CREDITS: [&str; 12] = [
    "order_id",
    "customer_id",
    "campaign_id",
    "channel",
    "message_id",
    "touch_kind",
    "touch_at",
    "sent_at",
    "amount",
    "currency",
    "counted",
    "reason",
];

/// The most bytes of explanations that a thread keeps in memory.
const EXPLANATION_BYTES_MAX: usize = 8 << 20;

/// Texts of orders, which are written in the order of the bytes of their ids.
#[derive(Debug, Default)]
pub(super) struct Texts {
    /// The orders, each with the end of its text.
    ends: Vec<(OrderId, u64)>,
    /// The first texts, and how many bytes they have: explanations can be many times as long as the files that are read.
    file: Option<File>,
    in_file: u64,
    /// The other texts.
    bytes: Vec<u8>,
    failed: Option<io::Error>,
}

impl Texts {
    /// Ends the text of an order.
    fn end(&mut self, id: OrderId, bytes_max: usize) {
        self.ends.push((id, self.in_file + self.bytes.len() as u64));
        if self.bytes.len() > bytes_max && self.failed.is_none() {
            self.failed = self.spill().err();
        }
    }

    fn spill(&mut self) -> io::Result<()> {
        if self.file.is_none() {
            let (_, file) = temporary_file().map_err(io::Error::other)?;
            self.file = Some(file);
        }
        let named = |error| {
            let folder = std::env::temp_dir();
            let why = format!("a temporary file in {}: {error}", folder.display());
            io::Error::other(why)
        };
        self.file
            .iter_mut()
            .try_for_each(|file| file.write_all(&self.bytes))
            .map_err(named)?;
        self.in_file += self.bytes.len() as u64;
        self.bytes.clear();
        Ok(())
    }

    /// Writes a text, which begins and ends at these bytes of all.
    fn write_one(
        &mut self,
        to: &mut dyn Write,
        [start, end]: [u64; 2],
        buffer: &mut Vec<u8>,
    ) -> io::Result<()> {
        let text = match (&mut self.file, start.checked_sub(self.in_file)) {
            (_, Some(start)) => &self.bytes[start as usize..(end - self.in_file) as usize],
            (None, None) => return Err(io::ErrorKind::UnexpectedEof.into()),
            (Some(file), None) => {
                buffer.resize((end - start) as usize, 0);
                file.seek(SeekFrom::Start(start))?;
                file.read_exact(buffer)?;
                &buffer[..]
            }
        };
        to.write_all(text)
    }

    /// Writes the texts of all parts.
    pub(super) fn write(to: &mut dyn Write, mut parts: Vec<Self>) -> io::Result<()> {
        if let Some(error) = parts.iter_mut().find_map(|part| part.failed.take()) {
            return Err(error);
        }
        let mut texts: Vec<(OrderId, usize, [u64; 2])> = Vec::new();
        for (index, part) in parts.iter_mut().enumerate() {
            let mut start = 0;
            for (id, end) in std::mem::take(&mut part.ends) {
                texts.push((id, index, [std::mem::replace(&mut start, end), end]));
            }
        }
        texts.sort_unstable();
        let mut buffer = Vec::new();
        for (_, index, place) in texts {
            parts[index].write_one(to, place, &mut buffer)?;
        }
        Ok(())
    }
}

/// The head of the file of credits.
pub(super) fn write_credits_head(to: &mut dyn Write) -> io::Result<()> {
    let mut csv = csv::Writer::from_writer(to);
    csv.write_record(CREDITS)?;
    csv.flush()
}

/// Which campaign earned each order, one row for each order.
#[derive(Debug)]
pub(super) struct Credits {
    csv: csv::Writer<Vec<u8>>,
    ends: Vec<(OrderId, u64)>,
    failed: Option<io::Error>,
}

impl Default for Credits {
    fn default() -> Self {
        Self {
            csv: csv::Writer::from_writer(Vec::new()),
            ends: Vec::new(),
            failed: None,
        }
    }
}

impl Credits {
    pub(super) fn add(
        &mut self,
        order: &impl Decidable,
        decision: &Decision<'_>,
        world: &World<'_>,
    ) {
        let written = write_credit(&mut self.csv, order, decision, world);
        self.failed = self
            .failed
            .take()
            .or(written.and_then(|()| self.csv.flush()).err());
        let id = OrderId::new(order.plain().order_id).map_err(io::Error::other);
        match id {
            Ok(id) => self.ends.push((id, self.csv.get_ref().len() as u64)),
            Err(error) => self.failed = Some(error),
        }
    }

    pub(super) fn into_texts(self) -> Texts {
        let (bytes, failed) = match self.csv.into_inner() {
            Ok(bytes) => (bytes, self.failed),
            Err(error) => (Vec::new(), Some(error.into_error())),
        };
        Texts {
            bytes,
            ends: self.ends,
            failed,
            ..Texts::default()
        }
    }
}

/// Why each order was decided as it was, one JSON object on each line.
#[derive(Debug)]
pub(super) struct Explanations {
    texts: Texts,
    bytes_max: usize,
}

impl Explanations {
    /// No explanations, of which memory will keep about so many bytes.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            texts: Texts::default(),
            bytes_max: bytes_max.min(EXPLANATION_BYTES_MAX),
        }
    }

    pub(super) fn add(&mut self, order: &Order, timelines: &Timelines<'_>, world: &World<'_>) {
        let explained = Explained {
            explanation: explain(order, timelines, world),
            decided: "run",
        };
        let texts = &mut self.texts;
        let written = serde_json::to_writer(&mut texts.bytes, &explained);
        texts.failed = texts.failed.take().or(written.err().map(io::Error::from));
        texts.bytes.push(b'\n');
        texts.end(order.order_id.clone(), self.bytes_max);
    }

    pub(super) fn into_texts(self) -> Texts {
        self.texts
    }
}

fn write_credit<W: Write>(
    csv: &mut csv::Writer<W>,
    order: &impl Decidable,
    decision: &Decision<'_>,
    world: &World<'_>,
) -> io::Result<()> {
    let linked = world.rules_for(order).settings.link;
    let order = order.plain();
    csv.write_field(order.order_id)?;
    csv.write_field(order.customer_id)?;
    match &decision.credit {
        Some(credit) => {
            let campaign = world.catalog.at(credit.message.campaign);
            csv.write_field(campaign.campaign_id.as_str())?;
            csv.write_field(credit.message.channel.name())?;
            csv.write_field(credit.message.message.unwrap_or_default())?;
            csv.write_field(credit.touch.kind.name())?;
            csv.write_field(credit.touch.at.to_string())?;
            csv.write_field(credit.message.sent_at.to_string())?;
        }
        None => {
            for _ in 0..6 {
                csv.write_field("")?;
            }
        }
    }
    let counted = decision.not_counted.is_none();
    let reason = reason(decision.not_counted, decision.credit.is_some(), linked);
    csv.write_field(decision.amount.in_currency(order.currency))?;
    csv.write_field(order.currency.code())?;
    csv.write_field(if counted { "true" } else { "false" })?;
    csv.write_field(reason.unwrap_or_default())?;
    csv.write_record(None::<&[u8]>)?;
    Ok(())
}

/// An explanation as `GET …/attribution` answers it. In a file run, the decision and the run are the same.
#[derive(Serialize)]
struct Explained {
    #[serde(flatten)]
    explanation: Explanation,
    decided: &'static str,
}
