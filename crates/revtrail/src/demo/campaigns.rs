//! The campaigns of the sample.

use revtrail_core::attribution::campaign::Campaign;
use revtrail_core::attribution::event::Channel::{self, Email, Push, Sms};
use revtrail_core::value::id::CampaignId;
use revtrail_core::value::time::Instant;
use revtrail_store::StoreError;
use revtrail_store::market::Market;

use super::{DAYS, refused};

/// The name, channel and tags of a campaign, how many days ago it was sent, its share of customers in percent, and if it is
/// triggered.
type Planned = (
    &'static str,
    Channel,
    &'static [&'static str],
    i64,
    u64,
    bool,
);

pub(super) const ALL: [Planned; 20] = [
    (
        "late-summer-newsletter",
        Email,
        &["newsletter"],
        86,
        60,
        false,
    ),
    ("back-to-school", Push, &["seasonal"], 80, 25, false),
    ("harvest-sale", Email, &["seasonal", "sale"], 75, 55, false),
    ("office-lunch-sms", Sms, &["lunch"], 69, 16, false),
    (
        "september-newsletter",
        Email,
        &["newsletter"],
        62,
        60,
        false,
    ),
    ("apple-week", Push, &["seasonal"], 56, 24, false),
    ("supper-club", Email, &["sale"], 50, 40, false),
    ("october-newsletter", Email, &["newsletter"], 45, 60, false),
    ("payday-sms", Sms, &["sale"], 40, 18, false),
    ("autumn-newsletter", Email, &["newsletter"], 34, 60, false),
    ("pumpkin-week", Push, &["seasonal"], 29, 25, false),
    (
        "halloween-sale",
        Email,
        &["seasonal", "sale"],
        25,
        55,
        false,
    ),
    ("lunch-sms", Sms, &["lunch"], 20, 18, false),
    ("november-newsletter", Email, &["newsletter"], 17, 60, false),
    ("free-delivery-weekend", Push, &["sale"], 12, 30, false),
    ("winter-warmers", Email, &["seasonal"], 9, 50, false),
    ("flash-sms", Sms, &["sale"], 5, 20, false),
    ("pre-black-friday", Email, &["sale"], 3, 55, false),
    ("welcome", Email, &["lifecycle"], DAYS, 14, true),
    ("order-confirmation", Email, &["technical"], DAYS, 0, true),
];

/// States what people say of the campaigns.
pub(super) async fn load(market: &Market, now: Instant) -> Result<(), StoreError> {
    for (name, _, tags, _, _, triggered) in ALL {
        let mut campaign = Campaign::named_by_id(CampaignId::new(name).map_err(refused)?);
        campaign.name = name.replace('-', " ");
        campaign.tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        campaign.triggered = triggered;
        market.campaigns().put_campaign(&campaign, now).await?;
    }
    Ok(())
}
