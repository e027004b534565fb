//! What a person needs to know to connect a sender: where its address is pasted, and a mapping to begin with. `docs/senders.md` says more.

/// How a sender is connected.
pub(super) struct Guide {
    pub(super) sender: &'static str,
    /// What people call it; empty for a sender of one's own.
    pub(super) name: &'static str,
    /// What it sends.
    pub(super) kind: &'static str,
    /// Where the address is pasted.
    pub(super) paste: &'static str,
    /// What proves its posts.
    pub(super) proof: &'static str,
    /// A mapping to begin with, as JSON.
    pub(super) example: &'static str,
}

const MAIL: &str = "mail";
const SHOP: &str = "orders";
const NO_PROOF: &str = "It does not sign its posts: the key in the address is the proof.";
const EMPTY: &str = "{}";

/// A sender of one's own.
pub(super) const OWN: Guide = Guide {
    sender: "",
    name: "",
    kind: "of your own",
    paste: "Paste the address where the tool asks for a webhook, and describe its posts below.",
    proof: "With “signature” in the mapping its posts are proven by HMAC.",
    example: r#"{
  "list": "events",
  "id": "id",
  "kind": "type",
  "kinds": { "delivered": "delivered", "open": "opened", "click": "clicked" },
  "at": "timestamp",
  "unit": "rfc3339",
  "channel": "email",
  "campaign_id": "campaign",
  "email": "recipient"
}"#,
};

/// The built-in senders.
pub(super) const GUIDES: [Guide; 17] = [
    Guide {
        sender: "sendgrid",
        name: "SendGrid",
        kind: MAIL,
        paste: "Settings → Mail Settings → Event Webhook: paste the address, choose all events.",
        proof: "“verification_key” is the public key of the signed webhook.",
        example: r#"{
  "campaign_id": "metadata.campaign",
  "customer_id": "metadata.customer"
}"#,
    },
    Guide {
        sender: "mailgun",
        name: "Mailgun",
        kind: MAIL,
        paste: "Sending → Webhooks: paste the address for each kind.",
        proof: "“verification_key” is the HTTP webhook signing key.",
        example: EMPTY,
    },
    Guide {
        sender: "postmark",
        name: "Postmark",
        kind: MAIL,
        paste: "Server → Webhooks: paste the address.",
        proof: NO_PROOF,
        example: EMPTY,
    },
    Guide {
        sender: "ses",
        name: "Amazon SES",
        kind: MAIL,
        paste: "Configuration set → event destination → SNS topic → HTTPS subscription with the address.",
        proof: "SNS signs its posts by a certificate of Amazon.",
        example: EMPTY,
    },
    Guide {
        sender: "sparkpost",
        name: "SparkPost",
        kind: MAIL,
        paste: "Webhooks: paste the address.",
        proof: NO_PROOF,
        example: EMPTY,
    },
    Guide {
        sender: "brevo",
        name: "Brevo",
        kind: MAIL,
        paste: "Transactional or campaign webhooks: paste the address.",
        proof: NO_PROOF,
        example: EMPTY,
    },
    Guide {
        sender: "mailjet",
        name: "Mailjet",
        kind: MAIL,
        paste: "Account settings → Event notifications: paste the address.",
        proof: NO_PROOF,
        example: EMPTY,
    },
    Guide {
        sender: "resend",
        name: "Resend",
        kind: MAIL,
        paste: "Webhooks: paste the address.",
        proof: "“verification_key” is the signing secret (whsec_…).",
        example: EMPTY,
    },
    Guide {
        sender: "mailersend",
        name: "MailerSend",
        kind: MAIL,
        paste: "Domain → Webhooks: paste the address.",
        proof: "“verification_key” is the signing secret.",
        example: EMPTY,
    },
    Guide {
        sender: "mailtrap",
        name: "Mailtrap",
        kind: MAIL,
        paste: "Sending → Webhooks: paste the address.",
        proof: "“verification_key” is the signing secret.",
        example: EMPTY,
    },
    Guide {
        sender: "unisender_go",
        name: "Unisender Go",
        kind: MAIL,
        paste: "Webhooks: paste the address; it is probed before it is saved.",
        proof: "“verification_key” is the API key, by which the body is hashed.",
        example: EMPTY,
    },
    Guide {
        sender: "yespo",
        name: "Yespo",
        kind: MAIL,
        paste: "Settings → Activity webhook: paste the address; it is probed before it is saved.",
        proof: NO_PROOF,
        example: EMPTY,
    },
    Guide {
        sender: "shopify",
        name: "Shopify",
        kind: SHOP,
        paste: "Settings → Notifications → Webhooks: orders created, updated and cancelled, as JSON.",
        proof: "“verification_key” is the secret that is shown there.",
        example: EMPTY,
    },
    Guide {
        sender: "woocommerce",
        name: "WooCommerce",
        kind: SHOP,
        paste: "Settings → Advanced → Webhooks: order created, order updated.",
        proof: "“verification_key” is the secret.",
        example: EMPTY,
    },
    Guide {
        sender: "voucherify",
        name: "Voucherify",
        kind: "promotions",
        paste: "Project settings → Webhooks: redemptions, rollbacks, publications.",
        proof: "“verification_key” is the project's webhook secret.",
        example: EMPTY,
    },
    Guide {
        sender: "compat/yespo/orders",
        name: "Yespo, orders",
        kind: SHOP,
        paste: "Point the shop's plugin for Yespo here instead of at its resource orders.",
        proof: NO_PROOF,
        example: EMPTY,
    },
    Guide {
        sender: "compat/yespo/event",
        name: "Yespo, order events",
        kind: SHOP,
        paste: "Point the shop's plugin for Yespo here instead of at its resource event.",
        proof: NO_PROOF,
        example: EMPTY,
    },
];
