//! Resend: one event a post, signed by Standard Webhooks, whose id names the event. Of several recipients it does not say whose the
//! event is: it is counted for the first.

use revtrail_core::attribution::event::EventKind::{
    Bounced, Clicked, Complained, Delivered, Opened, Sent,
};

use super::{Reads, Sender, no_trial};
use crate::proof::Scheme;
use crate::row::Meaning::{Is, Nothing};
use crate::row::{MAIL, Row};

pub(crate) const SENDER: Sender = Sender {
    name: "resend",
    in_settings: "resend",
    proof: Scheme::StandardWebhooks,
    is_trial: no_trial,
    reads: Reads::Events(&Row {
        id: "@svix-id|@webhook-id",
        kind: "type",
        kinds: &[
            ("email.scheduled", Nothing),
            ("email.received", Nothing),
            ("email.delivery_delayed", Nothing),
            ("email.sent", Is(Sent)),
            ("email.delivered", Is(Delivered)),
            ("email.bounced", Is(Bounced)),
            ("email.failed", Is(Bounced)),
            ("email.suppressed", Is(Bounced)),
            ("email.complained", Is(Complained)),
            ("email.opened", Is(Opened)),
            ("email.clicked", Is(Clicked)),
        ],
        at: "created_at|data.created_at",
        campaign: "metadata.campaign_id|metadata.campaign|data.broadcast_id|tags.0",
        email: "data.to",
        message_id: "data.email_id",
        url: "data.click.link",
        metadata: "data.tags|data.headers.X-Metadata",
        tags: "data.headers.X-Tags",
        ..MAIL
    }),
};
