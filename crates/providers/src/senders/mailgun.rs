//! Mailgun: JSON with `event-data`, and the older forms. The signature is in the body, over a time and a token.

use revtrail_core::attribution::event::EventKind::{
    Bounced, Clicked, Complained, Delivered, Opened, Unsubscribed,
};

use super::{Reads, Sender, no_trial};
use crate::proof::Scheme;
use crate::row::Meaning::{Is, Nothing};
use crate::row::{List, MAIL, Row};

pub(crate) const SENDER: Sender = Sender {
    name: "mailgun",
    in_settings: "mailgun",
    proof: Scheme::Mailgun,
    is_trial: no_trial,
    reads: Reads::Events(&Row {
        list: List::At("event-data|"),
        id: "id|token",
        kind: "event/severity",
        kinds: &[
            ("accepted", Nothing),
            ("stored", Nothing),
            ("delivered", Is(Delivered)),
            ("failed/temporary", Nothing),
            ("failed", Is(Bounced)),
            ("rejected", Is(Bounced)),
            ("bounced", Is(Bounced)),
            ("dropped", Is(Bounced)),
            ("opened", Is(Opened)),
            ("clicked", Is(Clicked)),
            ("complained", Is(Complained)),
            ("unsubscribed", Is(Unsubscribed)),
        ],
        campaign: "metadata.campaign_id|metadata.campaign|campaigns.0.id|campaign-id|tags.0",
        email: "recipient|envelope.targets|message.headers.to",
        message_id: "message.headers.message-id|Message-Id|message-id",
        brackets: true,
        // `apple` and `gmail` are proxies of mailboxes, `generic` is a scanner.
        machine: &[("client-info.bot", "*")],
        metadata: "user-variables|.",
        tags: "tags|tag|X-Mailgun-Tag",
        ..MAIL
    }),
};
