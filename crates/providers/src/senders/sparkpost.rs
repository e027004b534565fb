//! SparkPost: batches, not signed. An open of the pixel above the text and one of that below it are the same open, so events are named
//! by what happened and not by their own ids.

use revtrail_core::attribution::event::EventKind::{
    Bounced, Clicked, Complained, Delivered, Opened, Unsubscribed,
};

use super::{Reads, Sender, no_trial};
use crate::proof::Scheme;
use crate::row::Meaning::{Is, Nothing};
use crate::row::{List, MAIL, Row};

pub(crate) const SENDER: Sender = Sender {
    name: "sparkpost",
    in_settings: "sparkpost",
    proof: Scheme::Unsigned,
    is_trial: no_trial,
    reads: Reads::Events(&Row {
        list: List::At("msys.*"),
        kind: "type/bounce_class",
        kinds: &[
            ("injection", Nothing),
            ("delivery", Is(Delivered)),
            ("delay", Nothing),
            // The classes of answers that are no bounces: an absence, a wish to be (un)subscribed, a question.
            ("bounce/60", Nothing),
            ("bounce/80", Nothing),
            ("bounce/90", Is(Unsubscribed)),
            ("bounce/100", Nothing),
            ("bounce", Is(Bounced)),
            ("out_of_band/60", Nothing),
            ("out_of_band/80", Nothing),
            ("out_of_band/90", Is(Unsubscribed)),
            ("out_of_band/100", Nothing),
            ("out_of_band", Is(Bounced)),
            ("policy_rejection", Is(Bounced)),
            ("generation_failure", Is(Bounced)),
            ("generation_rejection", Is(Bounced)),
            ("spam_complaint", Is(Complained)),
            ("open", Is(Opened)),
            ("initial_open", Is(Opened)),
            ("amp_open", Is(Opened)),
            ("amp_initial_open", Is(Opened)),
            ("click", Is(Clicked)),
            ("amp_click", Is(Clicked)),
            ("list_unsubscribe", Is(Unsubscribed)),
            ("link_unsubscribe", Is(Unsubscribed)),
        ],
        campaign: "metadata.campaign_id|metadata.campaign|campaign_id|tags.0",
        email: "raw_rcpt_to|rcpt_to",
        message_id: "transmission_id",
        url: "target_link_url",
        machine: &[("user_agent_parsed.is_prefetched", "true")],
        metadata: "rcpt_meta",
        tags: "rcpt_tags",
        ..MAIL
    }),
};
