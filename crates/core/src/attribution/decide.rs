//! Who earned an order: the gates, the winner, whether the order counts, and its amount (rules 4.2 to 4.4). Only this module has
//! these rules. It is a pure function of facts. Module `explain` explains a decision, and module `fold` adds decisions up.

use serde::{Deserialize, Serialize};

use crate::attribution::campaign::{CampaignIx, Catalog};
use crate::attribution::event::{Channel, EventKind};
use crate::attribution::order::{Order, Status};
use crate::attribution::plain::PlainOrder;
use crate::attribution::settings::{
    ChannelRule, MachineEvents, Refunds, Settings, Supersede, WindowFrom, Winner,
};
use crate::attribution::timeline::{Timeline, Touchpoint};
use crate::value::money::Money;
use crate::value::time::{DAY_MS, Instant};

/// How far before the first event of a message its campaign's send time may lie to serve a message without a `sent` event,
/// in milliseconds.
pub const SEND_TIME_BEFORE_MS_MAX: i64 = 30 * DAY_MS;

/// Settings combined with the campaigns: which campaigns are excluded, and when each was sent.
#[derive(Debug, Clone)]
pub struct Rules<'a> {
    /// The settings in force.
    pub settings: &'a Settings,
    /// All campaigns of the marketplace.
    pub catalog: &'a Catalog,
    excluded: Vec<bool>,
    /// The send time of each campaign.
    send_times: Vec<Option<Instant>>,
    channels: [Option<&'a ChannelRule>; 3],
    /// For each channel, the kinds of event that connect, as bits. They are asked for every event of every order.
    connecting: [u8; 3],
    window_ms_max: i64,
    /// The send times of campaigns that can supersede others, oldest first.
    sends: Vec<(Instant, CampaignIx)>,
}

impl<'a> Rules<'a> {
    /// Combines settings with campaigns.
    pub fn new(settings: &'a Settings, catalog: &'a Catalog) -> Self {
        let excluded: Vec<bool> = catalog
            .iter()
            .map(|(_, campaign)| settings.excludes(&campaign.tags))
            .collect();
        let all = catalog.iter();
        let send_times: Vec<_> = all.map(|(_, campaign)| campaign.send_time()).collect();
        let mut sends: Vec<_> = catalog
            .iter()
            .filter(|(place, _)| !excluded[place.index()])
            .filter_map(|(place, _)| Some((send_times[place.index()]?, place)))
            .collect();
        sends.sort_unstable();
        let channels = Channel::ALL.map(|channel| settings.channels.get(&channel));
        let bits =
            |rule: &ChannelRule| rule.connect_on.iter().fold(0, |all, kind| all | bit(*kind));
        Self {
            settings,
            catalog,
            excluded,
            send_times,
            channels,
            connecting: channels.map(|rule| rule.map_or(0, bits)),
            window_ms_max: settings.longest_window_ms(),
            sends,
        }
    }

    /// True where the campaign carries an excluded tag.
    #[inline]
    pub fn excluded(&self, campaign: CampaignIx) -> bool {
        self.excluded[campaign.index()]
    }

    /// True for an event of a kind that connects a message on its channel to an order. A message without one earns nothing.
    #[inline]
    pub fn connects(&self, touchpoint: &Touchpoint<'_>) -> bool {
        self.connecting[touchpoint.channel as usize] & bit(touchpoint.kind) != 0
    }

    /// True where also a message that can earn nothing can decide an order: its campaign supersedes others.
    pub fn needs_all_messages(&self) -> bool {
        self.settings.supersede == Supersede::Customer
    }

    /// True where an event enters no figure: it comes from an ignored machine, or is a push open from an app below version 5.1.
    pub fn is_ignored(&self, touchpoint: &Touchpoint<'_>) -> bool {
        touchpoint.app_too_old || self.ignores(touchpoint)
    }

    fn ignores(&self, touchpoint: &Touchpoint<'_>) -> bool {
        touchpoint.machine && self.settings.machine_events == MachineEvents::Ignore
    }
}

/// The bit of a kind of event. There are eight kinds.
fn bit(kind: EventKind) -> u8 {
    1 << kind as u8
}

