//! Brevo: one event a post, or a batch, not signed. Its `id` names the webhook and not the event; `unique_…` comes beside the plain
//! kind, so the two have one id here. An SMS has `msg_status` in the place of `event`.

use revtrail_core::attribution::event::EventKind::{
    Bounced, Clicked, Complained, Delivered, Failed, Opened, Sent, Unsubscribed,
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
        kind: "event/msg_status",
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
            ("reply", Nothing),
            ("list_addition", Nothing),
            ("contact_updated", Nothing),
            ("contact_deleted", Nothing),
            ("/sent", Is(Sent)),
            ("/accepted", Nothing),
            ("/delivered", Is(Delivered)),
            ("/replied", Nothing),
            ("/soft_bounce", Is(Failed)),
            ("/hard_bounce", Is(Failed)),
            ("/rejected", Is(Failed)),
            ("/blacklisted", Is(Failed)),
            ("/skip", Is(Failed)),
            ("/unsubscribe", Is(Unsubscribed)),
        ],
        at: "ts_epoch|s_epoch|ts_event|ts",
        channel: "msg_status",
        channels: &[("", "email"), ("*", "sms")],
        campaign: "metadata.campaign_id|metadata.campaign|camp_id|tags.0|template_id",
        phone: "to",
        message_id: "message-id|messageId",
        url: "link|URL",
        metadata: "X-Mailin-custom",
        tags: "tags|tag",
        ..MAIL
    }),
};
