//! The page of a promotion: seven tabs, and the forms of those who may change it.

use revtrail_core::value::time::{Day, Instant};
use revtrail_web::call::{Call, Response};
use revtrail_web::problem::Problem;
use serde_json::Value;

use crate::PROMOTIONS_CSV;
use crate::address::KEPT;
use crate::answer;
use crate::asked::{Api, DASHBOARD, PROMOTION, VOUCHERS};
use crate::chart::{self, Areas, Point};
use crate::edit;
use crate::form::{self, Form, Sent, Tried};
use crate::frame::{Field, Frame, Link};
use crate::lists::items;
use crate::numbers::Figure;
use crate::promotions::state;
use crate::sheet::{Cell, Head, Layers, Sheet, Table, Tile, said, text};
use crate::table_file::EXPORT;
use crate::times;

/// The tabs of a promotion: the parameter, its name, and the route of the API that lists it.
const TABS: [(&str, &str, &str); 7] = [
    ("dashboard", "Dashboard", DASHBOARD),
    ("vouchers", "Vouchers", VOUCHERS),
    (
        "validation-rules",
        "Validation rules",
        "/v1/marketplaces/{marketplace}/promotions/{id}/validation-rules",
    ),
    (
        "redemptions",
        "Redemption history",
        "/v1/marketplaces/{marketplace}/promotions/{id}/redemptions",
    ),
    (
        "publications",
        "Publications history",
        "/v1/marketplaces/{marketplace}/promotions/{id}/publications",
    ),
    (
        "distributions",
        "Distributions",
        "/v1/marketplaces/{marketplace}/promotions/{id}/distributions",
    ),
    (
        "metadata",
        "Metadata",
        "/v1/marketplaces/{marketplace}/promotions/{id}/metadata",
    ),
];

/// The tab with a name.
fn tab_of(name: &str) -> Result<(&'static str, &'static str, &'static str), Problem> {
    let known = TABS.iter().find(|(known, _, _)| *known == name);
    known
        .copied()
        .ok_or_else(|| Problem::not_found(format!("a promotion has no tab {name:?}")))
}

pub(crate) async fn page(api: Api, call: Call) -> Result<Response, Problem> {
    show(&api, &call, None).await
}

async fn show(api: &Api, call: &Call, tried: Option<&Tried>) -> Result<Response, Problem> {
    let mut query = call.query();
    for known in KEPT.into_iter().chain(["cursor", "limit", EXPORT]) {
        query.text(known);
    }
    let id = query.text("id").unwrap_or_default().to_owned();
    let (tab, label, asked) = tab_of(query.text("tab").unwrap_or("dashboard"))?;
    if tab == "vouchers" {
        query.text("voucher_code");
    }
    query.done()?;
    let mut frame = Frame::of(api, call, &id, "/promotion").await?;
    let marketplace = frame.marketplace.clone();
    let about = (Some(&marketplace), &[("id", id.as_str())][..]);
    let board: Value = api.says(call, DASHBOARD, about, &[]).await?;
    let list: Option<Value> = match tab {
        "dashboard" => None,
        _ => {
            let query = frame.address.only(&["cursor", "limit", "voucher_code"]);
            Some(api.says(call, asked, about, &query).await?)
        }
    };
    let facts = &board["promotion"];
    let name = text(facts, "name");
    frame.title.clone_from(&name);
    let mut sheet = Sheet::new(frame, name);
    sheet.exports = PROMOTIONS_CSV;
    let frame = &sheet.frame;
    sheet.tabs = tabs(frame, &board, &id, tab);
    sheet.sub = about_it(frame, facts, &board);
    sheet.time_gone = time_gone(facts, frame.now);
    match &list {
        Some(list) => sheet.tables = vec![listed(frame, tab, label, list)],
        None => {
            (sheet.tiles, sheet.layers, sheet.tables) = (
                tiles(frame, &board),
                by_day(frame, &board),
                breakdowns(frame, &board),
            );
        }
    }
    if tab == "vouchers" {
        sheet.fields = vec![Field {
            name: "voucher_code",
            label: "Code",
            value: frame
                .address
                .get("voucher_code")
                .unwrap_or_default()
                .to_owned(),
            choices: Vec::new(),
        }];
    }
    if frame.may_export {
        let action = frame.address.href();
        let forms = match (&list, tab) {
            (None, _) => {
                let now = api.says_tagged(call, PROMOTION, about).await?;
                vec![
                    edit::limit(action.clone(), &now, frame.zone),
                    edit::edit(action, &now, frame.zone),
                ]
            }
            (Some(list), "vouchers") => voucher_forms(frame, action, list),
            _ => Vec::new(),
        };
        sheet.forms = forms.into_iter().map(|form| form.after(tried)).collect();
    }
    sheet.answer(call, form::status(tried))
}

