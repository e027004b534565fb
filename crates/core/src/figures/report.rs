//! Reports that are made from daily aggregates: the campaign table, orders by status, and the reconciliation (rule 5).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::attribution::campaign::Campaign;
use crate::attribution::decide::NotCounted;
use crate::attribution::event::Channel;
use crate::attribution::formula::sale_formula;
use crate::attribution::order::Status;
use crate::attribution::settings::Settings;
use crate::figures::counters::Counter;
use crate::figures::daily::{
    Aggregate, Earned, Figures, IntakeCounts, Tallies, amounts_of, orders_of,
};
use crate::figures::sort::{SortValue, Sorting};
use crate::value::id::CampaignId;
use crate::value::money::{Currency, Money, Sums, rate, share};
use crate::value::time::{Day, Instant};

/// The figures of a row or of the totals that come from engagement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Engagement {
    /// Messages delivered on all channels.
    pub deliveries: i64,
    /// Opens, including repeated opens of one message.
    pub opens: i64,
    /// Messages that were opened at least once.
    pub unique_opens: i64,
    /// Messages opened / messages delivered, over e-mail and push. It is `None` where more messages were opened than delivered,
    /// because then the sender does not report deliveries.
    pub open_rate: Option<String>,
    /// E-mails that bounced.
    pub bounces: i64,
    /// E-mails that bounced / e-mails with any event.
    pub bounce_rate: Option<String>,
    /// Clicks, including repeated clicks in one message.
    pub clicks: i64,
    /// Messages that were clicked at least once.
    pub unique_clicks: i64,
    /// Messages whose recipient unsubscribed.
    pub unsubscribes: i64,
    /// Messages whose recipient complained.
    pub complaints: i64,
}

/// The figures of a row or of the totals that come from credits. They are left out where revenue is hidden.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sales {
    /// The number of counted orders that are credited.
    pub purchases: i64,
    /// The number of buyers.
    pub purchasers: i64,
    /// What the purchases brought in, by currency.
    pub revenue: Sums,
    /// The refunds of credited orders that count, or that would count if they were not refunded.
    pub refunded: Sums,
    /// Revenue / purchases, for each currency.
    pub average_check: BTreeMap<Currency, String>,
    /// Purchases / unique opens.
    pub purchase_to_open_rate: Option<String>,
    /// Purchases / unique clicks.
    pub purchase_to_click_rate: Option<String>,
    /// Purchases / deliveries.
    pub order_rate: Option<String>,
    /// Revenue / deliveries, for each currency, with 4 decimals. It is empty where nothing was delivered.
    pub revenue_per_delivery: BTreeMap<Currency, String>,
}

/// The figures of one campaign, one day or the totals, by channel.
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
            unsubscribes: self.sum(Counter::Unsubscribes),
            complaints: self.sum(Counter::Complaints),
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
        let deliveries = self.sum(Counter::Deliveries);
        let purchases = earned.values().map(|earned| earned.purchases).sum();
        let average = |(&currency, earned): (&Currency, &Earned)| {
            let average = earned
                .revenue
                .average(earned.purchases, currency)
                .filter(|_| !earned.revenue.is_zero())?;
            Some((currency, average.in_currency(currency)))
        };
        let revenue: Sums = earned
            .iter()
            .map(|(&currency, earned)| (currency, earned.revenue))
            .collect();
        let per_delivery =
            |(currency, revenue)| Some((currency, share(revenue, Money::from(deliveries))?));
        Sales {
            purchases,
            purchasers: self.0.iter().map(|figures| figures.purchasers).sum(),
            refunded: earned
                .iter()
                .map(|(&currency, earned)| (currency, earned.refunded))
                .collect(),
            average_check: earned.iter().filter_map(average).collect(),
            purchase_to_open_rate: rate(purchases, self.sum(Counter::UniqueOpens)),
            purchase_to_click_rate: rate(purchases, self.sum(Counter::UniqueClicks)),
            order_rate: rate(purchases, deliveries),
            revenue_per_delivery: revenue.iter().filter_map(per_delivery).collect(),
            revenue,
        }
    }
}

