//! Posts of senders of webhooks: what they become by the settings in force, and how a post is refused. The table of senders is in crate
//! `providers`.

use std::collections::BTreeMap;

use revtrail_providers::{Outcome, Post, Refused};
use revtrail_store::market::once::{CallRecord, Met, Once};
use sha2::{Digest, Sha256};

use crate::call::Call;
use crate::problem::Problem;

/// The most words of ignored things that a call counts apart. What is beyond is counted as another kind.
const WORDS_MAX: usize = 50;

/// A post that was accepted.
#[derive(Debug, Default)]
pub struct Posted {
    /// What becomes a record, in the order of the post.
    pub records: Vec<Outcome>,
    /// How many things mean nothing here, by the sender's words.
    pub ignored: BTreeMap<String, i64>,
}

impl Posted {
    /// The counts of what is ignored, under the name of its sender, as the reconciliation sums them.
    pub fn ignored_of(&self, sender: &str) -> BTreeMap<String, i64> {
        let of = |(word, n): (&String, &i64)| (format!("{sender} {word}"), *n);
        self.ignored.iter().map(of).collect()
    }
}

impl Call {
    /// What the post of a sender becomes.
    ///
    /// # Errors
    /// 404 for an unknown sender, 400 for a body that cannot be read, 403 for a post without the signature that settings ask for, 503
    /// where Amazon does not give what its post points at. In these cases nothing of the post is taken.
    pub async fn posted(&self, sender: &str) -> Result<Posted, Problem> {
        let settings = self.app.settings(&self.market()?, self.now).await?;
        let settings = settings.ok_or_else(Problem::forbidden)?;
        let mut post = Post {
            headers: &self.headers,
            body: &self.body,
            certificate: None,
        };
        let certificate = match revtrail_providers::certificate_url(sender, &post, &settings)? {
            Some(url) => Some((self.app.certificate(&url).await?, url)),
            None => None,
        };
        post.certificate = certificate.as_ref().map(|(held, _)| &held[..]);
        let outcomes = revtrail_providers::read(sender, &post, &settings, self.now)?;
        if let Some(token) = revtrail_providers::token(sender, &post, &settings)? {
            self.must_be_of_this_post(&format!("{sender} {token}"))
                .await?;
        }
        if let Some(url) = revtrail_providers::subscribe_url(sender, &post)? {
            self.app.fetch(&url).await?;
        }
        if let Some((held, url)) = certificate {
            self.app.keep_certificate(url, held);
        }
        let mut posted = Posted::default();
        for outcome in outcomes {
            match outcome {
                Outcome::Ignored(word) => *counter(&mut posted.ignored, word) += 1,
                record => posted.records.push(record),
            }
        }
        Ok(posted)
    }
}

impl Call {
    /// Checks that a token that proves one post has proved no other within a day. The same post may come again.
    async fn must_be_of_this_post(&self, token: &str) -> Result<(), Problem> {
        let hash = |bytes: &[u8]| hex::encode(Sha256::digest(bytes));
        let once = Once {
            marketplace: self.marketplace()?.clone(),
            name: hash(token.as_bytes()),
            body: hash(&self.body),
        };
        let store = self.app.store();
        let is_first = store
            .begin(&once, &CallRecord::new(&once, self.now))
            .await?;
        if !is_first && store.met(&once, self.now).await? == Met::Other {
            let detail = "the post is not proven: its token has proved another body before";
            return Err(Problem::unproven(detail));
        }
        Ok(())
    }
}

/// The counter of a word, or of the words beyond the bound.
fn counter(ignored: &mut BTreeMap<String, i64>, word: String) -> &mut i64 {
    let word = match ignored.len() < WORDS_MAX || ignored.contains_key(&word) {
        true => word,
        false => "another kind".to_owned(),
    };
    ignored.entry(word).or_default()
}

impl From<Refused> for Problem {
    fn from(why: Refused) -> Self {
        let detail = why.to_string();
        match why {
            Refused::UnknownSender(_) => Self::not_found(detail),
            Refused::Unreadable(_) => Self::unreadable(detail),
            Refused::Unproven(_) => Self::unproven(detail),
        }
    }
}
