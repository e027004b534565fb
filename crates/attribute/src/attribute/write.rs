//! What a run writes of its decisions: credits and explanations. The texts are exact, and lines end in LF.

use std::io::{self, Write};

use revtrail_core::attribution::decide::Decision;
use revtrail_core::attribution::explain::{Explanation, explain, reason};
use revtrail_core::attribution::order::Order;
use revtrail_core::attribution::plain::Decidable;
use revtrail_core::attribution::timeline::Timelines;
use revtrail_core::figures::fold::World;
use revtrail_core::value::id::OrderId;
use serde::Serialize;

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

/// Texts of orders, which are written in the order of the bytes of their ids.
#[derive(Debug)]
pub(super) struct Texts {
    bytes: Vec<u8>,
    /// The orders, each with the end of its text.
    ends: Vec<(OrderId, usize)>,
    failed: Option<io::Error>,
}

impl Texts {
    /// Writes the texts of all parts.
    pub(super) fn write(to: &mut dyn Write, parts: Vec<Self>) -> io::Result<()> {
        let mut texts: Vec<(&OrderId, &[u8])> = Vec::new();
        for part in &parts {
            let mut start = 0;
            for (id, end) in &part.ends {
                texts.push((id, &part.bytes[start..*end]));
                start = *end;
            }
        }
        texts.sort_unstable();
        for (_, text) in texts {
            to.write_all(text)?;
        }
        parts
            .into_iter()
            .find_map(|part| part.failed)
            .map_or(Ok(()), Err)
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
    ends: Vec<(OrderId, usize)>,
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
            Ok(id) => self.ends.push((id, self.csv.get_ref().len())),
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
        }
    }
}

/// Why each order was decided as it was, one JSON object on each line.
#[derive(Debug, Default)]
pub(super) struct Explanations {
    bytes: Vec<u8>,
    ends: Vec<(OrderId, usize)>,
    failed: Option<io::Error>,
}

impl Explanations {
    pub(super) fn add(&mut self, order: &Order, timelines: &Timelines<'_>, world: &World<'_>) {
        let explained = Explained {
            explanation: explain(order, timelines, world),
            decided: "run",
        };
        let written = serde_json::to_writer(&mut self.bytes, &explained);
        self.failed = self.failed.take().or(written.err().map(io::Error::from));
        self.bytes.push(b'\n');
        self.ends.push((order.order_id.clone(), self.bytes.len()));
    }

    pub(super) fn into_texts(self) -> Texts {
        let Self {
            bytes,
            ends,
            failed,
        } = self;
        Texts {
            bytes,
            ends,
            failed,
        }
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
