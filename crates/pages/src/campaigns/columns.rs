//! The columns of the table of campaigns.

use crate::frame::Frame;

/// A column of the table, and how the table is sorted by it.
pub(crate) struct Column {
    pub(crate) label: String,
    pub(crate) about: &'static str,
    pub(crate) href: String,
    pub(crate) sorted: &'static str,
    pub(crate) is_number: bool,
}

pub(super) fn columns(frame: &Frame, with_revenue: bool, unit: &str) -> Vec<Column> {
    let sorted = frame.address.get("sort").unwrap_or("-revenue").to_owned();
    let column = |(name, label, about): &(&'static str, &'static str, &'static str)| {
        let is_number = !["name", "channels"].contains(name);
        let descending = format!("-{name}");
        let way = match &sorted {
            given if *given == *name => "ascending",
            given if *given == descending => "descending",
            _ => "",
        };
        let next = match (way, is_number) {
            ("descending", _) | ("", false) => (*name).to_owned(),
            _ => descending,
        };
        let is_money =
            !unit.is_empty() && ["average_check", "revenue", "revenue_per_delivery"].contains(name);
        Column {
            label: match is_money {
                true => format!("{label}, {unit}"),
                false => (*label).to_owned(),
            },
            about,
            href: frame.address.with("sort", &next).href(),
            sorted: way,
            is_number,
        }
    };
    const ENGAGEMENT: [(&str, &str, &str); 8] = [
        ("name", "Campaign", "Its name, and its tags"),
        ("channels", "Channels", "The channels of its messages"),
        (
            "sent_at",
            "Sent",
            "When it was sent; a dash where it is sent to each customer at a time of its own",
        ),
        (
            "deliveries",
            "Delivered",
            "Messages delivered, on all channels",
        ),
        (
            "open_rate",
            "Open",
            "Messages opened / delivered, e-mail and push",
        ),
        ("bounce_rate", "Bounce", "E-mails returned / e-mails"),
        ("clicks", "Clicks", "All clicks, repeated ones too"),
        (
            "unsubscribes",
            "Unsubs.",
            "Messages whose recipient unsubscribed",
        ),
    ];
    const SALES: [(&str, &str, &str); 6] = [
        ("purchases", "Purchases", "Counted orders that it earned"),
        ("average_check", "Average", "Revenue / purchases"),
        (
            "revenue",
            "Revenue",
            "What its purchases brought: an estimate",
        ),
        (
            "revenue_per_delivery",
            "Per delivery",
            "Revenue / messages delivered",
        ),
        (
            "purchase_to_open_rate",
            "To open",
            "Purchases / messages opened",
        ),
        (
            "purchase_to_click_rate",
            "To click",
            "Purchases / messages clicked",
        ),
    ];
    let sales = SALES.iter().filter(|_| with_revenue);
    ENGAGEMENT.iter().chain(sales).map(column).collect()
}
