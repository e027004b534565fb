//! The pages of promotions: all of them with what they cost, and one with its seven tabs.

use http::StatusCode;
use revtrail_core::value::time::{Day, Instant};
use revtrail_web::call::{Call, Response};
use revtrail_web::problem::Problem;
use serde_json::Value;

use crate::PROMOTIONS_CSV;
use crate::answer;
use crate::asked::{Api, DASHBOARD, PROMOTION, PROMOTIONS, QUARANTINE};
use crate::chart::{Areas, Point};
use crate::frame::{Field, Frame, Link};
use crate::lists::items;
use crate::numbers::Figure;
use crate::sheet::{Cell, Head, Layers, Sheet, Table, Tile, said, text};
use crate::times;

/// The tabs of a promotion: the parameter, its name, and the route of the API that lists it.
const TABS: [(&str, &str, &str); 7] = [
    ("dashboard", "Dashboard", DASHBOARD),
    (
        "vouchers",
        "Vouchers",
        "/v1/marketplaces/{marketplace}/promotions/{id}/vouchers",
    ),
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

fn usage(told: &Value) -> Option<&str> {
    told["usage"].as_str()
}

/// Whether a promotion runs, in a word.
fn state(facts: &Value, row: &Value, now: Instant) -> &'static str {
    let at = |field: &str| {
        facts[field]
            .as_str()
            .and_then(|text| Instant::parse(text).ok())
    };
    let used_up = ["budget", "cap"]
        .iter()
        .any(|limit| usage(&row[*limit]).is_some_and(|usage| !usage.starts_with("0.")));
    match (at("starts_at"), at("ends_at")) {
        (Some(start), _) if now < start => "planned",
        (_, Some(end)) if end < now => "ended",
        _ if used_up => "used up",
        _ => "running",
    }
}

fn budget(frame: &Frame, row: &Value) -> Cell {
    let budget = &row["budget"];
    let currency = text(budget, "currency");
    let of = |field| frame.numbers.exact(&text(budget, field), &currency);
    frame.meter(usage(budget), [of("spent"), of("amount")])
}

fn cap(frame: &Frame, row: &Value) -> Cell {
    let cap = &row["cap"];
    frame.meter(
        usage(cap),
        [frame.count_in(cap, "used"), frame.count_in(cap, "limit")],
    )
}

/// The parameters that the API knows; a period and a channel are kept for other pages.
fn query_of(frame: &Frame) -> Vec<(&str, &str)> {
    let mut query = frame.address.pairs();
    query.retain(|(name, _)| !["from", "to", "channel"].contains(name));
    query
}

pub(crate) async fn all(api: Api, call: Call) -> Result<Response, Problem> {
    let frame = Frame::of(&api, &call, "Promotions", "/promotions").await?;
    let about = (Some(&frame.marketplace), &[][..]);
    let list: Value = api
        .says(&call, PROMOTIONS, about, &query_of(&frame))
        .await?;
    let waiting: Value = api
        .says(&call, QUARANTINE, about, &[("limit", "20")])
        .await?;
    let mut rows = Vec::new();
    for row in items(&list, "promotions") {
        let id = text(row, "promotion_id");
        let facts: Value = api
            .says(&call, PROMOTION, (about.0, &[("id", &id)]), &[])
            .await?;
        rows.push(vec![
            frame.link("/promotion", row, "promotion_id", "name"),
            said(row, "kind"),
            Cell::Text(state(&facts, row, call.now).to_owned()),
            frame.counted(row, "assigned"),
            frame.counted(row, "redeemed"),
            Cell::Figures(vec![frame.rate_in(row, "redemption_rate")]),
            budget(&frame, row),
            cap(&frame, row),
            Cell::Figures(frame.sums_in(&row["result"])),
            Cell::Figures(frame.sums_in(&row["worst_case"])),
        ]);
    }
    let mut sheet = Sheet::new(frame, "Promotions");
    let frame = &sheet.frame;
    let nothing = "No promotion fits, or there is none yet: PUT …/promotions/{id} makes one.";
    let mut table = Table {
        rows,
        ..Table::new(
            "promotions",
            "Figures show every record at once",
            heads(frame),
            nothing,
        )
        .paged(frame, &list)
    };
    let csv = query_of(frame)
        .iter()
        .fold(frame.to("/promotions.csv"), |csv, (name, value)| {
            csv.with(name, value)
        });
    let csv = csv.with("from", "").with("to", "").with("channel", "");
    table.export = PROMOTIONS_CSV
        .allows(call.caller()?.role)
        .then(|| csv.href());
    let value = |name: &str| frame.address.get(name).unwrap_or_default().to_owned();
    let kinds = ["global", "tiered", "personalised"].map(|kind| (kind.to_owned(), kind.to_owned()));
    let field = |name, label, choices| Field {
        name,
        label,
        value: value(name),
        choices,
    };
    sheet.fields = vec![
        field("name", "Name holds", Vec::new()),
        field("kind", "Kind", kinds.into()),
        field("segment", "Segment", Vec::new()),
        field("tier", "Tier", Vec::new()),
    ];
    let row = |one: &Value| {
        let reason = Cell::Text(text(one, "reason").replace('_', " "));
        let [promotion, kind, id, customer] =
            ["promotion_id", "kind", "id", "customer_id"].map(|field| said(one, field));
        vec![
            promotion,
            kind,
            id,
            customer,
            frame.time_in(one, "arrived_at"),
            reason,
        ]
    };
    let waiting_rows = items(&waiting, "items").map(row).collect();
    let heads = [
        "Promotion",
        "Kind",
        "Id",
        "Customer",
        "Came",
        "Why it waits",
    ]
    .map(Head::text);
    let nothing = "Nothing waits. Records of a promotion that is not there yet would wait here until it is made.";
    let quarantine = Table {
        rows: waiting_rows,
        ..Table::new(
            "quarantine",
            "In quarantine, up to 20",
            heads.into(),
            nothing,
        )
    };
    sheet.tables = vec![table, quarantine];
    sheet.notes = vec!["The rate is the share of assigned offers that were redeemed; a dash says that nothing was redeemed yet, or that nothing is assigned. Result = orders of the redemptions − rewards; worst case = what open limits could still cost.".to_owned()];
    answer::page(StatusCode::OK, &call.headers, &sheet)
}