/// The row of one campaign in a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CampaignRow {
    /// The id of the campaign.
    pub campaign_id: CampaignId,
    /// The name of the campaign, as it is now.
    pub name: String,
    /// The tags of the campaign, as they are now.
    pub tags: Vec<String>,
    /// The channels on which the campaign has events, as of now.
    pub channels: Vec<Channel>,
    /// When the campaign was sent, as known now, in UTC.
    pub sent_at: Option<Instant>,
    /// True where the campaign carries an excluded tag, as of now.
    pub excluded: bool,
    /// The figures that come from events.
    #[serde(flatten)]
    pub engagement: Engagement,
    /// The figures that come from credits; `None` where revenue is hidden.
    #[serde(flatten)]
    pub sales: Option<Sales>,
    /// What counts as a sale, in words; `None` where revenue is hidden.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sale_formula: Option<String>,
}

/// One day of one campaign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DayRow {
    /// The calendar day, in the marketplace's time zone.
    pub date: Day,
    /// The figures that come from events.
    #[serde(flatten)]
    pub engagement: Engagement,
    /// The figures that come from credits; `None` where revenue is hidden.
    #[serde(flatten)]
    pub sales: Option<Sales>,
}

/// One campaign on one channel on one day. Purchases are those won on the channel, as in a report of that channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChannelDayRow {
    /// The calendar day, in the marketplace's time zone.
    pub date: Day,
    /// The id of the campaign.
    pub campaign_id: CampaignId,
    /// The channel.
    pub channel: Channel,
    /// The figures that come from events.
    #[serde(flatten)]
    pub engagement: Engagement,
    /// The figures that come from credits; `None` where revenue is hidden.
    #[serde(flatten)]
    pub sales: Option<Sales>,
}

/// The sums over all rows of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// The number of campaigns that have a row.
    pub campaigns: usize,
    /// The figures that come from events.
    #[serde(flatten)]
    pub engagement: Engagement,
    /// The figures that come from credits; `None` where revenue is hidden.
    #[serde(flatten)]
    pub sales: Option<Sales>,
    /// Credited / counted revenue, for each currency that has counted revenue. No filter applies to it. `None` where revenue is
    /// hidden.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<BTreeMap<Currency, String>>,
}

/// A number of orders, and the sum of what they brought in.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PurchaseFigures {
    /// The number of orders.
    pub purchases: i64,
    /// What the orders brought in, by currency.
    pub revenue: Sums,
}

impl PurchaseFigures {
    /// Adds one order.
    pub fn add_order(&mut self, currency: Currency, amount: Money) {
        self.purchases += 1;
        self.revenue.add(currency, amount);
    }

    /// Adds other orders.
    pub fn add(&mut self, other: &Self) {
        self.purchases += other.purchases;
        for (currency, amount) in other.revenue.iter() {
            self.revenue.add(currency, amount);
        }
    }

    fn of(tallies: &Tallies) -> Self {
        Self {
            purchases: orders_of(tallies),
            revenue: amounts_of(tallies),
        }
    }
}

/// The balance counted = credited + uncredited, in number and in money, for each currency. No filter applies to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Balance {
    /// All counted orders.
    pub counted: PurchaseFigures,
    /// The counted orders that a campaign earned.
    pub credited: PurchaseFigures,
    /// The counted orders that no campaign earned.
    pub uncredited: PurchaseFigures,
}

impl Balance {
    fn of<C: Ord + Clone>(sums: &Aggregate<C>) -> Self {
        Self {
            counted: PurchaseFigures::of(&sums.counted),
            credited: PurchaseFigures::of(&sums.credited()),
            uncredited: PurchaseFigures::of(&sums.uncredited),
        }
    }

    /// Credited / counted revenue, for each currency that has counted revenue.
    fn share(&self) -> BTreeMap<Currency, String> {
        let credited = &self.credited.revenue;
        let of = |(currency, counted)| Some((currency, share(credited.get(currency), counted)?));
        self.counted.revenue.iter().filter_map(of).collect()
    }
}

