//! What a run writes of its decisions: credits and explanations. The texts are exact, and lines end in LF.

use std::io::{self, Write};

use revtrail_core::attribution::explain::{Explanation, explain, reason};
use revtrail_core::figures::fold::World;
use serde::Serialize;

use super::decided::{Decided, DecidedOrder};

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

/// Writes which campaign earned each order, one row for each order.
pub(crate) fn write_credits(
    to: &mut dyn Write,
    decided: &Decided<'_>,
    world: &World<'_>,
) -> io::Result<()> {
    let mut csv = csv::Writer::from_writer(to);
    csv.write_record(CREDITS)?;
    for decided in &decided.orders {
        write_credit(&mut csv, decided, world)?;
    }
    csv.flush()
}

fn write_credit<W: Write>(
    csv: &mut csv::Writer<W>,
    decided: &DecidedOrder<'_>,
    world: &World<'_>,
) -> io::Result<()> {
    let DecidedOrder {
        order, decision, ..
    } = decided;
    csv.write_field(order.order_id.as_str())?;
    csv.write_field(order.customer_id.as_str())?;
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
    let linked = world.rules_for(order).settings.link;
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

/// Writes why each order was decided as it was, one JSON object on each line.
pub(crate) fn write_explanations(
    to: &mut dyn Write,
    decided: &Decided<'_>,
    world: &World<'_>,
) -> io::Result<()> {
    for order in &decided.orders {
        let explained = Explained {
            explanation: explain(order.order, decided.timeline(order), world),
            decided: "run",
        };
        serde_json::to_writer(&mut *to, &explained)?;
        to.write_all(b"\n")?;
    }
    Ok(())
}
