//! Who earned an order, whether it counts, and for how much (rules 4.2 to 4.4).

use serde_json::{Value, json};

use super::facts::{Event, Facts, Order, Recipient, Rule, Settings, read_settings};
use super::print;

/// "Earlier, by at most 30 days": how far a campaign's send time may lie before a message's first event.
const SEND_TIME_REACH_MS: i64 = 30 * 24 * 3_600_000;

/// More candidates than this are counted and not listed.
const CANDIDATES_MAX: usize = 1_000;

pub(super) struct Decision<'a> {
    settings: &'a Settings,
    /// Best first, then those stopped at a gate, newest sent first.
    candidates: Vec<Candidate<'a>>,
    pub(super) counted: bool,
    /// Why it is not counted.
    pub(super) uncounted_reason: Option<&'static str>,
    pub(super) amount: i128,
    /// What of its refund is in the figures of the campaign credited.
    pub(super) refunded: i128,
}

impl Decision<'_> {
    pub(super) fn credit(&self) -> Option<&Candidate<'_>> {
        let first = self.candidates.first()?;
        (first.outcome == "credited").then_some(first)
    }

    /// Why it is not counted, else why nobody has it.
    pub(super) fn reason(&self) -> Option<&'static str> {
        match (self.uncounted_reason, self.credit()) {
            (Some(reason), _) => Some(reason),
            (None, None) if self.settings.link => Some("no_candidate"),
            (None, None) => Some("linking_off"),
            (None, Some(_)) => None,
        }
    }

    pub(super) fn credited_to(&self) -> Value {
        let shown = self.credit().map(|credit| {
            json!({
                "campaign_id": credit.campaign_id,
                "channel": credit.channel,
                "message_id": credit.message_id,
                "touch_kind": credit.touch.map(|(kind, _)| kind),
                "touch_at": credit.touch.map(|(_, at)| print::instant(at)),
                "sent_at": print::instant(credit.sent_at),
            })
        });
        json!(shown)
    }

    /// Those that passed every gate.
    pub(super) fn eligible(&self) -> Vec<&Candidate<'_>> {
        let passed = ["credited", "earlier_sent", "earlier_interaction"];
        let mut candidates: Vec<_> = self.candidates.iter().collect();
        candidates.retain(|candidate| passed.contains(&candidate.outcome));
        candidates
    }
}

pub(super) struct Candidate<'a> {
    pub(super) campaign_id: &'a str,
    pub(super) channel: &'a str,
    pub(super) message_id: Option<&'a str>,
    pub(super) sent_at: i64,
    /// Its kind and time, once it is chosen.
    pub(super) touch: Option<(&'a str, i64)>,
    outcome: &'static str,
    superseded_by: Option<&'a str>,
    by_address: bool,
}

/// What an order's customer or one of its addresses got: the events of one message that the decision may look at.
struct Message<'a> {
    campaign_id: &'a str,
    channel: &'a str,
    message_id: Option<&'a str>,
    events: Vec<&'a Event>,
    sent_at: i64,
}

impl Facts {
    /// See [`super::attribution`].
    pub fn attribution(&self, order_id: &str) -> Value {
        match self.orders.get(order_id) {
            Some(order) => self.explained(order, &self.decide(order)),
            None => Value::Null,
        }
    }

    /// The same by settings that are tried, which have no number.
    pub fn attribution_by(&self, order_id: &str, settings: &Value) -> Value {
        let tried = read_settings(&super::Version {
            number: 0,
            in_force_from: None,
            settings: settings.clone(),
        });
        let order = &self.orders[order_id];
        let mut explained = self.explained(order, &self.decide_by(order, &tried));
        explained["settings_version"] = Value::Null;
        explained
    }

    fn explained(&self, order: &Order, decision: &Decision<'_>) -> Value {
        json!({
            "order_id": order.order_id,
            "customer_id": order.customer_id,
            "placed_at": print::instant(order.placed_at),
            "status": order.status_name(),
            "amount": print::money(decision.amount, &order.currency),
            "currency": order.currency,
            "counted": decision.counted,
            "reason": decision.reason(),
            "credited_to": decision.credited_to(),
            "candidates": decision.candidates.iter().take(CANDIDATES_MAX).map(|candidate| json!({
                "campaign_id": candidate.campaign_id,
                "channel": candidate.channel,
                "message_id": candidate.message_id,
                "sent_at": print::instant(candidate.sent_at),
                "touch_kind": candidate.touch.map(|(kind, _)| kind),
                "touch_at": candidate.touch.map(|(_, at)| print::instant(at)),
                "outcome": candidate.outcome,
                "superseded_by": candidate.superseded_by,
                "by_address": candidate.by_address,
            })).collect::<Vec<_>>(),
            "candidates_total": decision.candidates.len(),
            "settings_version": decision.settings.number,
        })
    }