/// The forms of the tab of vouchers; that of a single one, where one is looked at.
fn voucher_forms(frame: &Frame, action: String, list: &Value) -> Vec<Form> {
    match (
        frame.address.get("voucher_code"),
        items(list, "items").next(),
    ) {
        (Some(_), Some(one)) => vec![edit::change(action, one)],
        (Some(_), None) => Vec::new(),
        (None, _) => vec![edit::generate(action.clone()), edit::import(action)],
    }
}

/// Does what a form of the page asks for, and shows the page again.
pub(crate) async fn sent(api: Api, call: Call) -> Result<Response, Problem> {
    let sent = Sent::of(&call)?;
    let frame = Frame::of(&api, &call, "", "/promotion").await?;
    match edit::done(&api, &call, &sent, frame.zone).await {
        Ok(()) => Ok(answer::see(&frame.address.href())),
        Err(problem) => {
            let tried = Tried::refused(sent, problem)?;
            show(&api, &call, Some(&tried)).await
        }
    }
}

/// A tab as CSV, whole.
pub(crate) async fn table(api: Api, call: Call) -> Result<Response, Problem> {
    let mut query = call.query();
    let id = query.text("id").unwrap_or_default().to_owned();
    let (tab, _, asked) = tab_of(query.text("tab").unwrap_or("vouchers"))?;
    query.done()?;
    if tab == "dashboard" {
        return Err(Problem::not_found(
            "the dashboard is no table: choose another tab",
        ));
    }
    let marketplace = call.marketplace()?.clone();
    let about = (Some(&marketplace), &[("id", id.as_str())][..]);
    api.answer(&call, asked, about, &[], "text/csv").await
}

fn tabs(frame: &Frame, board: &Value, id: &str, current: &str) -> Vec<Link> {
    let link = |(tab, label, _): &(&str, &str, &str)| Link {
        href: frame
            .to("/promotion")
            .with("id", id)
            .with("tab", tab)
            .href(),
        label: format!("{label}{}", counted(frame, board, tab)),
        current: *tab == current,
    };
    TABS.iter().map(link).collect()
}

/// How many entries a tab has, where the dashboard says it; its tile has the same number.
fn entries(board: &Value, tab: &str) -> Option<i64> {
    let sum = |told: &Value, names: &[&str]| {
        let counts = names.iter().filter_map(|name| told[*name].as_i64());
        counts.sum::<i64>()
    };
    match tab {
        "vouchers" => board["vouchers"].as_i64(),
        "publications" => Some(sum(&board["publications"], &["success", "failure"])),
        "redemptions" => Some(
            items(&board["breakdown"], "result")
                .filter_map(|one| one["redemptions"].as_i64())
                .sum(),
        ),
        "validation-rules" => Some(count_of(&board["promotion"]["validation_rules"])),
        "metadata" => Some(count_of(&board["promotion"]["metadata"])),
        _ => None,
    }
}

/// How many entries a list or an object has.
fn count_of(told: &Value) -> i64 {
    let list = told.as_array().map(Vec::len);
    let n = list.or(told.as_object().map(serde_json::Map::len));
    n.and_then(|n| i64::try_from(n).ok()).unwrap_or(0)
}

fn counted(frame: &Frame, board: &Value, tab: &str) -> String {
    entries(board, tab).map_or(String::new(), |n| {
        format!(" {}", frame.numbers.count(n).text())
    })
}

