//! MailerSend: one activity a post, signed by HMAC. `opened_unique` comes beside `opened` and adds nothing.

use revtrail_core::attribution::event::EventKind::{
    Bounced, Clicked, Complained, Delivered, Opened, Sent, Unsubscribed,
};

use super::{Reads, Sender, no_trial};
use crate::proof::{Scheme, Spelling};
use crate::row::Meaning::{Is, Nothing};
use crate::row::{MAIL, Row};

pub(crate) const SENDER: Sender = Sender {
    name: "mailersend",
    in_settings: "mailersend",
    proof: Scheme::Hmac {
        header: "signature",
        spelling: Spelling::Hex,
        over: "{body}",
        timestamp: None,
    },
    is_trial: no_trial,
    reads: Reads::Events(&Row {
        id: "data.id",
        kind: "data.type",
        kinds: &[
            ("queued", Nothing),
            ("deferred", Nothing),
            ("sent", Is(Sent)),
            ("delivered", Is(Delivered)),
            ("soft_bounced", Is(Bounced)),
            ("hard_bounced", Is(Bounced)),
            ("opened", Is(Opened)),
            ("opened_unique", Nothing),
            ("clicked", Is(Clicked)),
            ("clicked_unique", Nothing),
            ("unsubscribed", Is(Unsubscribed)),
            ("spam_complaint", Is(Complained)),
            ("survey_opened", Nothing),
            ("survey_submitted", Nothing),
        ],
        at: "data.created_at|created_at",
        campaign: "tags.0",
        email: "data.email.recipient.email",
        message_id: "data.email.message.id",
        url: "data.morph.url",
        tags: "data.email.tags",
        ..MAIL
    }),
};