    pub(super) fn decide<'a>(&'a self, order: &'a Order) -> Decision<'a> {
        self.decide_by(order, self.settings_for(order))
    }

    pub(super) fn decide_by<'a>(
        &'a self,
        order: &'a Order,
        settings: &'a Settings,
    ) -> Decision<'a> {
        let candidates = if settings.link {
            self.candidates(order, settings)
        } else {
            Vec::new()
        };

        let is_refunded_status = order.status_name() == "REFUNDED";
        let refund = if is_refunded_status {
            order.total
        } else {
            order.refunded_total.min(order.total)
        };
        let refunded = is_refunded_status || (refund == order.total && refund > 0);
        let dropped = settings.refunds == "drop_order" && refunded;
        let other_currency = settings
            .currency
            .as_ref()
            .is_some_and(|set| *set != order.currency);

        let counts_status = |status: &String| status == order.status_name();
        let is_counted_status = settings.counted_statuses.iter().any(counts_status);
        let uncounted_reason = if !is_counted_status {
            Some("status")
        } else if other_currency {
            Some("currency")
        } else if dropped {
            Some("refunded")
        } else {
            None
        };
        let amount = match settings.refunds.as_str() {
            "drop_order" if dropped => 0,
            "drop_order" | "gross" => order.total,
            "net" => order.total - refund,
            other => panic!("unknown refunds {other}"),
        };
        Decision {
            settings,
            candidates,
            counted: uncounted_reason.is_none(),
            uncounted_reason,
            amount,
            refunded: match (other_currency, is_counted_status || is_refunded_status) {
                (false, true) => refund,
                _ => 0,
            },
        }
    }

    fn candidates<'a>(&'a self, order: &Order, settings: &'a Settings) -> Vec<Candidate<'a>> {
        let messages = self.messages(order);
        let mut passed = Vec::new();
        let mut stopped = Vec::new();
        for message in &messages {
            let candidate = self.gates(order, settings, &messages, message);
            if candidate.outcome == "passed" {
                passed.push(candidate);
            } else {
                stopped.push(candidate);
            }
        }

        passed.sort_by_key(|candidate| {
            let (kind, touch_at) = candidate.touch.unwrap();
            let times = match settings.winner.as_str() {
                "last_sent" => (candidate.sent_at, touch_at),
                "last_interaction" => (touch_at, candidate.sent_at),
                other => panic!("unknown winner {other}"),
            };
            let ids = (
                candidate.campaign_id,
                candidate.message_id,
                candidate.channel,
            );
            // Messages of two recipients can be equal in all of these: then the later kind of touch wins.
            (times, ids, place(kind))
        });
        passed.reverse();
        for (place, candidate) in passed.iter_mut().enumerate() {
            candidate.outcome = match (place, settings.winner.as_str()) {
                (0, _) => "credited",
                (_, "last_sent") => "earlier_sent",
                (_, _) => "earlier_interaction",
            };
        }

        stopped.sort_by_key(|candidate| {
            (
                candidate.sent_at,
                candidate.campaign_id,
                candidate.message_id,
                candidate.channel,
            )
        });
        stopped.reverse();
        passed.extend(stopped);
        passed
    }

    /// Each message to the order's customer or to its addresses, from its events in the look-back before `placed_at` and those after it.
    fn messages<'a>(&'a self, order: &Order) -> Vec<Message<'a>> {
        let mut messages: Vec<Message<'a>> = Vec::new();
        let recipients = order.recipients();
        for event in &self.events {
            if !recipients.contains(&event.recipient) {
                continue;
            }
            if !self.in_look_back(event.at, order.placed_at) {
                continue;
            }
            let known = messages
                .iter_mut()
                .find(|message| message.events[0].same_message(event));
            match known {
                Some(message) => message.events.push(event),
                None => messages.push(Message {
                    campaign_id: &event.campaign_id,
                    channel: &event.channel,
                    message_id: event.message_id.as_deref(),
                    events: vec![event],
                    sent_at: 0,
                }),
            }
        }
        for message in &mut messages {
            message.sent_at = self.sent_at(message);
        }
        // Where nothing else tells candidates apart, that of the customer comes first, then that of the e-mail address. All of them are
        // reversed in the end.
        messages.sort_by_key(|message| {
            let whom = &message.events[0].recipient;
            recipients.iter().position(|recipient| recipient == whom)
        });
        messages.reverse();
        messages
    }

    /// The first event's time, or the campaign's send time where that is earlier and nothing says `sent`.
    fn sent_at(&self, message: &Message<'_>) -> i64 {
        let first = message.events.iter().map(|event| event.at).min().unwrap();
        if message.events.iter().any(|event| event.kind == "sent") {
            return first;
        }
        match self.campaigns[message.campaign_id].send_time {
            Some(time) if time < first && first - time <= SEND_TIME_REACH_MS => time,
            _ => first,
        }
    }

    /// The gates in their order; the first that stops a message is its outcome, else `passed`.
    fn gates<'a>(
        &'a self,
        order: &Order,
        settings: &Settings,
        messages: &[Message<'a>],
        message: &Message<'a>,
    ) -> Candidate<'a> {
        let candidate = |outcome, touch, superseded_by| Candidate {
            campaign_id: message.campaign_id,
            channel: message.channel,
            message_id: message.message_id,
            sent_at: message.sent_at,
            touch,
            outcome,
            superseded_by,
            by_address: !matches!(message.events[0].recipient, Recipient::Customer(_)),
        };

        if settings.excludes(&self.campaigns[message.campaign_id]) {
            return candidate("tag_excluded", None, None);
        }

        let Some(rule) = settings.channels.get(message.channel) else {
            return candidate("channel_off", None, None);
        };

        let mut remain = message.events.clone();
        remain.retain(|event| rule.connect_on.contains(&event.kind));
        if remain.is_empty() {
            return candidate("no_connecting_event", None, None);
        }

        remain.retain(|event| event.at <= order.placed_at);
        if remain.is_empty() {
            return candidate("after_order", None, None);
        }

        if settings.ignores_machines {
            remain.retain(|event| !event.is_machine());
        }
        if remain.is_empty() {
            return candidate("machine_event", None, None);
        }

        remain.retain(|event| !event.is_too_old_app());
        if remain.is_empty() {
            return candidate("app_version_too_old", None, None);
        }

        let touch = latest(&remain);
        if is_outside_window(order, rule, touch.at, message.sent_at) {
            return candidate("outside_window", Some((&touch.kind, touch.at)), None);
        }

        let by = self.superseded_by(order, settings, messages, message);
        if by.is_some() {
            return candidate("superseded", Some((&touch.kind, touch.at)), by);
        }

        candidate("passed", Some((&touch.kind, touch.at)), None)
    }

    /// The campaign that was sent last after the message and not after the order, then the one of the greatest id.
    fn superseded_by<'a>(
        &'a self,
        order: &Order,
        settings: &Settings,
        messages: &[Message<'a>],
        message: &Message<'a>,
    ) -> Option<&'a str> {
        let mut sent: Vec<(i64, &'a str)> = Vec::new();
        match settings.supersede.as_str() {
            "none" => {}
            "customer" => {
                for other in messages {
                    sent.push((other.sent_at, other.campaign_id));
                }
            }
            "marketplace" => {
                for (id, campaign) in &self.campaigns {
                    if let Some(send_time) = campaign.send_time {
                        sent.push((send_time, id));
                    }
                }
            }
            other => panic!("unknown supersede {other}"),
        }
        sent.retain(|(_, id)| *id != message.campaign_id);
        sent.retain(|(_, id)| !settings.excludes(&self.campaigns[*id]));
        sent.retain(|(at, _)| message.sent_at < *at && *at <= order.placed_at);
        sent.into_iter().max().map(|(_, id)| id)
    }
}

/// At the same instant `clicked` before `opened` before `delivered` before `sent`.
fn latest<'a>(events: &[&'a Event]) -> &'a Event {
    let last = events
        .iter()
        .max_by_key(|event| (event.at, place(&event.kind)));
    last.unwrap()
}

fn place(kind: &str) -> u8 {
    match kind {
        "sent" => 0,
        "delivered" => 1,
        "opened" => 2,
        "clicked" => 3,
        other => panic!("{other} cannot be a touch"),
    }
}

/// Both ends of the window are inside.
fn is_outside_window(order: &Order, rule: &Rule, touch_at: i64, sent_at: i64) -> bool {
    let start = match rule.window_from.as_str() {
        "event" => touch_at,
        "sent" => sent_at,
        other => panic!("unknown window_from {other}"),
    };
    order.placed_at < start || order.placed_at > start + rule.window_ms
}