/// What became of a message as a candidate. The variants are in the order of the gates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "rule 4.2 has their table")]
pub enum CandidateOutcome {
    Credited,
    EarlierSent,
    EarlierInteraction,
    TagExcluded,
    ChannelOff,
    NoConnectingEvent,
    AfterOrder,
    MachineEvent,
    AppVersionTooOld,
    OutsideWindow,
    Superseded,
}

impl CandidateOutcome {
    /// All outcomes.
    pub const ALL: [Self; 11] = [
        Self::Credited,
        Self::EarlierSent,
        Self::EarlierInteraction,
        Self::TagExcluded,
        Self::ChannelOff,
        Self::NoConnectingEvent,
        Self::AfterOrder,
        Self::MachineEvent,
        Self::AppVersionTooOld,
        Self::OutsideWindow,
        Self::Superseded,
    ];
}

/// The event that connects a message to a sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Touch {
    /// When the event happened, in UTC.
    pub at: Instant,
    /// What kind of event it was.
    pub kind: EventKind,
}

/// A message to the customer or to an address of the order, before the gates judge it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// The campaign of the message, as its index in the catalog.
    pub campaign: CampaignIx,
    /// The channel of the message.
    pub channel: Channel,
    /// The id of the message, where its events state one.
    pub message: Option<&'a str>,
    /// Whom the message went to, as [`Touchpoint::recipient`] has it.
    pub recipient: u8,
    /// When the message was sent, in UTC (rule 4.2).
    pub sent_at: Instant,
}

/// A message that passed all gates, with its touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credit<'a> {
    /// The message that passed.
    pub message: Message<'a>,
    /// The event that connects the message to the order.
    pub touch: Touch,
}

impl Credit<'_> {
    /// The key by which candidates compare: the greatest wins (rule 4.3). Indexes of campaigns sort as ids do, and channels as
    /// their names do. Messages to two recipients can be equal in all of these; then the later kind of touch wins, and where the kinds
    /// are equal too, nothing that is shown says which of them won.
    pub(crate) fn rank(
        &self,
        winner: Winner,
    ) -> (
        Instant,
        Instant,
        CampaignIx,
        Option<&str>,
        Channel,
        EventKind,
    ) {
        let (sent, touched) = (self.message.sent_at, self.touch.at);
        let (first, second) = match winner {
            Winner::LastSent => (sent, touched),
            Winner::LastInteraction => (touched, sent),
        };
        (
            first,
            second,
            self.message.campaign,
            self.message.message,
            self.message.channel,
            self.touch.kind,
        )
    }
}

/// Why an order is not counted. Where several reasons apply, the first is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "rule 4.4 has them")]
pub enum NotCounted {
    Status,
    Currency,
    Refunded,
}

impl NotCounted {
    /// The name of the reason, as the interface spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Currency => "currency",
            Self::Refunded => "refunded",
        }
    }
}

/// Who earned an order, whether the order counts, and for how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision<'a> {
    /// The message that earned the order. It is decided also for orders that do not count.
    pub credit: Option<Credit<'a>>,
    /// Why the order does not count; `None` where it does.
    pub not_counted: Option<NotCounted>,
    /// What the order is worth under the refund setting.
    pub amount: Money,
    /// The part of the refund that is shown for its campaign.
    pub refunded: Money,
}

/// Decides an order. The settings in `rules` must be those of [`Versions::for_order`](super::settings::Versions::for_order). Runs over files have no `look_back_ms`.
pub fn decide<'a>(
    order: &PlainOrder<'_>,
    timeline: &Timeline<'a>,
    rules: &Rules<'_>,
    look_back_ms: Option<i64>,
) -> Decision<'a> {
    let credit = if rules.settings.link {
        let senders = Senders::find(order.placed_at, timeline, rules, look_back_ms);
        let passed = passed(order.placed_at, timeline, rules, &senders, look_back_ms);
        best(passed, rules.settings.winner)
    } else {
        None
    };
    decision(order, rules.settings, credit)
}

