//! SendGrid: the Event Webhook, signed by ECDSA. Custom arguments lie among the fields of an event.

use revtrail_core::attribution::event::EventKind::{
    Bounced, Clicked, Complained, Delivered, Opened, Unsubscribed,
};

use super::{Reads, Sender, no_trial};
use crate::proof::Scheme;
use crate::row::Meaning::{Is, Nothing};
use crate::row::{MAIL, Row};

pub(crate) const SENDER: Sender = Sender {
    name: "sendgrid",
    in_settings: "sendgrid",
    proof: Scheme::SendGrid,
    is_trial: no_trial,
    reads: Reads::Events(&Row {
        id: "sg_event_id",
        kinds: &[
            ("processed", Nothing),
            ("deferred", Nothing),
            ("delivered", Is(Delivered)),
            ("dropped", Is(Bounced)),
            ("bounce", Is(Bounced)),
            ("blocked", Is(Bounced)),
            ("open", Is(Opened)),
            ("click", Is(Clicked)),
            ("spamreport", Is(Complained)),
            ("unsubscribe", Is(Unsubscribed)),
            ("group_unsubscribe", Is(Unsubscribed)),
            ("group_resubscribe", Nothing),
        ],
        campaign: "campaign_id|campaign|marketing_campaign_id|singlesend_id|mc_auto_id|category",
        // Opens and clicks have no smtp-id: whoever wants one message of all its events sets an argument of their own.
        message_id: "anymail_id|message_id|smtp-id|sg_message_id",
        machine: &[("sg_machine_open", "true")],
        metadata: ".",
        tags: "category",
        ..MAIL
    }),
};
