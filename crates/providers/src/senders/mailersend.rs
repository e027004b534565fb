//! MailerSend: one activity a post, signed by HMAC. `opened_unique` comes beside `opened` and adds nothing. In the second version of its
//! posts the address and the message are texts of the activity; in the first they are objects below `email`.

use revtrail_core::attribution::event::EventKind::{
    Bounced, Clicked, Complained, Delivered, Opened, Sent, Unsubscribed,
};

use super::{Reads, Sender};
use crate::node::Node;
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
    is_trial: is_ping,
    reads: Reads::Events(&Row {
        id: "data.id",
        kind: "data.type|type",
        kinds: &[
            ("queued", Nothing),
            ("deferred", Nothing),
            ("sent", Is(Sent)),
            ("delivered", Is(Delivered)),
            ("soft_bounced", Is(Bounced)),
            ("hard_bounced", Is(Bounced)),
            ("suppressed", Is(Bounced)),
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
        email: "data.email.recipient.email|data.email",
        message_id: "data.email.message.id|data.message_id",
        url: "data.morph.url|data.meta.url",
        tags: "data.email.tags|data.tags",
        ..MAIL
    }),
};

/// It tries an address before it saves it, signed with a key that everybody knows.
fn is_ping(body: &Node) -> bool {
    body.text_at("type").as_deref() == Some("webhook.test")
}
