//! What the routes of campaigns and their reports are, for their readers.

use revtrail_core::figures::report::CampaignRow;
use revtrail_web::openapi::Doc;
use revtrail_web::openapi::schema::{
    Field, amount, by_currency, channel, count, currency, day, event_kind, field, flag,
    free_object, id, instant, list, named, next_cursor, nullable, object, one_of, only, rate,
    share, sometimes, sums, text,
};
use serde_json::Value;

use super::{freshness, period_parameters, with_revenue};

pub(super) fn operations() -> Vec<(&'static str, Doc)> {
    let of_channel = || sometimes("channel", channel()).says("Only the part of this channel.");
    let days = "Adds the balance of each day, and the first seven days of each row that was sent since a week before the period.";
    let with_purchases = object(
        [field("purchases", list(named("Purchase"))), next_cursor()]
            .into_iter()
            .chain(freshness()),
    );
    vec![
        (
            "GET M/campaigns/{id}",
            Doc::new(
                "getCampaign",
                "Campaigns",
                "Shows what people say of a campaign",
            )
            .answer(200, "The campaign.", named("Campaign"))
            .tagged(),
        ),
        (
            "GET M/reports/campaigns",
            Doc::new(
                "getCampaignReport",
                "Reports",
                "Reports what campaigns brought in",
            )
            .queries(period_parameters())
            .query(of_channel())
            .query(sometimes("tag", text()).says("Only campaigns that carry the tag."))
            .query(
                sometimes("name", text())
                    .says("Only campaigns whose name holds the text, in any case."),
            )
            .query(sort(&CampaignRow::COLUMNS))
            .query(
                sometimes("compare", only("previous"))
                    .says("Adds the period of the same length just before."),
            )
            .query(sometimes("days", flag()).says(days))
            .query(with_revenue())
            .answer(200, "The report.", named("CampaignReport"))
            .csv()
            .link("getReportOfCampaign", "id", "/campaigns/0/campaign_id")
            .link("listPurchases", "id", "/campaigns/0/campaign_id"),
        ),
        (
            "GET M/reports/campaigns/{id}",
            Doc::new(
                "getReportOfCampaign",
                "Reports",
                "Reports a campaign day by day",
            )
            .queries(period_parameters())
            .query(of_channel())
            .query(with_revenue())
            .answer(
                200,
                "The row of the campaign, and its days.",
                named("ReportOfCampaign"),
            )
            .csv(),
        ),
        (
            "GET M/reports/campaigns/{id}/rivals",
            Doc::new(
                "getRivals",
                "Reports",
                "Reports what a campaign took from others and lost to them",
            )
            .queries(period_parameters())
            .query(of_channel())
            .answer(
                200,
                "The other campaigns, those with the most orders first.",
                rivals(),
            ),
        ),
        (
            "GET M/reports/campaigns/{id}/purchases",
            Doc::new(
                "listPurchases",
                "Reports",
                "Lists who bought because of a campaign",
            )
            .queries(period_parameters())
            .query(of_channel())
            .query(with_revenue())
            .answer(200, "The purchases, newest first.", with_purchases)
            .csv(),
        ),
    ]
}

/// The parameter that sorts by a column.
pub(super) fn sort(columns: &[&str]) -> Field {
    let both: Vec<String> = columns
        .iter()
        .flat_map(|column| [(*column).to_owned(), format!("-{column}")])
        .collect();
    let column = one_of(both.iter().map(String::as_str));
    sometimes("sort", column)
        .says("A column; `-` before it: the greatest first. Absent values come last.")
}

pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    vec![
        ("Campaign", campaign()),
        ("CampaignRow", object(row())),
        ("CampaignTotals", object(totals())),
        ("CampaignDay", object(day_row())),
        ("CampaignReport", report()),
        ("ReportOfCampaign", report_of_one()),
        ("Purchase", purchase()),
        (
            "DayBalance",
            object([field("date", day())].into_iter().chain(balance(field))),
        ),
    ]
}

fn campaign() -> Value {
    let redecided = object([
        field("orders_max", count()).says("The orders of these days: at most so many."),
        field("from", day()),
        field("to", day()),
    ]);
    object([
        field("campaign_id", id()),
        field("name", text()),
        field("tags", list(text())),
        field("sent_at", nullable(instant())),
        field("triggered", flag()),
        field("metadata", free_object()),
        sometimes("redecided", nullable(redecided))
            .says("Of a dry run: which orders would be decided again; null for none."),
    ])
}