/// What a promotion is, in sentences.
fn about_it(frame: &Frame, facts: &Value, board: &Value) -> Vec<String> {
    let gives = match text(facts, "type").as_str() {
        "" => String::new(),
        kind => format!(
            ", {} {} {}",
            kind,
            text(facts, "value"),
            text(facts, "currency")
        ),
    };
    let when = |field: &str, word: &str| match frame.time_in(facts, field) {
        Cell::Time(at) => format!(" {word} {}", at.shown),
        _ => String::new(),
    };
    let limit = |field: &str, words: &str| {
        facts[field]
            .as_i64()
            .map(|n| format!(", {} {words}", frame.numbers.count(n).text()))
            .unwrap_or_default()
    };
    let mut lines = vec![
        format!(
            "{}{gives}{}{}",
            text(facts, "kind"),
            limit("redemption_limit", "uses a voucher"),
            limit("limit_per_customer", "a customer")
        ),
        format!(
            "{}{}{}",
            state(board),
            when("starts_at", "from"),
            when("ends_at", "until")
        ),
    ];
    lines.extend(Some(text(facts, "description")).filter(|text| !text.is_empty()));
    lines
}

/// How much of its time a promotion has behind it, as a width in percent; `None` where its time has no end.
fn time_gone(facts: &Value, now: Instant) -> Option<String> {
    let at = |field: &str| Instant::parse(facts[field].as_str()?).ok();
    let (from, to) = (at("starts_at")?.ms(), at("ends_at")?.ms());
    let gone = (now.ms() - from).clamp(0, to - from);
    Some(chart::percent(&gone.to_string(), (to - from) as f64))
}

fn tiles(frame: &Frame, board: &Value) -> Vec<Tile> {
    let tile = |label: &str, figures, about: String| Tile {
        label: label.to_owned(),
        about,
        figures,
        href: String::new(),
    };
    let count = |told: &Value, field| frame.count_in(told, field);
    let pace = &board["pace"];
    // Whoever sees a limit wants to know how long it lasts.
    let redeems = pace["redemptions"].as_i64().is_some_and(|n| n > 0);
    let lasts = |field| match text(pace, field) {
        none if none.is_empty() && redeems => {
            ", not used up in ten years at this pace, or at all".to_owned()
        }
        none if none.is_empty() => String::new(),
        date => format!(
            ", used up {} at the pace of {} days",
            times::day(&date, true),
            pace["days"]
        ),
    };
    let limit =
        |told: &Value, figures: [Figure; 2], left: Option<Figure>, field| match told.is_null() {
            true => (vec![Figure::default()], "no limit".to_owned()),
            false => (
                vec![frame.rate_in(told, "usage")],
                format!(
                    "{} of {}{}{}",
                    figures[0].text(),
                    figures[1].text(),
                    left.map_or(String::new(), |left| format!(", {} left", left.text())),
                    lasts(field)
                ),
            ),
        };
    let money = |field| {
        frame.numbers.exact(
            &text(&board["budget"], field),
            &text(&board["budget"], "currency"),
        )
    };
    let left = frame.numbers.exact(
        &text(board, "budget_left"),
        &text(&board["budget"], "currency"),
    );
    let (budget, of_budget) = limit(
        &board["budget"],
        [money("spent"), money("amount")],
        Some(left),
        "budget_used_up_on",
    );
    let (cap, of_cap) = limit(
        &board["cap"],
        [count(&board["cap"], "used"), count(&board["cap"], "limit")],
        None,
        "cap_used_up_on",
    );
    // A tab has as many entries as its tile says.
    let all_of = |tab| {
        let n = entries(board, tab);
        vec![n.map_or(Figure::default(), |n| frame.numbers.count(n))]
    };
    let failed = |told: &Value, field| format!("{} failed", count(told, field).text());
    let mut tiles = vec![
        tile(
            "Redemption rate",
            vec![frame.rate_in(board, "redemption_rate")],
            format!(
                "{} of {} assigned",
                count(board, "redeemed").text(),
                count(board, "assigned").text()
            ),
        ),
        tile(
            "Redemptions",
            all_of("redemptions"),
            items(&board["breakdown"], "result")
                .map(|one| {
                    let key = text(one, "key").replace('_', " ");
                    format!("{} {key}", count(one, "redemptions").text())
                })
                .collect::<Vec<_>>()
                .join(", "),
        ),
        tile("Budget", budget, of_budget),
        tile("Cap", cap, of_cap),
        tile(
            "Result",
            frame.sums_in(&board["result"]),
            "orders − rewards".to_owned(),
        ),
        tile(
            "Worst case",
            frame.sums_in(&board["worst_case"]),
            "what could still be spent".to_owned(),
        ),
        tile("Vouchers", all_of("vouchers"), String::new()),
        tile(
            "Publications",
            all_of("publications"),
            failed(&board["publications"], "failure"),
        ),
        tile(
            "Messages delivered",
            vec![count(&board["messages"], "delivered")],
            failed(&board["messages"], "failed"),
        ),
    ];
    tiles[0].href = "#tiers-title".to_owned();
    tiles
}