fn heads(frame: &Frame) -> Vec<Head> {
    let sorted = frame
        .address
        .get("sort")
        .unwrap_or("promotion_id")
        .to_owned();
    let head = |(name, label, is_number): (&str, &'static str, bool)| {
        let descending = format!("-{name}");
        let (way, next) = match &sorted {
            given if given == name => ("ascending", descending),
            given if *given == descending => ("descending", name.to_owned()),
            _ if is_number => ("", descending),
            _ => ("", name.to_owned()),
        };
        let href = if name.is_empty() {
            String::new()
        } else {
            frame.address.with("sort", &next).href()
        };
        Head {
            label,
            is_number,
            href,
            sorted: if name.is_empty() { "" } else { way },
        }
    };
    [
        ("name", "Promotion", false),
        ("kind", "Kind", false),
        ("", "State", false),
        ("assigned", "Assigned", true),
        ("redeemed", "Redeemed", true),
        ("redemption_rate", "Rate", true),
        ("budget", "Budget", true),
        ("cap", "Cap", true),
        ("result", "Result", true),
        ("worst_case", "Worst case", true),
    ]
    .map(head)
    .into()
}

pub(crate) async fn one(api: Api, call: Call) -> Result<Response, Problem> {
    let mut query = call.query();
    for known in ["from", "to", "channel", "cursor", "limit"] {
        query.text(known);
    }
    let (id, tab) = (
        query.text("id").unwrap_or_default().to_owned(),
        query.text("tab").unwrap_or("dashboard"),
    );
    query.done()?;
    let known = TABS.iter().find(|(name, _, _)| *name == tab);
    let (tab, label, asked) =
        *known.ok_or_else(|| Problem::not_found(format!("a promotion has no tab {tab:?}")))?;
    let mut frame = Frame::of(&api, &call, &id, "/promotion").await?;
    let about = (Some(&frame.marketplace), &[("id", id.as_str())][..]);
    let board: Value = api.says(&call, DASHBOARD, about, &[]).await?;
    let list: Option<Value> = match tab {
        "dashboard" => None,
        _ => {
            let query = frame.address.only(&["cursor", "limit"]);
            Some(api.says(&call, asked, about, &query).await?)
        }
    };
    let facts = &board["promotion"];
    let name = text(facts, "name");
    frame.title.clone_from(&name);
    let mut sheet = Sheet::new(frame, name);
    let frame = &sheet.frame;
    sheet.tabs = TABS
        .iter()
        .map(|(of, label, _)| Link {
            href: frame
                .to("/promotion")
                .with("id", &id)
                .with("tab", of)
                .href(),
            label: format!("{label}{}", counted(frame, &board, of)),
            current: *of == tab,
        })
        .collect();
    sheet.sub = about_it(frame, facts, &board, call.now);
    match list {
        Some(list) => sheet.tables = vec![listed(frame, tab, label, &list)],
        None => {
            (sheet.tiles, sheet.layers, sheet.tables) = (
                tiles(frame, &board),
                by_day(frame, &board),
                breakdowns(frame, &board),
            );
        }
    }
    answer::page(StatusCode::OK, &call.headers, &sheet)
}

