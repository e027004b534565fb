//! The frame of every page of a marketplace: where one is, where one may go, the period and the channel, and how fresh figures are.

use std::collections::BTreeMap;

use chrono_tz::Tz;
use revtrail_core::value::id::MarketplaceId;
use revtrail_core::value::time::{Day, Instant};
use revtrail_store::market::access::Role;
use revtrail_web::access::{ADMIN, MARKETING};
use revtrail_web::call::Call;
use revtrail_web::problem::Problem;
use revtrail_web::session;
use serde::Deserialize;
use serde_json::Value;

use crate::address::Address;
use crate::answer::{ALL, Asset};
use crate::asked::{
    Api, BATCHES, CAMPAIGNS, KEYS, ORDERS, PROMOTIONS, RECONCILIATION, RUNS, SEGMENTS, SETTINGS,
};
use crate::lists::items;
use crate::numbers::{LANGUAGES, Numbers};
use crate::table_file::EXPORT;
use crate::times::{self, Moment};

/// A field by which the list is narrowed.
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) label: &'static str,
    pub(crate) value: String,
    /// What can be chosen; a free text where there is nothing.
    pub(crate) choices: Vec<(String, String)>,
}

/// A page of the navigation: what its address has after the marketplace, what it is called, and the route of the API that it asks.
const PAGES: [(&str, &str, &str); 9] = [
    ("", "Campaigns", CAMPAIGNS),
    ("/promotions", "Promotions", PROMOTIONS),
    ("/orders", "Orders", ORDERS),
    ("/segments", "Segments", SEGMENTS),
    ("/reconciliation", "Reconciliation", RECONCILIATION),
    ("/runs", "Runs", RUNS),
    ("/batches", "Files", BATCHES),
    // Whoever sees the settings sees who sends; another function answers the list itself.
    ("/senders", "Senders", SETTINGS),
    ("/settings", "Settings", SETTINGS),
];

/// The page of access, whose routes of the API another function answers.
const ACCESS: (&str, &str, &str) = ("/access", "Access", KEYS);

/// A link, and whether it leads to where one is.
pub(crate) struct Link {
    pub(crate) href: String,
    pub(crate) label: String,
    pub(crate) current: bool,
}

/// What every page of a marketplace shows around its own.
pub(crate) struct Frame {
    pub(crate) assets: &'static [Asset; 3],
    pub(crate) title: String,
    pub(crate) marketplace: MarketplaceId,
    pub(crate) name: String,
    pub(crate) others: bool,
    pub(crate) pages: Vec<Link>,
    pub(crate) key: String,
    pub(crate) role: &'static str,
    pub(crate) who: Role,
    pub(crate) may_export: bool,
    /// The page of runs, for those who may see it.
    pub(crate) runs: Option<String>,
    /// What somebody should look at first; empty where all is well.
    pub(crate) banner: String,
    /// Where the service is reached, for lines that people paste.
    pub(crate) origin: String,
    pub(crate) zone: Tz,
    pub(crate) excluded_tags: Vec<String>,
    pub(crate) windows: Windows,
    pub(crate) address: Address,
    pub(crate) numbers: Numbers,
    pub(crate) now: Instant,
}

/// What the settings say about how pages are shown.
#[derive(Deserialize)]
struct Settings {
    settings: ShownBy,
}

#[derive(Deserialize)]
struct ShownBy {
    timezone: Tz,
    excluded_tags: Vec<String>,
    channels: Windows,
}

/// The windows of channels, by the names of the channels.
pub(crate) type Windows = BTreeMap<String, Window>;

/// How long a message of a channel can earn an order, and from when on.
#[derive(Deserialize)]
pub(crate) struct Window {
    pub(crate) window: String,
    pub(crate) window_from: String,
}

impl Frame {
    /// Where a table of this page is as a file: the rows that are shown.
    pub(crate) fn table_href(&self, id: &str) -> String {
        let cursor = self.address.get("cursor").unwrap_or_default();
        let table = self.address.with(EXPORT, id).with("cursor", cursor);
        table.href()
    }

    /// The same, for those who may have it.
    pub(crate) fn export(&self, id: &str) -> Option<String> {
        self.may_export.then(|| self.table_href(id))
    }

