//! What mail tools, shops and coupon tools post, turned into the records that intake reads, so that the checks of a fact exist once.
//! A sender is a row of a table (`row`) and what proves its posts (`proof`): in code for the built-in senders, one file each, and in
//! settings for one of a marketplace's own. There is no I/O and no clock here; whoever calls has checked the caller's key.

mod certificate;
pub mod exports;
mod node;
mod post;
mod proof;
mod row;
mod senders;
mod shape;
mod time;

use revtrail_core::attribution::settings::{Provider, Settings};
use revtrail_core::value::time::Instant;

use crate::node::NotATree;
use crate::proof::Scheme;
use crate::row::Around;
use crate::senders::Reads;

pub use crate::post::Post;
pub use crate::senders::sns::{certificate_url, subscribe_url};
pub use crate::shape::shape;

/// What one thing in a post becomes. A record is the JSON text of an object for the reader of its fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A message event.
    Event(String),
    /// A copy of an order.
    Order(String),
    /// A reported redemption.
    Redemption(String),
    /// The rollback of a redemption, which it names.
    Rollback(String),
    /// An assignment.
    Assignment(String),
    /// It means nothing here, in the sender's words: a kind of event, or what a mapping did not find. They hold no personal data.
    Ignored(String),
}

/// Why a whole post is refused. Nothing of it is taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no such sender: neither a built-in one nor one of the settings.
    #[error("{0} is no sender that this marketplace knows: see providers.custom in its settings")]
    UnknownSender(String),
    /// The body is not what its type says.
    #[error("{0}")]
    Unreadable(String),
    /// The settings hold the sender's key, and the signature is missing or not of this body.
    #[error("the post is not proven: {0}")]
    Unproven(String),
}

impl From<NotATree> for Refused {
    fn from(why: NotATree) -> Self {
        Self::Unreadable(why.to_string())
    }
}

/// The most bytes of a sender's word that are kept.
const WORD_BYTES_MAX: usize = 80;

/// Reads a post of a sender by the settings in force. `now` is the receiver's clock.
///
/// # Errors
/// [`Refused`], and then nothing of the post counts. Only [`Refused::Unproven`] can be mended without the sender: by its key in
/// the settings.
pub fn read(
    sender: &str,
    post: &Post<'_>,
    settings: &Settings,
    now: Instant,
) -> Result<Vec<Outcome>, Refused> {
    let body = post.tree()?;
    let nothing = Provider::default();
    let around = |mapping| Around {
        sender,
        headers: post.headers,
        mapping,
        now,
        zone: settings.timezone,
        currency: settings.currency,
        counted: &settings.counted_statuses,
    };
    let outcomes = if let Some(known) = senders::named(sender) {
        let mapping = settings
            .providers
            .builtin
            .get(known.in_settings)
            .unwrap_or(&nothing);
        if (known.is_trial)(&body) {
            return Ok(vec![Outcome::Ignored("trial".to_owned())]);
        }
        if let Some(key) = &mapping.verification_key {
            proof::check(known.proof, post, &body, key, now)?;
        }
        match known.reads {
            Reads::Events(row) => row.read(&body, &around(mapping)),
            Reads::Facts(read) => read(&body, &around(mapping)),
        }
    } else if let Some(own) = settings.providers.custom.get(sender) {
        senders::own::read(own, post, &body, &around(&nothing))?
    } else {
        return Err(Refused::UnknownSender(sender.to_owned()));
    };
    Ok(outcomes.into_iter().map(shown).collect())
}

/// The token that may prove one post only: that of Mailgun, whose signature does not cover what the event says. `None` where nothing is
/// proven by a token. Whoever calls remembers it beside a hash of the body.
///
/// # Errors
/// [`Refused::Unreadable`] for a body that [`read`] refuses too.
pub fn token(
    sender: &str,
    post: &Post<'_>,
    settings: &Settings,
) -> Result<Option<String>, Refused> {
    let is_proven = |own: &Provider| own.verification_key.is_some();
    let by_token = senders::named(sender).is_some_and(|known| known.proof == Scheme::Mailgun);
    if !by_token
        || !settings
            .providers
            .builtin
            .get(sender)
            .is_some_and(is_proven)
    {
        return Ok(None);
    }
    Ok(post.tree()?.text_at("signature.token|token"))
}

/// Bounds the word of what is ignored. A word with an address or a long number in it is not shown: it may be about a person.
fn shown(outcome: Outcome) -> Outcome {
    let Outcome::Ignored(word) = outcome else {
        return outcome;
    };
    Outcome::Ignored(match word.as_str() {
        "" => "no kind".to_owned(),
        _ if is_personal(&word) || word.len() > WORD_BYTES_MAX => "another kind".to_owned(),
        _ => word,
    })
}

/// True for a word of a sender that may name a person: it has an address or a long number in it.
fn is_personal(word: &str) -> bool {
    word.contains('@')
        || word.bytes().filter(u8::is_ascii_digit).count() > 6
        || word.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use revtrail_core::attribution::settings::SENDERS;

    #[test]
    fn settings_know_the_senders_that_there_are() {
        let ours: BTreeSet<&str> = crate::senders::SENDERS
            .iter()
            .map(|sender| sender.in_settings)
            .collect();
        assert_eq!(ours, BTreeSet::from(SENDERS));
    }
}