/// Decides an order as [`decide`] does, and gives all messages that passed the gates with it, in the order of the timeline. There are
/// none where linking is off. The models share the order out among them.
pub fn decide_among<'a>(
    order: &PlainOrder<'_>,
    timeline: &Timeline<'a>,
    rules: &Rules<'_>,
    look_back_ms: Option<i64>,
) -> (Decision<'a>, Vec<Credit<'a>>) {
    let mut eligible = Vec::new();
    if rules.settings.link {
        let senders = Senders::find(order.placed_at, timeline, rules, look_back_ms);
        let passed = passed(order.placed_at, timeline, rules, &senders, look_back_ms);
        eligible.extend(passed);
    }
    let credit = best(eligible.iter().copied(), rules.settings.winner);
    (decision(order, rules.settings, credit), eligible)
}

/// The winner among the messages that passed the gates (rule 4.3). Of equal ones the last wins.
fn best<'a>(passed: impl Iterator<Item = Credit<'a>>, winner: Winner) -> Option<Credit<'a>> {
    // A credit is long, so it is moved only where it is the best so far.
    let mut best: Option<Credit<'a>> = None;
    passed.for_each(|credit| {
        if best.is_none_or(|known| known.rank(winner) <= credit.rank(winner)) {
            best = Some(credit);
        }
    });
    best
}

fn decision<'a>(
    order: &PlainOrder<'_>,
    settings: &Settings,
    credit: Option<Credit<'a>>,
) -> Decision<'a> {
    let (not_counted, amount) = count(order, settings);
    Decision {
        credit,
        not_counted,
        amount,
        refunded: refunded(order, settings),
    }
}

fn passed<'m, 'a>(
    placed_at: Instant,
    timeline: &'m Timeline<'a>,
    rules: &'m Rules<'_>,
    senders: &'m Senders,
    look_back_ms: Option<i64>,
) -> impl Iterator<Item = Credit<'a>> + 'm {
    // A touch lies at or before the order, and at most a window before it: a window starts at the touch, or earlier.
    let since = placed_at.minus_ms(rules.window_ms_max);
    timeline
        .messages_within(since, placed_at)
        .filter_map(move |touchpoints| seen(touchpoints, placed_at, look_back_ms))
        .filter_map(move |touchpoints| judge(touchpoints, placed_at, rules, senders).ok())
}

/// One message as a candidate: the message, its touch where one was chosen, and what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// The message that was judged.
    pub message: Message<'a>,
    /// The touch; `None` where a gate before the choice of the touch stopped the message.
    pub touch: Option<Touch>,
    /// What became of the message: the gate that stopped it, or how it compared with the other candidates.
    pub outcome: CandidateOutcome,
    /// The later campaign that ended the run of this message's campaign, and when it was sent, if one did.
    pub superseded_by: Option<(Instant, CampaignIx)>,
}

/// All candidates of an order: first those that passed, the best first, then those that a gate stopped, the newest sent first. Of equal
/// ones, the message to the customer comes first, then the one to the order's e-mail address. There are none where linking is off.
pub fn candidates<'a>(
    order: &Order,
    timeline: &Timeline<'a>,
    rules: &Rules<'_>,
    look_back_ms: Option<i64>,
) -> Vec<Candidate<'a>> {
    if !rules.settings.link {
        return Vec::new();
    }
    let (mut passed, mut stopped) = (Vec::new(), Vec::new());
    let senders = Senders::find(order.placed_at, timeline, rules, look_back_ms);
    for touchpoints in timeline
        .messages()
        .filter_map(|touchpoints| seen(touchpoints, order.placed_at, look_back_ms))
    {
        match judge(touchpoints, order.placed_at, rules, &senders) {
            Ok(credit) => passed.push(credit),
            Err(stop) => stopped.push(Candidate {
                message: message(touchpoints, rules),
                touch: stop.touch,
                outcome: stop.outcome,
                superseded_by: stop.by,
            }),
        }
    }
    passed.sort_by(|a, b| {
        b.rank(rules.settings.winner)
            .cmp(&a.rank(rules.settings.winner))
    });
    let order_of = |c: &Candidate<'a>| {
        (
            c.message.sent_at,
            c.message.campaign,
            c.message.message,
            c.message.channel,
        )
    };
    stopped.sort_by(|a, b| order_of(b).cmp(&order_of(a)));
    let lost = match rules.settings.winner {
        Winner::LastSent => CandidateOutcome::EarlierSent,
        Winner::LastInteraction => CandidateOutcome::EarlierInteraction,
    };
    let best_first = passed.into_iter().enumerate().map(|(i, credit)| Candidate {
        message: credit.message,
        touch: Some(credit.touch),
        outcome: if i == 0 {
            CandidateOutcome::Credited
        } else {
            lost
        },
        superseded_by: None,
    });
    best_first.chain(stopped).collect()
}