    pub(crate) async fn of(
        api: &Api,
        call: &Call,
        title: &str,
        suffix: &str,
    ) -> Result<Self, Problem> {
        let marketplace = call.marketplace()?.clone();
        let caller = call.caller()?;
        let own = api.marketplaces(call).await?;
        let name = own
            .iter()
            .find(|one| one.marketplace_id == marketplace)
            .map(|one| one.name.clone());
        let about = (Some(&marketplace), &[][..]);
        let settings = match api.tells(caller.role, SETTINGS) {
            true => {
                api.says::<Settings>(call, SETTINGS, about, &[])
                    .await?
                    .settings
            }
            false => ShownBy {
                timezone: call.zone().await?,
                excluded_tags: Vec::new(),
                channels: Windows::new(),
            },
        };
        let sees_runs = api.tells(caller.role, RUNS);
        let banner = match sees_runs {
            true => banner(
                &api.says(call, RUNS, about, &[("limit", RUNS_LOOKED_AT)])
                    .await?,
            ),
            false => String::new(),
        };
        let path = format!("/app/{marketplace}{suffix}");
        let address = Address::new(&path, call.pairs());
        let may = |(_, _, asked): &&(&str, &str, &str)| api.tells(caller.role, asked);
        let link = |(of, label, _): &(&str, &str, &str)| Link {
            href: address.elsewhere(format!("/app/{marketplace}{of}")).href(),
            label: (*label).to_owned(),
            current: *of == suffix,
        };
        let access = Some(&ACCESS).filter(|_| ADMIN.allows(caller.role));
        let pages = PAGES.iter().filter(may).chain(access).map(link);
        Ok(Self {
            assets: &ALL,
            title: title.to_owned(),
            name: name.unwrap_or_else(|| marketplace.to_string()),
            others: own.len() > 1,
            pages: pages.collect(),
            // The key of the deployment has a long name, and the navigation needs the room.
            key: match caller.deployment {
                true => "deployment".to_owned(),
                false => caller.name.clone(),
            },
            role: caller.role.name(),
            who: caller.role,
            runs: sees_runs.then(|| format!("/app/{marketplace}/runs")),
            banner,
            may_export: MARKETING.allows(caller.role),
            origin: session::origin(&call.headers),
            zone: settings.timezone,
            excluded_tags: settings.excluded_tags,
            windows: settings.channels,
            address,
            numbers: Numbers::of(&call.headers),
            now: call.now,
            marketplace,
        })
    }

    /// The address of another page of this marketplace, with what is kept across pages.
    pub(crate) fn to(&self, suffix: &str) -> Address {
        self.address
            .elsewhere(format!("/app/{}{suffix}", self.marketplace))
    }

    /// An address of this marketplace that takes nothing along.
    pub(crate) fn bare(&self, suffix: &str) -> Address {
        Address::new(&format!("/app/{}{suffix}", self.marketplace), Vec::new())
    }

    /// The page of a customer, for those who may see who somebody is.
    pub(crate) fn to_customer(&self, id: &str) -> Option<String> {
        self.may_export
            .then(|| self.to("/customer").with("id", id).href())
    }

    /// This page from its first row on, with as many rows as a page may have.
    pub(crate) fn all_rows(&self) -> String {
        self.address.with("limit", "1000").href()
    }

    pub(crate) fn moment(&self, at: Instant) -> Moment {
        times::moment(at, self.zone, self.now)
    }

    /// True where a form has a field of this name. A list begins again where it is narrowed.
    pub(crate) fn is_field(&self, name: &str, fields: &[Field]) -> bool {
        name == "cursor" || fields.iter().any(|field| field.name == name)
    }

