//! The senders of the sample: a mail tool that names addresses instead of customers, and what each of three posted last.

use revtrail_core::attribution::event::{Channel, Event};
use revtrail_core::value::address::AddressHash;
use revtrail_core::value::id::MarketplaceId;
use revtrail_core::value::time::{HOUR_MS, Instant};
use revtrail_store::StoreError;
use revtrail_store::ledger::intake::IntakeMarker;
use revtrail_store::market::Market;
use revtrail_store::market::senders::{LastPost, PostedLast};

/// The campaign that was sent by a tool that knows no customers.
const BY_ADDRESS: &str = "november-newsletter";

/// Lets some of the customers of a campaign be known by their address only.
pub(super) fn by_address(events: &mut [Event], marketplace: &MarketplaceId) {
    for event in events {
        let named = event.recipient.customer().filter(|id| {
            event.campaign_id.as_str() == BY_ADDRESS
                && event.channel == Channel::Email
                && id.as_str().ends_with('3')
        });
        let address =
            named.and_then(|id| AddressHash::of_email(marketplace, &format!("{id}@example.com")));
        if let Some(address) = address {
            event.recipient = address.into();
        }
    }
}

/// Remembers posts, and what of them means nothing here.
pub(super) async fn load(market: &Market, now: Instant) -> Result<(), StoreError> {
    let post = |accepted, ignored: &[(&str, i64)]| LastPost {
        accepted,
        ignored: ignored
            .iter()
            .map(|(word, n)| ((*word).to_owned(), *n))
            .collect(),
        ..LastPost::default()
    };
    let sendgrid = LastPost {
        shape: Some(
            r#"[{"campaign":text,"email":text,"event":text,"sg_event_id":text,"timestamp":number}]"#.to_owned(),
        ),
        ..post(41, &[("processed", 12)])
    };
    let refused = LastPost {
        refused: Some("bad_signature".to_owned()),
        ..LastPost::default()
    };
    for (sender, hours, post) in [
        ("sendgrid", 1, sendgrid),
        ("shopify", 2, post(1, &[])),
        ("resend", 30, refused),
    ] {
        let at = now.minus_ms(hours * HOUR_MS);
        let sender = sender.to_owned();
        market
            .senders()
            .remember(&PostedLast { sender, at, post })
            .await?;
    }
    let ignored = [("sendgrid processed", 1_204), ("sendgrid deferred", 31)];
    let ignored = ignored.map(|(word, n)| (word.to_owned(), n)).into();
    let none = Default::default();
    match IntakeMarker::of_counts(none, none, ignored, [].into(), now) {
        Some(marker) => market.intake().put_marker(&marker).await,
        None => Ok(()),
    }
}
