//! Reports, made from daily aggregates: the campaign table, orders by status, reconciliation (rule 5).

use std::collections::BTreeMap;

use serde::Serialize;

use crate::attribution::campaign::Campaign;
use crate::attribution::decide::NotCounted;
use crate::attribution::event::Channel;
use crate::attribution::formula::sale_formula;
use crate::attribution::order::Status;
use crate::attribution::settings::Settings;
use crate::figures::daily::{
    Aggregate, Counter, Earned, Figures, IntakeCounts, Tallies, amounts_of, orders_of,
};
use crate::figures::sort::{SortValue, Sorting};
use crate::value::id::CampaignId;
use crate::value::money::{Currency, Money, Sums, rate};
use crate::value::time::{Day, Instant};

/// The figures of a row or of the totals that engagement gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Engagement {
    /// Messages delivered, all channels.
    pub deliveries: i64,
    /// Opens.
    pub opens: i64,
    /// Messages opened.
    pub unique_opens: i64,
    /// Messages opened / delivered, over e-mail and push; `None` where more were opened than delivered, for then the sender
    /// does not report deliveries.
    pub open_rate: Option<String>,
    /// E-mails bounced.
    pub bounces: i64,
    /// E-mails bounced / with any event.
    pub bounce_rate: Option<String>,
    /// Clicks.
    pub clicks: i64,
    /// Messages clicked.
    pub unique_clicks: i64,
}

/// The figures of a row or of the totals that credits give; left out where revenue is hidden.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sales {
    /// Counted orders credited.
    pub purchases: i64,
    /// Buyers.
    pub purchasers: i64,
    /// What the purchases brought in.
    pub revenue: Sums,
    /// Refunds of the credited orders that count, or would but for their refund.
    pub refunded: Sums,
    /// Revenue / purchases, per currency.
    pub average_check: BTreeMap<Currency, String>,
    /// Purchases / unique opens.
    pub purchase_to_open_rate: Option<String>,
    /// Purchases / unique clicks.
    pub purchase_to_click_rate: Option<String>,
}

/// The figures of one campaign, day or total, by channel.
#[derive(Debug, Clone, Default)]
struct ByChannel([Figures; 3]);

impl ByChannel {
    fn add(&mut self, channel: Channel, figures: &Figures) {
        self.0[channel as usize].add(figures);
    }

    fn sum(&self, counter: Counter) -> i64 {
        self.0.iter().map(|figures| figures.counter(counter)).sum()
    }

    fn engagement(&self) -> Engagement {
        let rated = |counter| {
            self.0[Channel::Email as usize].counter(counter)
                + self.0[Channel::Push as usize].counter(counter)
        };
        let (opened, delivered) = (rated(Counter::UniqueOpens), rated(Counter::Deliveries));
        let open_rate = (opened <= delivered).then(|| rate(opened, delivered));
        Engagement {
            deliveries: self.sum(Counter::Deliveries),
            opens: self.sum(Counter::Opens),
            unique_opens: self.sum(Counter::UniqueOpens),
            open_rate: open_rate.flatten(),
            bounces: self.sum(Counter::Bounces),
            bounce_rate: rate(self.sum(Counter::Bounces), self.sum(Counter::Emails)),
            clicks: self.sum(Counter::Clicks),
            unique_clicks: self.sum(Counter::UniqueClicks),
        }
    }

    fn earned(&self) -> BTreeMap<Currency, Earned> {
        let mut earned: BTreeMap<Currency, Earned> = BTreeMap::new();
        for (&currency, part) in self.0.iter().flat_map(|figures| &figures.earned) {
            let sum = earned.entry(currency).or_default();
            sum.purchases += part.purchases;
            sum.revenue += part.revenue;
            sum.refunded += part.refunded;
        }
        earned
    }

    fn sales(&self) -> Sales {
        let earned = self.earned();
        let purchases = earned.values().map(|earned| earned.purchases).sum();
        let average = |(&currency, earned): (&Currency, &Earned)| {
            let average = earned
                .revenue
                .average(earned.purchases, currency)
                .filter(|_| !earned.revenue.is_zero())?;
            Some((currency, average.in_currency(currency)))
        };
        Sales {
            purchases,
            purchasers: self.0.iter().map(|figures| figures.purchasers).sum(),
            revenue: earned
                .iter()
                .map(|(&currency, earned)| (currency, earned.revenue))
                .collect(),
            refunded: earned
                .iter()
                .map(|(&currency, earned)| (currency, earned.refunded))
                .collect(),
            average_check: earned.iter().filter_map(average).collect(),
            purchase_to_open_rate: rate(purchases, self.sum(Counter::UniqueOpens)),
            purchase_to_click_rate: rate(purchases, self.sum(Counter::UniqueClicks)),
        }
    }
}

