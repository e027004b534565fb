//! A sender of a marketplace's own: a row of the table that settings describe.

use revtrail_core::attribution::settings::{CustomSender, SignatureScheme, TimeUnit};

use crate::node::Node;
use crate::post::Post;
use crate::proof::{self, Scheme, Spelling};
use crate::row::{Around, List, Meaning, Row};
use crate::time::Unit;
use crate::{Outcome, Refused};

/// What a post of this sender becomes.
///
/// # Errors
/// [`Refused::Unproven`] where the settings have a signature that the post lacks.
pub(crate) fn read(
    own: &CustomSender,
    post: &Post<'_>,
    body: &Node,
    around: &Around<'_>,
) -> Result<Vec<Outcome>, Refused> {
    if let Some(signature) = &own.signature {
        let hmac = |spelling| Scheme::Hmac {
            header: &signature.header,
            spelling,
            over: &signature.over,
            timestamp: signature.timestamp.as_deref(),
        };
        let scheme = match signature.scheme {
            SignatureScheme::HmacSha256Hex => hmac(Spelling::Hex),
            SignatureScheme::HmacSha256Base64 => hmac(Spelling::Base64),
            SignatureScheme::StandardWebhooks => Scheme::StandardWebhooks,
        };
        proof::check(scheme, post, body, &signature.secret, around.now)?;
    }
    let kinds = own
        .kinds
        .iter()
        .map(|(word, kind)| (word.as_str(), Meaning::Is(*kind)));
    let kinds: Vec<(&str, Meaning)> = kinds.collect();
    let machine = own
        .machine
        .as_ref()
        .map(|mark| (mark.path.as_str(), mark.is.as_str()));
    let machine: Vec<(&str, &str)> = machine.into_iter().collect();
    let unit = match &own.unit {
        TimeUnit::Seconds => Unit::Seconds,
        TimeUnit::Milliseconds => Unit::Milliseconds,
        TimeUnit::Rfc3339 => Unit::Rfc3339,
        TimeUnit::Format(format) => Unit::Format(format),
    };
    let row = Row {
        list: List::At(path(&own.list)),
        id: path(&own.id),
        kind: &own.kind,
        kinds: &kinds,
        at: path(&own.at),
        unit,
        zone: own.zone,
        channel: own.channel.name(),
        channels: &[],
        campaign: &own.campaign_id,
        customer: path(&own.customer_id),
        email: path(&own.email),
        phone: path(&own.phone),
        message_id: path(&own.message_id),
        brackets: false,
        url: path(&own.url),
        machine: &machine,
        metadata: "",
        tags: "",
    };
    Ok(row.read(body, around))
}

fn path(path: &Option<String>) -> &str {
    path.as_deref().unwrap_or_default()
}