/// Redemptions by day, from the first to the last.
fn by_day(frame: &Frame, board: &Value) -> Option<Layers> {
    let days: Vec<(Day, &Value)> = items(board, "redemptions_by_day")
        .filter_map(|one| Some((Day::parse(one["date"].as_str()?)?, one)))
        .collect();
    let (first, last) = (
        days.iter().map(|(day, _)| *day).min()?,
        days.iter().map(|(day, _)| *day).max()?,
    );
    let length = u32::try_from(last.since(first)).ok()?.min(400);
    let point = |offset| {
        let date = first.plus(offset);
        let told = days
            .iter()
            .find(|(day, _)| *day == date)
            .map(|(_, told)| *told);
        let n = |field: &str| {
            told.and_then(|told| told[field].as_i64())
                .unwrap_or(0)
                .to_string()
        };
        let label = times::day(&date.to_string(), false);
        let layers = [n("success"), n("failure")];
        let told = format!("{label}: {} succeeded, {} failed", layers[0], layers[1]);
        Point {
            label,
            layers,
            before: None,
            told,
        }
    };
    let points: Vec<Point> = (0..=length).map(point).collect();
    let row = |(day, told): &(Day, &Value)| {
        let figures = ["success", "failure"].map(|field| frame.count_in(told, field));
        (times::day(&day.to_string(), true), figures)
    };
    Some(Layers {
        rows: days.iter().map(row).collect(),
        heading: "Redemptions by day".to_owned(),
        names: ["succeeded", "failed"],
        areas: Areas::new(&points, |n| frame.numbers.exact(n, "")),
    })
}

fn breakdowns(frame: &Frame, board: &Value) -> Vec<Table> {
    let parts = |id, heading: &str, of: &'static str| {
        let row = |one: &Value| {
            let key = match text(one, "key") {
                none if none.is_empty() => Cell::Text("none".to_owned()),
                key => Cell::Link {
                    href: frame.to("/promotions").with(of, &key).href(),
                    text: key,
                },
            };
            vec![
                key,
                frame.counted(one, "assigned"),
                frame.counted(one, "redeemed"),
                Cell::Figures(vec![frame.rate_in(one, "redemption_rate")]),
            ]
        };
        let rows = items(&board["breakdown"], of).map(row).collect();
        let mut heads = vec![Head::text("Part")];
        heads.extend(["Assigned", "Redeemed", "Rate"].map(Head::number));
        let foot = vec![
            Cell::Text("all".to_owned()),
            frame.counted(board, "assigned"),
            frame.counted(board, "redeemed"),
            Cell::Figures(vec![frame.rate_in(board, "redemption_rate")]),
        ];
        Table {
            rows,
            foot,
            ..Table::new(id, heading, heads, "Nothing was assigned.")
        }
    };
    let counts = |id, heading: &str, of: &str, field: &'static str| {
        let row = |one: &Value| {
            let key = text(one, "key");
            let key = if of == "day" {
                times::day(&key, true)
            } else {
                key.replace('_', " ")
            };
            vec![Cell::Text(key), frame.counted(one, field)]
        };
        let rows = items(&board["breakdown"], of).map(row).collect();
        // What is redeemed by day is what is redeemed; what there is by result is what the tab of redemptions has.
        let all = match of {
            "day" => Some(frame.count_in(board, "redeemed")),
            _ => entries(board, "redemptions").map(|n| frame.numbers.count(n)),
        };
        Table {
            rows,
            foot: all.map_or(Vec::new(), |all| {
                vec![Cell::Text("all".to_owned()), Cell::Figures(vec![all])]
            }),
            ..Table::new(
                id,
                heading,
                vec![Head::text("Part"), Head::number("Redeemed")],
                "No offer that was assigned was redeemed.",
            )
        }
    };
    let changes = items(board, "changes")
        .map(|one| change(frame, one))
        .collect();
    let of_changes = ["When", "Who", "What", "Before", "After"].map(Head::text);
    vec![
        parts("tiers", "The rate by tier", "tier"),
        parts("segments", "The rate by segment", "segment"),
        counts(
            "first",
            "Offers by the day of their first redemption",
            "day",
            "redeemed",
        ),
        counts("results", "Redemptions by result", "result", "redemptions"),
        Table {
            rows: changes,
            ..Table::new(
                "changes",
                "The last changes",
                of_changes.into(),
                "Nothing was changed.",
            )
        },
    ]
}