fn engagement() -> [Field; 10] {
    [
        field("deliveries", count()).says("Messages delivered."),
        field("opens", count()).says("Opens, also repeated ones."),
        field("unique_opens", count()).says("Messages opened."),
        field("open_rate", rate()).says("Messages opened / delivered, e-mail and push."),
        field("bounces", count()).says("E-mails bounced."),
        field("bounce_rate", rate()).says("Of e-mails with any event."),
        field("clicks", count()).says("Clicks, also repeated ones."),
        field("unique_clicks", count()).says("Messages clicked."),
        field("unsubscribes", count()).says("Messages whose recipient unsubscribed."),
        field("complaints", count()).says("Messages whose recipient complained."),
    ]
}

/// What is left out where revenue is hidden.
fn sales() -> [Field; 9] {
    [
        sometimes("purchases", count()).says("Counted orders that are credited."),
        sometimes("purchasers", count()).says("Buyers."),
        sometimes("revenue", sums()).says("What the purchases brought in, by currency."),
        sometimes("refunded", sums()).says("Refunds of credited orders."),
        sometimes("average_check", by_currency(amount())).says("Revenue / purchases."),
        sometimes("purchase_to_open_rate", rate()).says("Purchases / unique opens."),
        sometimes("purchase_to_click_rate", rate()).says("Purchases / unique clicks."),
        sometimes("order_rate", rate()).says("Purchases / deliveries."),
        sometimes("revenue_per_delivery", by_currency(share())).says("Revenue / deliveries."),
    ]
}

fn row() -> impl Iterator<Item = Field> {
    let of_campaign = [
        field("campaign_id", id()),
        field("name", text()),
        field("tags", list(text())),
        field("channels", list(channel())),
        field("sent_at", nullable(instant())),
        field("excluded", flag()).says("Carries an excluded tag."),
        sometimes("sale_formula", text()).says("What a sale is, under the settings in force."),
    ];
    of_campaign.into_iter().chain(engagement()).chain(sales())
}

fn day_row() -> impl Iterator<Item = Field> {
    [field("date", day())]
        .into_iter()
        .chain(engagement())
        .chain(sales())
}

fn totals() -> impl Iterator<Item = Field> {
    let own = [
        field("campaigns", count()).says("Campaigns with a row."),
        sometimes("share", by_currency(share()))
            .says("Credited / counted revenue; no filter applies to it."),
    ];
    own.into_iter().chain(engagement()).chain(sales())
}

/// Counted orders are credited and uncredited ones.
fn balance(field: fn(&'static str, Value) -> Field) -> [Field; 3] {
    ["counted", "credited", "uncredited"].map(|name| field(name, named("PurchaseFigures")))
}

fn report() -> Value {
    let days = || {
        sometimes("days", list(named("DayBalance"))).says("With `days`: the balance of each day.")
    };
    let previous = object(
        [
            field("totals", named("CampaignTotals")),
            days(),
            field("period", named("Period")),
        ]
        .into_iter()
        .chain(balance(sometimes)),
    );
    let weeks = revtrail_web::openapi::schema::map_of(list(named("CampaignDay")));
    let own = [
        field("totals", named("CampaignTotals")).says("The sums over the rows of all pages."),
        field("campaigns", list(named("CampaignRow"))),
        field("sort_currency", nullable(currency())).says("Whose money the rows are sorted by."),
        field("estimate", flag()).says("Always true."),
        days(),
        sometimes("first_weeks", weeks)
            .says("With `days`: by campaign, the seven days from its send on."),
        sometimes("previous", nullable(previous))
            .says("With `compare`: null where that period is not seen any more."),
        next_cursor(),
    ];
    object(own.into_iter().chain(balance(sometimes)).chain(freshness()))
}

fn report_of_one() -> Value {
    let own = [
        field("days", list(named("CampaignDay"))),
        field("estimate", flag()).says("Always true."),
    ];
    object(row().chain(own).chain(freshness()))
}

fn rivals() -> Value {
    let row = || {
        object([
            field("campaign_id", id()),
            field("name", text()),
            sometimes("orders", count()),
            sometimes("revenue", sums()),
        ])
    };
    let own = [
        field("campaign_id", id()),
        field("taken_from", list(row())).says("Whose messages lost to this campaign."),
        field("lost_to", list(row())).says("To whom this campaign's messages lost."),
        field("orders", count()).says("Orders that were looked at."),
        field("orders_more", flag()).says("There are more than were looked at."),
        field("customers_left_out", count()).says("Customers with too many facts to be looked at."),
    ];
    object(own.into_iter().chain(freshness()))
}

fn purchase() -> Value {
    object([
        field("customer_id", id()),
        field("order_id", id()),
        field("placed_at", instant()),
        sometimes("amount", amount()),
        sometimes("currency", currency()),
        field("channel", nullable(channel())),
        field("message_id", nullable(id())),
        field("touch_kind", nullable(event_kind())),
        field("touch_at", nullable(instant())),
    ])
}
