//! Yespo's activity webhook: batches, not signed. Times have no offset and are the marketplace's, unless settings name a zone.

use revtrail_core::attribution::event::EventKind::{
    Bounced, Clicked, Complained, Delivered, Failed, Opened, Sent, Unsubscribed,
};

use super::{Reads, Sender, no_trial};
use crate::proof::Scheme;
use crate::row::Meaning::{Is, Nothing};
use crate::row::{MAIL, Row};

pub(crate) const SENDER: Sender = Sender {
    name: "yespo",
    in_settings: "yespo",
    proof: Scheme::Unsigned,
    is_trial: no_trial,
    reads: Reads::Events(&Row {
        kind: "activityStatus/mediaType",
        kinds: &[
            ("SENT", Is(Sent)),
            ("DELIVERED", Is(Delivered)),
            ("UNDELIVERED/email", Is(Bounced)),
            ("UNDELIVERED", Is(Failed)),
            ("READ", Is(Opened)),
            ("CLICKED", Is(Clicked)),
            ("UNSUBSCRIBED", Is(Unsubscribed)),
            ("SPAM", Is(Complained)),
            ("SUBSCRIPTION_CHANGED", Nothing),
        ],
        at: "activityDateTime",
        zone: None,
        channel: "mediaType",
        channels: &[
            ("email", "email"),
            ("sms", "sms"),
            ("mobilepush", "push"),
            ("webpush", "push"),
        ],
        campaign: "broadcastId|workflowId|messageId",
        customer: "externalCustomerId",
        phone: "sms",
        message_id: "iid",
        url: "clickEventLink",
        tags: "messageTag",
        ..MAIL
    }),
};