/// The campaign report with all its rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CampaignReport {
    /// The sums over all rows.
    pub totals: Totals,
    /// The rows, in the order of the bytes of their ids until somebody sorts them.
    pub campaigns: Vec<CampaignRow>,
    /// The balance of counted orders; `None` where revenue is hidden.
    #[serde(flatten)]
    pub balance: Option<Balance>,
    /// The currency whose money the rows are sorted by. It is the currency of the settings. Without one it is the currency with
    /// the most purchases in the totals, and between equals the first by code. It is `None` where there is no money or where
    /// money is hidden.
    #[serde(skip)]
    pub sort_currency: Option<Currency>,
}

/// The error for figures that do not add up. Such a report must not be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sums do not add up: counted orders are not credited plus uncredited ones")]
pub struct DoesNotAddUp;

/// Which rows a campaign report shows.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only the figures of this channel.
    pub channel: Option<Channel>,
    /// Only campaigns that carry this tag.
    pub tag: Option<String>,
    /// Only campaigns whose name contains this text, in upper or lower case.
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

/// Makes the campaign report from the sums of a period. `campaign` finds a campaign as it is now. A campaign that it does not
/// find is shown by its id.
///
/// # Errors
/// [`DoesNotAddUp`] where counted orders are not the sum of credited and uncredited ones.
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
    let balance = newest.enabled.then(|| Balance::of(sums));
    let totals = Totals {
        campaigns: campaigns.len(),
        engagement: total.engagement(),
        sales: newest.enabled.then(|| total.sales()),
        share: balance.as_ref().map(Balance::share),
    };
    let most_bought = || {
        let earned = total.earned().into_iter();
        let any = earned.filter(|(_, sum)| {
            sum.purchases != 0 || !sum.revenue.is_zero() || !sum.refunded.is_zero()
        });
        // Between equals `max_by_key` takes the last, so the order is reversed to make that the first by code.
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

/// The rows of a day, by campaign and channel.
pub fn channel_day_rows<'d>(
    date: Day,
    aggregate: &'d Aggregate<CampaignId>,
    newest: &Settings,
) -> impl Iterator<Item = ChannelDayRow> + use<'d> {
    let shows_sales = newest.enabled;
    let row = move |((campaign_id, channel), figures): (&(CampaignId, Channel), &Figures)| {
        let mut alone = ByChannel::default();
        alone.add(*channel, figures);
        ChannelDayRow {
            date,
            campaign_id: campaign_id.clone(),
            channel: *channel,
            engagement: alone.engagement(),
            sales: shows_sales.then(|| alone.sales()),
        }
    };
    aggregate.rows.iter().map(row)
}

/// The row of one campaign and the rows of its days. A campaign without any figures in the period has a row of zeros and no days.
pub fn one_campaign<'d>(
    days: impl IntoIterator<Item = (&'d Day, &'d Aggregate<CampaignId>)>,
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

/// The balance of counted orders on one day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DayBalance {
    /// The calendar day, in the marketplace's time zone.
    pub date: Day,
    /// The balance of the day. No filter applies to it.
    #[serde(flatten)]
    pub balance: Balance,
}

/// The balances of days, oldest first; a day without any fact is left out. The sum of them is the balance of the report.
pub fn day_balances<'d, C: Ord + Clone + 'd>(
    days: impl IntoIterator<Item = (&'d Day, &'d Aggregate<C>)>,
) -> Vec<DayBalance> {
    let balance = |(&date, aggregate)| DayBalance {
        date,
        balance: Balance::of(aggregate),
    };
    days.into_iter().map(balance).collect()
}

impl CampaignRow {
    /// The columns that rows can be sorted by.
    pub const COLUMNS: [&str; 26] = [
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
        "unsubscribes",
        "complaints",
        "purchases",
        "purchasers",
        "revenue",
        "refunded",
        "average_check",
        "purchase_to_open_rate",
        "purchase_to_click_rate",
        "order_rate",
        "revenue_per_delivery",
        "sale_formula",
    ];

