//! Postmark: one event a post, not signed. What kind it is, `RecordType` and for bounces `Type` say.

use revtrail_core::attribution::event::EventKind::{
    Bounced, Clicked, Complained, Delivered, Opened, Unsubscribed,
};

use super::{Reads, Sender, no_trial};
use crate::proof::Scheme;
use crate::row::Meaning::{Is, Nothing};
use crate::row::{MAIL, Row};

pub(crate) const SENDER: Sender = Sender {
    name: "postmark",
    in_settings: "postmark",
    proof: Scheme::Unsigned,
    is_trial: no_trial,
    reads: Reads::Events(&Row {
        kind: "RecordType/Type|SuppressSending/SuppressionReason",
        kinds: &[
            ("Delivery", Is(Delivered)),
            ("Open", Is(Opened)),
            ("Click", Is(Clicked)),
            ("SpamComplaint", Is(Complained)),
            // These are tried again, or tell nothing of the message.
            ("Bounce/Transient", Nothing),
            ("Bounce/DnsError", Nothing),
            ("Bounce/OpenRelayTest", Nothing),
            ("Bounce/AutoResponder", Nothing),
            ("Bounce/ChallengeVerification", Nothing),
            ("Bounce/AddressChange", Nothing),
            ("Bounce/Subscribe", Nothing),
            ("Bounce/InboundError", Nothing),
            ("Bounce/Unsubscribe", Is(Unsubscribed)),
            ("Bounce/SpamNotification", Is(Complained)),
            ("Bounce/SpamComplaint", Is(Complained)),
            ("Bounce", Is(Bounced)),
            ("SubscriptionChange/true/HardBounce", Is(Bounced)),
            ("SubscriptionChange/true/SpamComplaint", Is(Complained)),
            ("SubscriptionChange/true", Is(Unsubscribed)),
            ("SubscriptionChange", Nothing),
            ("Inbound", Nothing),
        ],
        at: "DeliveredAt|BouncedAt|ReceivedAt|ChangedAt",
        campaign: "metadata.campaign_id|metadata.campaign|tags.0",
        email: "Recipient|Email",
        message_id: "MessageID",
        url: "OriginalLink",
        metadata: "Metadata",
        tags: "Tag",
        ..MAIL
    }),
};