/// One campaign in a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CampaignRow {
    /// Which.
    pub campaign_id: CampaignId,
    /// As of now.
    pub name: String,
    /// As of now.
    pub tags: Vec<String>,
    /// The channels of its events, as of now.
    pub channels: Vec<Channel>,
    /// Its send time, as of now.
    pub sent_at: Option<Instant>,
    /// Carries an excluded tag, as of now.
    pub excluded: bool,
    /// From events.
    #[serde(flatten)]
    pub engagement: Engagement,
    /// From credits; `None` where revenue is hidden.
    #[serde(flatten)]
    pub sales: Option<Sales>,
    /// What a sale is, in words; `None` where revenue is hidden.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sale_formula: Option<String>,
}

/// One day of one campaign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DayRow {
    /// Which day.
    pub date: Day,
    /// From events.
    #[serde(flatten)]
    pub engagement: Engagement,
    /// From credits; `None` where revenue is hidden.
    #[serde(flatten)]
    pub sales: Option<Sales>,
}

/// The sums over all rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Campaigns with a row.
    pub campaigns: usize,
    /// From events.
    #[serde(flatten)]
    pub engagement: Engagement,
    /// From credits; `None` where revenue is hidden.
    #[serde(flatten)]
    pub sales: Option<Sales>,
}

/// So many orders, worth so much.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PurchaseFigures {
    /// How many.
    pub purchases: i64,
    /// How much.
    pub revenue: Sums,
}

impl PurchaseFigures {
    fn of(tallies: &Tallies) -> Self {
        Self {
            purchases: orders_of(tallies),
            revenue: amounts_of(tallies),
        }
    }
}

/// counted = credited + uncredited, in count and money, per currency. Never filtered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Balance {
    /// All counted orders.
    pub counted: PurchaseFigures,
    /// Those somebody earned.
    pub credited: PurchaseFigures,
    /// Those nobody earned.
    pub uncredited: PurchaseFigures,
}

/// The campaign report, all rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CampaignReport {
    /// Over all rows.
    pub totals: Totals,
    /// In order of the ids' bytes until sorted otherwise.
    pub campaigns: Vec<CampaignRow>,
    /// `None` where revenue is hidden.
    #[serde(flatten)]
    pub balance: Option<Balance>,
    /// Whose money rows are sorted by: the settings' currency, else the one with the most purchases in the totals, ties by code.
    /// `None` where there is no money, or it is hidden.
    #[serde(skip)]
    pub sort_currency: Option<Currency>,
}

/// The figures do not add up: the report must not be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sums do not add up: counted orders are not credited plus uncredited ones")]
pub struct DoesNotAddUp;

/// Which rows a campaign report shows.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only the part of one channel.
    pub channel: Option<Channel>,
    /// Only campaigns that carry this tag.
    pub tag: Option<String>,
    /// Only campaigns whose name holds this, in any case.
    pub name: Option<String>,
}

impl Filter {
    fn takes(&self, campaign: &Campaign) -> bool {
        let tag = self
            .tag
            .as_ref()
            .is_none_or(|tag| campaign.tags.contains(tag));
        let name = self
            .name
            .as_ref()
            .is_none_or(|name| campaign.name.to_lowercase().contains(&name.to_lowercase()));
        tag && name
    }

    fn takes_channel(&self, channel: Channel) -> bool {
        self.channel.is_none_or(|only| only == channel)
    }
}

/// Makes the campaign report from the sums of a period. `campaign` finds a campaign as it stands now; one that it does not
/// find is shown by its id.
///
/// # Errors
/// [`DoesNotAddUp`] where counted orders are not credited plus uncredited ones.
pub fn campaign_report<'c, C: Ord + Clone>(
    sums: &Aggregate<C>,
    campaign: impl Fn(&C) -> std::borrow::Cow<'c, Campaign>,
    newest: &Settings,
    filter: &Filter,
) -> Result<CampaignReport, DoesNotAddUp> {
    if !sums.adds_up() {
        return Err(DoesNotAddUp);
    }
    let mut rows: BTreeMap<&C, ByChannel> = BTreeMap::new();
    for ((id, channel), figures) in &sums.rows {
        if filter.takes_channel(*channel)
            && (figures.counter(Counter::Events) > 0 || figures.orders > 0)
        {
            rows.entry(id).or_default().add(*channel, figures);
        }
    }
    let mut total = ByChannel::default();
    let mut campaigns = Vec::new();
    for (id, figures) in rows {
        let campaign = campaign(id);
        if filter.takes(&campaign) {
            for channel in Channel::ALL {
                total.add(channel, &figures.0[channel as usize]);
            }
            campaigns.push(campaign_row(&campaign, &figures, newest, filter));
        }
    }
    let totals = Totals {
        campaigns: campaigns.len(),
        engagement: total.engagement(),
        sales: newest.enabled.then(|| total.sales()),
    };
    let balance = newest.enabled.then(|| Balance {
        counted: PurchaseFigures::of(&sums.counted),
        credited: PurchaseFigures::of(&sums.credited()),
        uncredited: PurchaseFigures::of(&sums.uncredited),
    });
    let most_bought = || {
        let earned = total.earned().into_iter();
        let any = earned.filter(|(_, sum)| {
            sum.purchases != 0 || !sum.revenue.is_zero() || !sum.refunded.is_zero()
        });
        // Of equals `max_by_key` takes the last.
        any.rev()
            .max_by_key(|(_, sum)| sum.purchases)
            .map(|(currency, _)| currency)
    };
    let sort_currency = newest.currency.or_else(most_bought);
    Ok(CampaignReport {
        totals,
        campaigns,
        balance,
        sort_currency: sort_currency.filter(|_| newest.enabled),
    })
}

