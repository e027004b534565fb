//! Amazon SES, by way of SNS: one report names all the recipients that it is about. A configuration set reports `eventType`, an
//! identity `notificationType`.

use std::sync::Arc;

use revtrail_core::attribution::event::EventKind::{
    Bounced, Clicked, Complained, Delivered, Opened, Sent, Unsubscribed,
};

use super::{Reads, Sender, no_trial};
use crate::node::Node;
use crate::proof::Scheme;
use crate::row::Meaning::{Is, Nothing};
use crate::row::{List, MAIL, Row};

pub(crate) const SENDER: Sender = Sender {
    name: "ses",
    in_settings: "ses",
    proof: Scheme::Sns,
    is_trial: no_trial,
    reads: Reads::Events(&Row {
        list: List::Made(events),
        // A raw delivery has SNS's id in a header.
        id: "sns.MessageId|@x-amz-sns-message-id",
        kind: "report.eventType|report.notificationType|sns.Type/left|report.complaint.complaintSubType",
        kinds: &[
            ("Send", Is(Sent)),
            ("Delivery", Is(Delivered)),
            ("DeliveryDelay", Nothing),
            ("Bounce", Is(Bounced)),
            // SES itself held the mail back: somebody complained of an earlier one.
            ("Complaint/OnAccountSuppressionList", Is(Bounced)),
            ("Complaint", Is(Complained)),
            ("Reject", Is(Bounced)),
            ("Rendering Failure", Is(Bounced)),
            ("Open", Is(Opened)),
            ("Click", Is(Clicked)),
            ("Subscription/true", Is(Unsubscribed)),
            ("Subscription", Nothing),
            ("Notification", Nothing),
            ("SubscriptionConfirmation", Nothing),
            ("UnsubscribeConfirmation", Nothing),
            ("AmazonSnsSubscriptionSucceeded", Nothing),
            ("Received", Nothing),
        ],
        // SNS says when it published the report, within seconds; without SNS the report says it itself.
        at: "sns.Timestamp|report.bounce.timestamp|report.complaint.timestamp|report.delivery.timestamp|report.open.timestamp|\
             report.click.timestamp|report.subscription.timestamp|report.mail.timestamp",
        campaign: "metadata.campaign_id|metadata.campaign|tags.0",
        email: "to",
        message_id: "report.mail.messageId",
        url: "report.click.link",
        metadata: "report.mail.tags|report.mail.headers.X-Metadata",
        tags: "report.mail.headers.X-Tag",
        ..MAIL
    }),
};

/// Where a kind of report lists those it is about; all others are about everybody whom the mail went to.
const ABOUT: [&str; 4] = [
    "bounce.bouncedRecipients",
    "complaint.complainedRecipients",
    "delivery.recipients",
    "deliveryDelay.delayedRecipients",
];

/// An event for each recipient of a post, of a report without SNS, or of what SNS gives a function.
fn events(body: &Node) -> Vec<Node> {
    let mut notifications = Vec::new();
    body.all("Records.Sns", &mut notifications);
    if notifications.is_empty() {
        notifications.push(body);
    }
    notifications.into_iter().flat_map(about_each).collect()
}

fn about_each(notification: &Node) -> Vec<Node> {
    let inner = notification.get("Message");
    let is_report = |node: &Node| matches!(node, Node::Object(_));
    let report = match inner.as_deref() {
        Some(Node::Text(text)) => Node::parse(text)
            .ok()
            .filter(is_report)
            .unwrap_or(Node::Null),
        _ => notification.clone(),
    };
    // What is told of the notification. The text of the report is not copied for each recipient.
    let told = ["Type", "MessageId", "Timestamp"].map(|field| {
        let text = notification.text_at(field);
        (field.to_owned(), text.map_or(Node::Null, Node::Text))
    });
    let envelope = Node::Shared(Node::Object(told.into()).into());
    let entries = |path: &str| match report.get(path).as_deref() {
        Some(Node::List(entries)) => entries.clone(),
        _ => Vec::new(),
    };
    let about = ABOUT
        .iter()
        .map(|path| entries(path))
        .find(|list| !list.is_empty());
    let mut about = about.unwrap_or_else(|| entries("mail.destination"));
    if about.is_empty() {
        about.push(Node::Null);
    }
    let left = match has_left(&report) {
        true => Node::Bool(true),
        false => Node::Null,
    };
    let report = Arc::new(report);
    let event = |recipient: Node| {
        let to = recipient
            .text_at("emailAddress|")
            .map_or(Node::Null, Node::Text);
        let fields = [
            ("sns", envelope.clone()),
            ("report", Node::Shared(report.clone())),
            ("to", to),
            ("left", left.clone()),
        ];
        let fields = fields.map(|(name, node)| (name.to_owned(), node));
        Node::Object(fields.into())
    };
    about.into_iter().map(event).collect()
}

/// True where a change of subscriptions leaves all topics, or one that was not left before.
fn has_left(report: &Node) -> bool {
    let out = |preferences: &str| {
        let (path, mut topics) = (
            format!("subscription.{preferences}.topicSubscriptionStatus"),
            Vec::new(),
        );
        report.all(&path, &mut topics);
        let is_out =
            |topic: &&&Node| topic.text_at("subscriptionStatus").as_deref() == Some("OptOut");
        topics.iter().filter(is_out).count()
    };
    let all = report.text_at("subscription.newTopicPreferences.unsubscribeAll");
    all.as_deref() == Some("true") || out("newTopicPreferences") > out("oldTopicPreferences")
}