/// The touchpoints of a message in the look-back before `placed_at`, and those after it; `None` where the look-back has none.
fn seen<'m, 'a>(
    touchpoints: &'m [Touchpoint<'a>],
    placed_at: Instant,
    look_back_ms: Option<i64>,
) -> Option<&'m [Touchpoint<'a>]> {
    let first = match look_back_ms {
        None => 0,
        Some(ms) => {
            touchpoints.partition_point(|touchpoint| touchpoint.at < placed_at.minus_ms(ms))
        }
    };
    (first < touchpoints.len()).then(|| &touchpoints[first..])
}

/// The message of some touchpoints. It was sent at its first event of any kind. Where no event says `sent`, it was sent at the
/// send time of its campaign, if that is earlier by at most 30 days.
fn message<'a>(touchpoints: &[Touchpoint<'a>], rules: &Rules<'_>) -> Message<'a> {
    let first = touchpoints[0];
    let told = touchpoints
        .iter()
        .any(|touchpoint| touchpoint.kind == EventKind::Sent);
    let campaign = if told {
        None
    } else {
        rules.send_times[first.campaign.index()]
    };
    let sent_at = match campaign {
        Some(at) if at < first.at && first.at <= at.plus_ms(SEND_TIME_BEFORE_MS_MAX) => at,
        _ => first.at,
    };
    Message {
        campaign: first.campaign,
        channel: first.channel,
        message: first.message,
        recipient: first.recipient,
        sent_at,
    }
}

/// Where a message was stopped: the outcome of the gate, the touch if it was chosen by then, and the campaign that superseded it.
struct Stop {
    outcome: CandidateOutcome,
    touch: Option<Touch>,
    by: Option<(Instant, CampaignIx)>,
}

/// Runs the gates in the order of rule 4.2. The first gate that stops a message gives its outcome.
fn judge<'a>(
    touchpoints: &[Touchpoint<'a>],
    placed_at: Instant,
    rules: &Rules<'_>,
    senders: &Senders,
) -> Result<Credit<'a>, Stop> {
    let stop = |outcome| Stop {
        outcome,
        touch: None,
        by: None,
    };
    let first = &touchpoints[0];
    if rules.excluded(first.campaign) {
        return Err(stop(CandidateOutcome::TagExcluded));
    }
    let rule =
        rules.channels[first.channel as usize].ok_or_else(|| stop(CandidateOutcome::ChannelOff))?;
    let connecting = || {
        touchpoints
            .iter()
            .filter(|touchpoint| rules.connects(touchpoint))
    };
    let in_time = || connecting().filter(|touchpoint| touchpoint.at <= placed_at);
    let by_people = || in_time().filter(|touchpoint| !rules.ignores(touchpoint));
    let Some(touch) = by_people().rfind(|touchpoint| !touchpoint.app_too_old) else {
        return Err(stop(if connecting().next().is_none() {
            CandidateOutcome::NoConnectingEvent
        } else if in_time().next().is_none() {
            CandidateOutcome::AfterOrder
        } else if by_people().next().is_none() {
            CandidateOutcome::MachineEvent
        } else {
            CandidateOutcome::AppVersionTooOld
        }));
    };
    let touch = Touch {
        at: touch.at,
        kind: touch.kind,
    };
    let message = message(touchpoints, rules);
    let (_, end) = window(rule, message.sent_at, touch.at);
    if placed_at > end {
        return Err(Stop {
            touch: Some(touch),
            ..stop(CandidateOutcome::OutsideWindow)
        });
    }
    match senders.after(message.sent_at, first.campaign) {
        by @ Some(_) => Err(Stop {
            outcome: CandidateOutcome::Superseded,
            touch: Some(touch),
            by,
        }),
        None => Ok(Credit { message, touch }),
    }
}