/// How many entries a tab has, where the dashboard says it.
fn counted(frame: &Frame, board: &Value, tab: &str) -> String {
    let sum = |told: &Value, names: &[&str]| {
        names
            .iter()
            .filter_map(|name| told[*name].as_i64())
            .sum::<i64>()
    };
    let n = match tab {
        "vouchers" => board["vouchers"].as_i64(),
        "publications" => Some(sum(&board["publications"], &["success", "failure"])),
        "redemptions" => Some(
            items(&board["breakdown"], "result")
                .filter_map(|one| one["redemptions"].as_i64())
                .sum(),
        ),
        _ => None,
    };
    n.map_or(String::new(), |n| {
        format!(" {}", frame.numbers.count(n).text())
    })
}

/// What a promotion is, in sentences.
fn about_it(frame: &Frame, facts: &Value, board: &Value, now: Instant) -> Vec<String> {
    let gives = match text(facts, "type").as_str() {
        "" => String::new(),
        kind => format!(
            ", {} {} {}",
            kind,
            text(facts, "value"),
            text(facts, "currency")
        ),
    };
    let when = |field: &str| match frame.time_in(facts, field) {
        Cell::Time(at) => at.shown,
        _ => "open".to_owned(),
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
            "{}: {} – {}",
            state(facts, board, now),
            when("starts_at"),
            when("ends_at")
        ),
    ];
    lines.extend(Some(text(facts, "description")).filter(|text| !text.is_empty()));
    lines
}

fn tiles(frame: &Frame, board: &Value) -> Vec<Tile> {
    let tile = |label: &str, figures, about: String| Tile {
        label: label.to_owned(),
        about,
        figures,
    };
    let count = |told: &Value, field| frame.count_in(told, field);
    let limit = |told: &Value, figures: [Figure; 2]| match told.is_null() {
        true => (vec![Figure::default()], "no limit".to_owned()),
        false => (
            vec![frame.rate_in(told, "usage")],
            format!("{} of {}", figures[0].text(), figures[1].text()),
        ),
    };
    let money = |field| {
        frame.numbers.exact(
            &text(&board["budget"], field),
            &text(&board["budget"], "currency"),
        )
    };
    let (budget, of_budget) = limit(&board["budget"], [money("spent"), money("amount")]);
    let (cap, of_cap) = limit(
        &board["cap"],
        [count(&board["cap"], "used"), count(&board["cap"], "limit")],
    );
    let failed = |told: &Value, field| format!("{} failed", count(told, field).text());
    vec![
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
            vec![count(board, "redemptions")],
            "successes, repeats too".to_owned(),
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
        tile("Vouchers", vec![count(board, "vouchers")], String::new()),
        tile(
            "Publications",
            vec![count(&board["publications"], "success")],
            failed(&board["publications"], "failure"),
        ),
        tile(
            "Messages delivered",
            vec![count(&board["messages"], "delivered")],
            failed(&board["messages"], "failed"),
        ),
    ]
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
    Some(Layers {
        heading: "Redemptions by day".to_owned(),
        names: ["succeeded", "failed"],
        areas: Areas::new(&points, |n| frame.numbers.exact(n, "")),
    })
}

fn breakdowns(frame: &Frame, board: &Value) -> Vec<Table> {
    let parts = |id, heading: &str, of: &str| {
        let row = |one: &Value| {
            let key = match text(one, "key") {
                none if none.is_empty() => Cell::Text("none".to_owned()),
                key => Cell::Text(key),
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
        Table {
            rows,
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
        Table {
            rows,
            ..Table::new(
                id,
                heading,
                vec![Head::text("Part"), Head::number("Redeemed")],
                "Nothing was redeemed.",
            )
        }
    };
    let day = |one: &Value| {
        vec![
            Cell::Text(times::day(&text(one, "date"), true)),
            frame.counted(one, "success"),
            frame.counted(one, "failure"),
        ]
    };
    let days = items(board, "redemptions_by_day").map(day).collect();
    let mut heads = vec![Head::text("Day")];
    heads.extend(["Succeeded", "Failed"].map(Head::number));
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
            rows: days,
            ..Table::new(
                "days",
                "Redemptions by day",
                heads,
                "Nothing was redeemed yet.",
            )
        },
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
    Table {
        rows,
        ..Table::new(
            "entries",
            label,
            heads.collect(),
            "There is nothing in it yet.",
        )
        .paged(frame, list)
    }
}
