//! Brevo: one event a post, or a batch, not signed. Its `id` names the webhook and not the event; `unique_…` comes beside the plain
//! kind, so the two have one id here.

use revtrail_core::attribution::event::EventKind::{
    Bounced, Clicked, Complained, Delivered, Opened, Unsubscribed,
};

use super::{Reads, Sender, no_trial};
use crate::proof::Scheme;
use crate::row::Meaning::{Is, Machine, Nothing};
use crate::row::{MAIL, Row};

pub(crate) const SENDER: Sender = Sender {
    name: "brevo",
    in_settings: "brevo",
    proof: Scheme::Unsigned,
    is_trial: no_trial,
    reads: Reads::Events(&Row {
        kinds: &[
            // It is reported before the mail is sent, also where it is then blocked.
            ("request", Nothing),
            ("deferred", Nothing),
            ("delivered", Is(Delivered)),
            ("hard_bounce", Is(Bounced)),
            ("soft_bounce", Is(Bounced)),
            ("hardbounce", Is(Bounced)),
            ("softbounce", Is(Bounced)),
            ("blocked", Is(Bounced)),
            ("invalid_email", Is(Bounced)),
            ("invalid", Is(Bounced)),
            ("error", Is(Bounced)),
            ("spam", Is(Complained)),
            ("complaint", Is(Complained)),
            ("opened", Is(Opened)),
            ("unique_opened", Is(Opened)),
            ("uniqueopened", Is(Opened)),
            ("proxy_open", Machine(Opened)),
            ("proxyopen", Machine(Opened)),
            ("unique_proxy_open", Machine(Opened)),
            ("uniqueproxyopen", Machine(Opened)),
            ("click", Is(Clicked)),
            ("unsubscribe", Is(Unsubscribed)),
            ("unsubscribed", Is(Unsubscribed)),
            ("list_addition", Nothing),
            ("contact_updated", Nothing),
            ("contact_deleted", Nothing),
        ],
        at: "ts_epoch|s_epoch|ts_event|ts",
        campaign: "metadata.campaign_id|metadata.campaign|camp_id|tags.0|template_id",
        message_id: "message-id",
        url: "link|URL",
        metadata: "X-Mailin-custom",
        tags: "tags|tag",
        ..MAIL
    }),
};