fn campaign_row(
    campaign: &Campaign,
    figures: &ByChannel,
    newest: &Settings,
    filter: &Filter,
) -> CampaignRow {
    let formula = || {
        sale_formula(
            newest,
            campaign
                .channels
                .iter()
                .copied()
                .filter(|&channel| filter.takes_channel(channel)),
        )
    };
    CampaignRow {
        campaign_id: campaign.campaign_id.clone(),
        name: campaign.name.clone(),
        tags: campaign.tags.clone(),
        channels: campaign.channels.iter().copied().collect(),
        sent_at: campaign.send_time(),
        excluded: newest.excludes(&campaign.tags),
        engagement: figures.engagement(),
        sales: newest.enabled.then(|| figures.sales()),
        sale_formula: newest.enabled.then(formula),
    }
}

/// One campaign's row and its days. A campaign without anything in the period has a row of zeros and no days.
pub fn one_campaign(
    days: &BTreeMap<Day, Aggregate<CampaignId>>,
    campaign: &Campaign,
    newest: &Settings,
    filter: &Filter,
) -> (CampaignRow, Vec<DayRow>) {
    let mut total = ByChannel::default();
    let mut rows = Vec::new();
    for (&date, aggregate) in days {
        let mut figures = ByChannel::default();
        let mut any = false;
        for channel in Channel::ALL
            .into_iter()
            .filter(|&channel| filter.takes_channel(channel))
        {
            if let Some(part) = aggregate.rows.get(&(campaign.campaign_id.clone(), channel)) {
                figures.add(channel, part);
                total.add(channel, part);
                any = true;
            }
        }
        if any {
            rows.push(DayRow {
                date,
                engagement: figures.engagement(),
                sales: newest.enabled.then(|| figures.sales()),
            });
        }
    }
    (campaign_row(campaign, &total, newest, filter), rows)
}

impl CampaignRow {
    /// The columns that rows can be sorted by.
    pub const COLUMNS: [&str; 22] = [
        "campaign_id",
        "name",
        "tags",
        "channels",
        "sent_at",
        "excluded",
        "deliveries",
        "opens",
        "unique_opens",
        "open_rate",
        "bounces",
        "bounce_rate",
        "clicks",
        "unique_clicks",
        "purchases",
        "purchasers",
        "revenue",
        "refunded",
        "average_check",
        "purchase_to_open_rate",
        "purchase_to_click_rate",
        "sale_formula",
    ];

    /// What the row is sorted by; `None` where it has no such value, or no money in that currency.
    pub fn sort_value(&self, by: &Sorting) -> Option<SortValue> {
        let text = |text: &str| Some(SortValue::Text(text.to_owned()));
        let count = |count: i64| Some(SortValue::Number(count.into()));
        let decimal = |text: &str| Money::parse(text).ok().map(SortValue::Number);
        let share = |rate: &Option<String>| rate.as_deref().and_then(decimal);
        let money = |sums: &Sums| {
            let of = by.currency?;
            let amount = sums.iter().find(|(currency, _)| *currency == of)?.1;
            Some(SortValue::Number(amount))
        };
        let (seen, sales) = (&self.engagement, self.sales.as_ref());
        match by.column {
            "campaign_id" => text(self.campaign_id.as_str()),
            "name" => text(&self.name),
            "tags" if self.tags.is_empty() => None,
            "tags" => text(&self.tags.join("|")),
            "channels" => {
                let names: Vec<&str> = self.channels.iter().map(|one| one.name()).collect();
                text(&names.join("|"))
            }
            "sent_at" => self.sent_at.and_then(|at| text(&at.to_string())),
            "excluded" => count(self.excluded.into()),
            "deliveries" => count(seen.deliveries),
            "opens" => count(seen.opens),
            "unique_opens" => count(seen.unique_opens),
            "open_rate" => share(&seen.open_rate),
            "bounces" => count(seen.bounces),
            "bounce_rate" => share(&seen.bounce_rate),
            "clicks" => count(seen.clicks),
            "unique_clicks" => count(seen.unique_clicks),
            "purchases" => count(sales?.purchases),
            "purchasers" => count(sales?.purchasers),
            "revenue" => money(&sales?.revenue),
            "refunded" => money(&sales?.refunded),
            "average_check" => decimal(sales?.average_check.get(&by.currency?)?),
            "purchase_to_open_rate" => share(&sales?.purchase_to_open_rate),
            "purchase_to_click_rate" => share(&sales?.purchase_to_click_rate),
            "sale_formula" => self.sale_formula.as_deref().and_then(text),
            _ => None,
        }
    }
}