fn change(frame: &Frame, one: &Value) -> Vec<Cell> {
    vec![
        frame.time_in(one, "at"),
        said(one, "by"),
        said(one, "field"),
        said(one, "before"),
        said(one, "after"),
    ]
}

/// The table of a tab, with the fields that the API lists.
fn listed(frame: &Frame, tab: &str, label: &str, list: &Value) -> Table {
    let columns: &[(&str, &'static str)] = match tab {
        "vouchers" => &[
            ("voucher_code", "Code"),
            ("uses", "Used"),
            ("limit", "Limit"),
            ("disabled", "Disabled"),
            ("assigned", "Assigned"),
            ("created_at", "Made"),
        ],
        "validation-rules" => &[
            ("rule_id", "Rule"),
            ("id", "Id"),
            ("name", "Name"),
            ("text", "Text"),
            ("version", "Version"),
        ],
        "redemptions" => &[
            ("redeemed_at", "When"),
            ("result", "Result"),
            ("customer_id", "Customer"),
            ("redemption_id", "Redemption"),
            ("voucher_code", "Code"),
            ("reward_amount", "Reward"),
            ("failure_code", "Why it failed"),
            ("flags", "Flags"),
            ("rolled_back_at", "Rolled back"),
        ],
        "publications" => &[
            ("assigned_at", "When"),
            ("customer_id", "Customer"),
            ("voucher_code", "Code"),
            ("tier_id", "Tier"),
            ("segment", "Segment"),
            ("channel", "Channel"),
            ("result", "Result"),
        ],
        "distributions" => &[
            ("at", "When"),
            ("sent_at", "Sent"),
            ("customer_id", "Customer"),
            ("voucher_code", "Code"),
            ("channel", "Channel"),
            ("campaign_id", "Campaign"),
            ("message_id", "Message"),
            ("state", "State"),
        ],
        _ => &[("key", "Key"), ("value", "Value")],
    };
    // Fields that no entry has are left out.
    let told: Vec<&(&str, &'static str)> = columns
        .iter()
        .filter(|(field, _)| items(list, "items").any(|one| one.get(*field).is_some()))
        .collect();
    let cell = |one: &Value, field: &str| match &one[field] {
        Value::Number(_) => frame.counted(one, field),
        Value::Bool(is) => Cell::Text(if *is { "yes" } else { "no" }.to_owned()),
        Value::Array(all) if all.is_empty() => Cell::Nothing,
        Value::Array(all) => Cell::Text(
            all.iter()
                .filter_map(Value::as_str)
                .map(|flag| flag.replace('_', " "))
                .collect::<Vec<_>>()
                .join(", "),
        ),
        Value::String(_) if field.ends_with("_at") || field == "at" => frame.time_in(one, field),
        Value::String(_) if field == "reward_amount" => Cell::Figures(vec![
            frame
                .numbers
                .exact(&text(one, field), &text(one, "currency")),
        ]),
        Value::String(_) if field == "customer_id" && frame.may_export => {
            frame.link("/customer", one, field, field)
        }
        Value::String(code) if tab == "vouchers" && field == "voucher_code" && frame.may_export => {
            Cell::Link {
                href: frame.address.with(field, code).href(),
                text: code.clone(),
            }
        }
        _ => said(one, field),
    };
    let rows = items(list, "items")
        .map(|one| told.iter().map(|(field, _)| cell(one, field)).collect())
        .collect();
    let heads = told.iter().map(|(field, label)| {
        match ["uses", "limit", "version", "reward_amount"].contains(field) {
            true => Head::number(label),
            false => Head::text(label),
        }
    });
    let csv = frame.bare("/promotion.csv");
    let id = frame.address.get("id").unwrap_or_default();
    let export = || csv.with("id", id).with("tab", tab).href();
    let nothing = match frame.address.get("voucher_code") {
        Some(_) => "There is no such code in this promotion.",
        None => "There is nothing in it yet.",
    };
    Table {
        rows,
        export: PROMOTIONS_CSV.allows(frame.who).then(export),
        ..Table::new("entries", label, heads.collect(), nothing).paged(frame, list)
    }
}