    pub(crate) fn languages(&self) -> Vec<(&'static str, &'static str, bool)> {
        let choice = |(code, name): (&'static str, _)| (code, name, self.numbers.language == code);
        LANGUAGES.map(choice).to_vec()
    }
}

/// How many runs are looked at for what somebody should look at first: those of most of a day.
const RUNS_LOOKED_AT: &str = "20";

/// What the last runs say that somebody should look at: how the last one ended, and what the last verification found. One that is under way
/// says nothing yet.
fn banner(list: &Value) -> String {
    let ended = || items(list, "runs").filter(|run| run["state"] != "running");
    let run = ended().next().unwrap_or(&Value::Null);
    let verified = ended().find(|run| !run["verify"].is_null());
    let differ = verified.and_then(|run| run["verify"]["differences"].as_i64());
    let differ = differ.unwrap_or(0);
    let parked = run["parked"].as_i64().unwrap_or(0);
    let mut told = Vec::new();
    if run["state"] == "failed" {
        told.push("the last run failed".to_owned());
    }
    if differ > 0 {
        told.push(format!(
            "customers who differed in the last verification: {differ}"
        ));
    }
    if parked > 0 {
        told.push(format!(
            "parked customers, whose last figures stand: {parked}"
        ));
    }
    told.join("; ")
}

/// How fresh the figures of a report are, as the API says it.
#[derive(Deserialize)]
pub(crate) struct Freshness {
    pub(crate) as_of: Option<Instant>,
    pending: usize,
    #[serde(default)]
    pending_more: bool,
}

impl Freshness {
    /// The sentence at the head of a page.
    pub(crate) fn sentence(&self, frame: &Frame) -> String {
        let waiting = match (self.pending, self.pending_more) {
            (0, _) => "no customer waits for a run".to_owned(),
            (1, _) => "1 customer waits for a run".to_owned(),
            (n, more) => {
                let n = frame
                    .numbers
                    .count(i64::try_from(n).unwrap_or(i64::MAX))
                    .text();
                format!(
                    "{}{n} customers wait for a run",
                    if more { "more than " } else { "" }
                )
            }
        };
        match self.as_of {
            Some(at) => format!(
                "as of {}, {waiting}",
                times::lately(at, frame.zone, frame.now).shown
            ),
            None => format!("no run yet, {waiting}"),
        }
    }
}

/// A period, as the API says it: from included, to excluded.
#[derive(Deserialize)]
pub(crate) struct Period {
    pub(crate) from: String,
    pub(crate) to: String,
}

/// The choice of a period and a channel.
pub(crate) struct Filters {
    pub(crate) periods: Vec<Link>,
    pub(crate) channels: Vec<Link>,
    pub(crate) from: String,
    pub(crate) to: String,
    /// The period in words, both days included.
    pub(crate) words: String,
}

impl Filters {
    pub(crate) fn new(frame: &Frame, period: &Period) -> Self {
        let tomorrow = frame.now.day(frame.zone).plus(1);
        let month = |back: u32| {
            let last = (0..back).fold(tomorrow.minus(1), |day, _| first_of_month(day).minus(1));
            (
                first_of_month(last),
                first_of_month(last.plus(1)).max(last.plus(1)),
            )
        };
        let (this, before) = (month(0), month(1));
        let choices = [
            ("Today", tomorrow.minus(1), tomorrow),
            ("Yesterday", tomorrow.minus(2), tomorrow.minus(1)),
            ("7 days", tomorrow.minus(7), tomorrow),
            ("30 days", tomorrow.minus(30), tomorrow),
            ("90 days", tomorrow.minus(90), tomorrow),
            ("This month", this.0, tomorrow),
            ("Last month", before.0, this.0),
        ];
        let mut is_found = false;
        let choice = |(label, from, to): (&str, Day, Day)| {
            let (from, to) = (from.to_string(), to.to_string());
            let current = (period.from.as_str(), period.to.as_str()) == (&*from, &*to);
            // A month of 30 days that ends today is the last 30 days, too.
            let current = current && !is_found;
            is_found |= current;
            // The last 30 days are what there is without a choice, and stay so tomorrow.
            let address = match label {
                "30 days" => frame.address.with("from", "").with("to", ""),
                _ => frame.address.with("from", &from).with("to", &to),
            };
            Link {
                href: address.href(),
                label: label.to_owned(),
                current,
            }
        };
        let chosen = frame.address.get("channel").unwrap_or_default();
        let channels = [
            ("", "All channels"),
            ("email", "E-mail"),
            ("push", "Push"),
            ("sms", "SMS"),
        ];
        let channel = |(value, label): (&str, &str)| Link {
            href: frame.address.with("channel", value).href(),
            label: label.to_owned(),
            current: value == chosen,
        };
        let last = Day::parse(&period.to).map_or(period.to.clone(), |to| to.minus(1).to_string());
        let words = match last == period.from {
            true => times::day(&last, true),
            false => format!(
                "{} – {}",
                times::day(&period.from, false),
                times::day(&last, true)
            ),
        };
        Self {
            periods: choices.map(choice).into(),
            channels: channels.map(channel).into(),
            from: period.from.clone(),
            to: period.to.clone(),
            words,
        }
    }
}

impl Filters {
    /// The same for a page that knows no channels.
    pub(crate) fn of_all_channels(mut self) -> Self {
        self.channels.clear();
        self
    }
}

fn first_of_month(day: Day) -> Day {
    let text = day.to_string();
    let of_month = text
        .rsplit('-')
        .next()
        .and_then(|day| day.parse::<u32>().ok());
    day.minus(of_month.unwrap_or(1) - 1)
}

/// The first page that a role may see, as what its address has after the marketplace.
pub(crate) fn first_page(api: &Api, role: Role) -> Option<&'static str> {
    let may = |(_, _, asked): &&(&str, &str, &str)| api.tells(role, asked);
    PAGES.iter().find(may).map(|(suffix, _, _)| *suffix)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_banner_tells() {
        for (run, told) in [
            (json!([]), ""),
            (json!([{"state": "done", "parked": 0, "verify": null}]), ""),
            (
                json!([{"state": "done", "verify": {"checked": 9, "differences": 0}}]),
                "",
            ),
            (json!([{"state": "failed"}]), "the last run failed"),
            (
                json!([{"state": "done", "parked": 1, "verify": {"checked": 9, "differences": 2}}]),
                "customers who differed in the last verification: 2; parked customers, whose last figures stand: 1",
            ),
            // A run that verifies nothing does not make a difference go away, and one that is under way hides no failure.
            (
                json!([{"state": "running"}, {"state": "done", "verify": null}, {"state": "done", "verify": {"differences": 3}}]),
                "customers who differed in the last verification: 3",
            ),
            (
                json!([{"state": "done", "verify": {"differences": 0}}, {"state": "done", "verify": {"differences": 3}}]),
                "",
            ),
            (
                json!([{"state": "running"}, {"state": "failed"}]),
                "the last run failed",
            ),
        ] {
            assert_eq!(banner(&json!({ "runs": run })), told);
        }
    }
}