    /// The value that the row is sorted by. It is `None` where the row has no such value, or no money in that currency.
    pub fn sort_value(&self, by: &Sorting) -> Option<SortValue> {
        let text = |text: &str| Some(SortValue::Text(text.to_owned()));
        let count = |count: i64| Some(SortValue::Number(count.into()));
        let decimal = |text: &str| Money::parse(text).ok().map(SortValue::Number);
        let ratio = |rate: &Option<String>| rate.as_deref().and_then(decimal);
        let of_currency = |of: &BTreeMap<Currency, String>| decimal(of.get(&by.currency?)?);
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
            "open_rate" => ratio(&seen.open_rate),
            "bounces" => count(seen.bounces),
            "bounce_rate" => ratio(&seen.bounce_rate),
            "clicks" => count(seen.clicks),
            "unique_clicks" => count(seen.unique_clicks),
            "unsubscribes" => count(seen.unsubscribes),
            "complaints" => count(seen.complaints),
            "purchases" => count(sales?.purchases),
            "purchasers" => count(sales?.purchasers),
            "revenue" => money(&sales?.revenue),
            "refunded" => money(&sales?.refunded),
            "average_check" => of_currency(&sales?.average_check),
            "purchase_to_open_rate" => ratio(&sales?.purchase_to_open_rate),
            "purchase_to_click_rate" => ratio(&sales?.purchase_to_click_rate),
            "order_rate" => ratio(&sales?.order_rate),
            "revenue_per_delivery" => of_currency(&sales?.revenue_per_delivery),
            "sale_formula" => self.sale_formula.as_deref().and_then(text),
            _ => None,
        }
    }
}

/// Sorts rows by a column of [`CampaignRow::COLUMNS`]. Absent values come last, and equal values are sorted by campaign id.
pub fn sort_rows(rows: &mut Vec<CampaignRow>, by: &Sorting) {
    by.sort(rows, |row| (row.sort_value(by), row.campaign_id.clone()));
}

/// A number of orders in all currencies, and the sum of their totals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub struct OrdersAmount {
    /// The number of orders.
    pub orders: i64,
    /// The sum of their totals, by currency.
    pub amount: Sums,
}

/// The orders of one status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StatusRow {
    /// The status of these orders.
    pub status: Status,
    /// The number and totals of these orders.
    #[serde(flatten)]
    pub orders: OrdersAmount,
}

/// The orders of a period by status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OrdersReport {
    /// The statuses that have orders, in the order of an order's life.
    pub statuses: Vec<StatusRow>,
    /// The orders in a status of [`Status::IN_TOTAL`].
    pub total: OrdersAmount,
    /// The cancelled orders, which are not part of the total.
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
    /// Where every order went.
    pub orders: OrdersReconciled,
    /// Where every event went.
    pub events: EventsReconciled,
    /// How many things that senders of webhooks posted mean nothing here: by sender, and by the sender's own word.
    pub ignored: BTreeMap<String, BTreeMap<String, i64>>,
    /// How many records were rejected: orders and events, by code, and the redemptions that the report adds.
    pub rejections: BTreeMap<String, BTreeMap<String, i64>>,
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
    /// Orders stored for the first time, by day of arrival. `stored` instead goes by the day on which orders were placed.
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
    /// Events that went to an address, by day of the event, as the next.
    pub by_address: i64,
    /// Those of them whose address some order names.
    pub by_address_named: i64,
    /// Those of them whose address no order names.
    pub by_address_unnamed: i64,
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
    let counted = |counter| {
        let rows = sums.rows.values();
        rows.map(|figures| figures.counters[counter]).sum()
    };
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
            by_address: counted(Counter::ByAddress),
            by_address_named: counted(Counter::ByAddressNamed),
            by_address_unnamed: counted(Counter::ByAddress) - counted(Counter::ByAddressNamed),
        },
        ignored: in_two(&sums.ignored),
        rejections: in_two(&sums.rejections),
    }
}

/// Counts by two words with a blank between, by the first and then by the second.
fn in_two(sums: &BTreeMap<String, i64>) -> BTreeMap<String, BTreeMap<String, i64>> {
    let mut by_first: BTreeMap<String, BTreeMap<String, i64>> = BTreeMap::new();
    for (key, n) in sums {
        let (first, second) = key.split_once(' ').unwrap_or((key, ""));
        let counts = by_first.entry(first.to_owned()).or_default();
        counts.insert(second.to_owned(), *n);
    }
    by_first
}