/// Sorts rows by a column of [`CampaignRow::COLUMNS`]; absent values last, ties by campaign id.
pub fn sort_rows(rows: &mut Vec<CampaignRow>, by: &Sorting) {
    by.sort(rows, |row| (row.sort_value(by), row.campaign_id.clone()));
}

/// So many orders, in all currencies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub struct OrdersAmount {
    /// How many.
    pub orders: i64,
    /// Their totals.
    pub amount: Sums,
}

/// The orders of one status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StatusRow {
    /// Which status.
    pub status: Status,
    /// Its orders.
    #[serde(flatten)]
    pub orders: OrdersAmount,
}

/// Orders by status over a period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OrdersReport {
    /// Those that have orders, in the order of an order's life.
    pub statuses: Vec<StatusRow>,
    /// Of [`Status::IN_TOTAL`].
    pub total: OrdersAmount,
    /// Apart.
    pub cancelled: OrdersAmount,
}

/// Makes the orders report from the sums of a period.
pub fn orders_report<C>(sums: &Aggregate<C>) -> OrdersReport {
    let of = |wanted: &dyn Fn(Status) -> bool| {
        let mut sum = OrdersAmount::default();
        for (&(status, currency), tally) in &sums.statuses {
            if wanted(status) {
                sum.orders += tally.0;
                sum.amount.add(currency, tally.1);
            }
        }
        sum
    };
    let row = |status: Status| StatusRow {
        status,
        orders: of(&|s| s == status),
    };
    OrdersReport {
        statuses: Status::ALL
            .into_iter()
            .map(row)
            .filter(|row| row.orders.orders != 0)
            .collect(),
        total: of(&|status| Status::IN_TOTAL.contains(&status)),
        cancelled: of(&|status| status == Status::Cancelled),
    }
}

/// Where every record went (rule 5): stored = counted + other status + other currency + refunded; counted = credited +
/// uncredited; received = stored + duplicates + older copies + rejected, by day of arrival.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reconciliation {
    /// Orders.
    pub orders: OrdersReconciled,
    /// Events.
    pub events: EventsReconciled,
}

/// Where every order went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are the rules' words")]
pub struct OrdersReconciled {
    pub received: i64,
    pub duplicates: i64,
    pub older_copies: i64,
    pub rejected: i64,
    pub stored: i64,
    /// Orders stored for the first time, by day of arrival; `stored` is by the day they were placed.
    pub arrived: i64,
    pub counted: i64,
    pub credited: i64,
    pub uncredited: i64,
    pub other_status: i64,
    pub other_currency: i64,
    pub refunded: i64,
}

/// Where every event went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are the rules' words")]
pub struct EventsReconciled {
    pub received: i64,
    pub stored: i64,
    pub duplicates: i64,
    pub rejected: i64,
}

/// Makes the reconciliation from the sums of a period.
pub fn reconciliation<C: Ord + Clone>(sums: &Aggregate<C>) -> Reconciliation {
    let not_counted = |reason| sums.not_counted.get(&reason).copied().unwrap_or(0);
    let IntakeCounts {
        received,
        stored: arrived,
        duplicates,
        older_copies,
        rejected,
    } = sums.orders_in;
    let events = sums.events_in;
    Reconciliation {
        orders: OrdersReconciled {
            received,
            duplicates,
            older_copies,
            rejected,
            stored: orders_of(&sums.counted) + sums.not_counted.values().sum::<i64>(),
            arrived,
            counted: orders_of(&sums.counted),
            credited: orders_of(&sums.credited()),
            uncredited: orders_of(&sums.uncredited),
            other_status: not_counted(NotCounted::Status),
            other_currency: not_counted(NotCounted::Currency),
            refunded: not_counted(NotCounted::Refunded),
        },
        events: EventsReconciled {
            received: events.received,
            stored: events.stored,
            duplicates: events.duplicates,
            rejected: events.rejected,
        },
    }
}
