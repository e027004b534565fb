//! Mailtrap: batches, signed by HMAC. A soft bounce is tried again.

use revtrail_core::attribution::event::EventKind::{
    Bounced, Clicked, Complained, Delivered, Opened, Unsubscribed,
};

use super::{Reads, Sender, no_trial};
use crate::proof::{Scheme, Spelling};
use crate::row::Meaning::{Is, Nothing};
use crate::row::{List, MAIL, Row};

pub(crate) const SENDER: Sender = Sender {
    name: "mailtrap",
    in_settings: "mailtrap",
    proof: Scheme::Hmac {
        header: "mailtrap-signature",
        spelling: Spelling::Hex,
        over: "{body}",
        timestamp: None,
    },
    is_trial: no_trial,
    reads: Reads::Events(&Row {
        list: List::At("events|"),
        id: "event_id",
        kinds: &[
            ("delivery", Is(Delivered)),
            ("soft bounce", Nothing),
            ("suspension", Nothing),
            ("bounce", Is(Bounced)),
            ("reject", Is(Bounced)),
            ("open", Is(Opened)),
            ("click", Is(Clicked)),
            ("unsubscribe", Is(Unsubscribed)),
            ("spam", Is(Complained)),
            ("spam complaint", Is(Complained)),
        ],
        campaign: "metadata.campaign_id|metadata.campaign|category",
        metadata: "custom_variables",
        tags: "category",
        ..MAIL
    }),
};
