//! Unisender Go: events grouped by user, or one event. The hash in the body proves it.

use revtrail_core::attribution::event::EventKind::{
    Bounced, Clicked, Complained, Delivered, Opened, Sent, Unsubscribed,
};

use super::{Reads, Sender, no_trial};
use crate::proof::Scheme;
use crate::row::Meaning::{Is, Nothing};
use crate::row::{List, MAIL, Row};

pub(crate) const SENDER: Sender = Sender {
    name: "unisender_go",
    in_settings: "unisender_go",
    proof: Scheme::UnisenderGo,
    is_trial: no_trial,
    reads: Reads::Events(&Row {
        list: List::At("events_by_user.events.event_data|"),
        kind: "status",
        kinds: &[
            ("sent", Is(Sent)),
            ("delivered", Is(Delivered)),
            ("soft_bounced", Is(Bounced)),
            ("hard_bounced", Is(Bounced)),
            ("opened", Is(Opened)),
            ("clicked", Is(Clicked)),
            ("unsubscribed", Is(Unsubscribed)),
            ("subscribed", Nothing),
            ("spam", Is(Complained)),
        ],
        at: "event_time",
        campaign: "metadata.campaign_id|metadata.campaign|campaign_id|tags.0",
        message_id: "metadata.anymail_id|metadata.message_id|job_id",
        metadata: "metadata",
        tags: "tags",
        ..MAIL
    }),
};