/// The first and the last instant at which an order is in the window of a message.
fn window(rule: &ChannelRule, sent_at: Instant, touched_at: Instant) -> (Instant, Instant) {
    let start = match rule.window_from {
        WindowFrom::Sent => sent_at,
        WindowFrom::Event => touched_at,
    };
    (start, start.plus_ms(rule.window.ms()))
}

impl Candidate<'_> {
    /// The first and the last instant of the window of this message; `None` where no touch was chosen.
    pub fn window(&self, rules: &Rules<'_>) -> Option<(Instant, Instant)> {
        let rule = rules.channels[self.message.channel as usize]?;
        Some(window(rule, self.message.sent_at, self.touch?.at))
    }
}

/// The two campaigns that can supersede and were sent last, at or before an order. Two are enough, since a campaign never
/// supersedes itself.
struct Senders([Option<(Instant, CampaignIx)>; 2]);

impl Senders {
    fn find(
        placed_at: Instant,
        timeline: &Timeline<'_>,
        rules: &Rules<'_>,
        look_back_ms: Option<i64>,
    ) -> Self {
        match rules.settings.supersede {
            Supersede::None => Self([None, None]),
            Supersede::Marketplace => {
                let until = rules.sends.partition_point(|(at, _)| *at <= placed_at);
                let mut latest = rules.sends[..until].iter().rev().copied();
                Self([latest.next(), latest.next()])
            }
            Supersede::Customer => {
                let mut senders = Self([None, None]);
                if look_back_ms.is_none() {
                    let sent = |touchpoints| message(touchpoints, rules);
                    let sends = timeline.sends(|| {
                        let messages = timeline.messages().map(sent);
                        messages.map(|one| (one.sent_at, one.campaign)).collect()
                    });
                    let until = sends.partition_point(|(at, _)| *at <= placed_at);
                    let included = |(_, campaign): &&(_, _)| !rules.excluded(*campaign);
                    for sender in sends[..until].iter().rev().filter(included) {
                        senders.take(*sender);
                        if senders.0[1].is_some() {
                            break;
                        }
                    }
                    return senders;
                }
                let messages = timeline
                    .messages()
                    .filter_map(|touchpoints| seen(touchpoints, placed_at, look_back_ms));
                for touchpoints in
                    messages.filter(|touchpoints| !rules.excluded(touchpoints[0].campaign))
                {
                    let sent_at = message(touchpoints, rules).sent_at;
                    if sent_at <= placed_at {
                        senders.take((sent_at, touchpoints[0].campaign));
                    }
                }
                senders
            }
        }
    }

    /// Adds a send. The two latest different campaigns are kept, each with its latest send.
    fn take(&mut self, sender: (Instant, CampaignIx)) {
        let [first, second] = &mut self.0;
        match *first {
            Some(known) if known.1 == sender.1 => *first = Some(known.max(sender)),
            Some(known) if known < sender => {
                *second = Some(known);
                *first = Some(sender);
            }
            Some(_) => *second = (*second).max(Some(sender)),
            None => *first = Some(sender),
        }
    }

    /// The latest campaign other than `own` that was sent after an instant, and when it was.
    fn after(&self, sent_at: Instant, own: CampaignIx) -> Option<(Instant, CampaignIx)> {
        let mut others = self.0.into_iter().flatten();
        let latest = others.find(|(_, campaign)| *campaign != own)?;
        (latest.0 > sent_at).then_some(latest)
    }
}

/// Whether an order counts, and its amount (rule 4.4).
pub fn count(order: &PlainOrder<'_>, settings: &Settings) -> (Option<NotCounted>, Money) {
    let refund = order.refund();
    let wholly_refunded =
        order.status == Status::Refunded || (refund == order.total && !order.total.is_zero());
    let dropped = settings.refunds == Refunds::DropOrder && wholly_refunded;
    let not_counted = if !settings.counted_statuses.contains(&order.status) {
        Some(NotCounted::Status)
    } else if settings
        .currency
        .is_some_and(|currency| currency != order.currency)
    {
        Some(NotCounted::Currency)
    } else {
        dropped.then_some(NotCounted::Refunded)
    };
    let amount = match settings.refunds {
        Refunds::DropOrder if dropped => Money::ZERO,
        Refunds::DropOrder | Refunds::Gross => order.total,
        Refunds::Net => order.total - refund,
    };
    (not_counted, amount)
}

