//! Mailjet: one event a post, or a batch, not signed. `sent` says that the recipient's server took the mail.

use revtrail_core::attribution::event::EventKind::{
    Bounced, Clicked, Complained, Delivered, Opened, Unsubscribed,
};

use super::{Reads, Sender, no_trial};
use crate::proof::Scheme;
use crate::row::Meaning::{Is, Nothing};
use crate::row::{MAIL, Row};

pub(crate) const SENDER: Sender = Sender {
    name: "mailjet",
    in_settings: "mailjet",
    proof: Scheme::Unsigned,
    is_trial: no_trial,
    reads: Reads::Events(&Row {
        kind: "event/error",
        kinds: &[
            ("sent", Is(Delivered)),
            ("open", Is(Opened)),
            ("click", Is(Clicked)),
            ("bounce/greylisted", Nothing),
            ("bounce", Is(Bounced)),
            ("blocked/greylisted", Nothing),
            ("blocked", Is(Bounced)),
            ("spam", Is(Complained)),
            ("unsub", Is(Unsubscribed)),
        ],
        at: "time",
        campaign: "metadata.campaign_id|metadata.campaign|customcampaign|mj_campaign_id",
        message_id: "MessageID",
        metadata: "Payload",
        tags: "customcampaign",
        ..MAIL
    }),
};