/// The part of an order's refund that is shown for its campaign (rule 5). It is the whole refund where the order counts, or would
/// count if it were not refunded; otherwise it is zero.
fn refunded(order: &PlainOrder<'_>, settings: &Settings) -> Money {
    let status = settings.counted_statuses.contains(&order.status);
    let fits = settings
        .currency
        .is_none_or(|currency| currency == order.currency);
    if fits && (status || order.status == Status::Refunded) {
        order.refund()
    } else {
        Money::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribution::campaign::Campaign;
    use crate::attribution::plain::Decidable;
    use crate::record::Record;
    use crate::value::id::CampaignId;
    use crate::value::time::HOUR_MS;
    use serde_json::json;

    /// The next of some numbers that look random.
    fn next(state: &mut u64, below: u64) -> u64 {
        *state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (*state >> 33) % below
    }

    /// A long timeline is searched, and a look-back of a century is a walk along all of it. Both find the same.
    #[test]
    fn a_search_finds_what_a_walk_finds() {
        let campaigns =
            ["a", "b", "c", "d"].map(|id| Campaign::named_by_id(CampaignId::new(id).unwrap()));
        let catalog = Catalog::new(campaigns.into());
        let ids: Vec<String> = (0..120).map(|id| id.to_string()).collect();
        let mut state = 7;
        let mut touchpoints = Vec::new();
        for id in &ids {
            let (campaign, channel) = (next(&mut state, 4), next(&mut state, 3));
            let at = Instant::from_ms(HOUR_MS * next(&mut state, 24 * 60) as i64);
            for _ in 0..next(&mut state, 4) {
                touchpoints.push(Touchpoint {
                    campaign: catalog.iter().nth(campaign as usize).unwrap().0,
                    channel: Channel::ALL[channel as usize],
                    message: Some(id),
                    recipient: 0,
                    at: at.plus_ms(HOUR_MS * next(&mut state, 240) as i64),
                    kind: EventKind::ALL[next(&mut state, 8) as usize],
                    machine: next(&mut state, 9) == 0,
                    app_too_old: false,
                });
            }
        }
        let timeline = Timeline::new(touchpoints);
        let order = r#"{"order_id":"o","customer_id":"c","status":"READY","total":1,"currency":"EUR","placed_at":"1970-01-01T00:00:00Z"}"#;
        let order = Order::read(&Record::from_json(order).unwrap(), None).unwrap();
        let mut credited = 0;
        for (i, from) in ["sent", "event"].into_iter().enumerate() {
            for supersede in ["none", "customer", "marketplace"] {
                let channel = json!({"connect_on": ["opened", "clicked"], "window": "5d", "window_from": from});
                let winner = ["last_sent", "last_interaction"][i];
                let settings = json!({"channels": {"email": channel, "sms": channel}, "winner": winner, "supersede": supersede});
                let settings = Settings::read(&settings, 30 * DAY_MS).unwrap();
                let rules = Rules::new(&settings, &catalog);
                for hour in 0..24 * 75 {
                    let order = Order {
                        placed_at: Instant::from_ms(HOUR_MS * hour),
                        ..order.clone()
                    };
                    let found = decide(&order.plain(), &timeline, &rules, None).credit;
                    let all = candidates(&order, &timeline, &rules, Some(36_500 * DAY_MS));
                    let best = all
                        .first()
                        .filter(|one| one.outcome == CandidateOutcome::Credited);
                    let best = best.map(|one| (one.message, one.touch));
                    let found = found.map(|one| (one.message, Some(one.touch)));
                    assert_eq!(found, best, "{supersede} {from} {}", order.placed_at);
                    credited += usize::from(found.is_some());
                }
            }
        }
        assert!(credited > 1_000, "{credited}");
    }
}
