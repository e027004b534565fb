//! Posts of senders of webhooks: what they become by the settings in force, and how a post is refused. The table of senders is in crate
//! `providers`.

use std::collections::BTreeMap;

use revtrail_core::attribution::event::Event;
use revtrail_core::attribution::order::Order;
use revtrail_core::attribution::settings::Settings;
use revtrail_core::promotion::redemption::{Assignment, Redemption, Rollback};
use revtrail_core::record::{AcceptanceWindow, Code, Record, RecordProblem};
use revtrail_core::value::id::{MarketplaceId, RedemptionId};
pub use revtrail_providers::Post;
use revtrail_providers::{Outcome, Refused};
use revtrail_store::market::once::{CallRecord, Met, Once};
use revtrail_store::market::senders::{LastPost, PostProblem, PostedLast};
use sha2::{Digest, Sha256};

use crate::call::{Call, Response};
use crate::problem::Problem;
use crate::records::Intake;

/// The most words of ignored things that a call counts apart. What is beyond is counted as another kind.
const WORDS_MAX: usize = 50;

/// How often the same thing that becomes of posts of a sender is written down, in milliseconds.
const POST_WRITTEN_MS: i64 = 60_000;

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
        let outcomes = match revtrail_providers::read(sender, &post, &settings, self.now) {
            Ok(outcomes) => outcomes,
            Err(refused) => {
                self.remember_refusal(sender, &refused).await;
                return Err(refused.into());
            }
        };
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
    /// The answer to the sender of a post, which is remembered as its last one.
    pub async fn answer_to_sender(&self, sender: &str, posted: Posted, answer: Intake) -> Response {
        let problem = answer.first_problem().map(|problem| PostProblem {
            code: problem.code.text(),
            field: problem.field.clone(),
        });
        let last = LastPost {
            accepted: answer.accepted,
            duplicates: answer.duplicates,
            rejected: answer.rejected(),
            problem,
            ignored: posted.ignored.clone(),
            ..LastPost::default()
        };
        self.remember(sender, last).await;
        answer.answer_to_sender(posted.ignored)
    }

    /// Remembers that nothing of a post was taken, and why. Nobody can have posted as a sender that there is not.
    async fn remember_refusal(&self, sender: &str, why: &Refused) {
        let refused = match why {
            Refused::UnknownSender(_) => return,
            Refused::Unreadable(_) => "unreadable",
            Refused::Unproven(_) => "bad_signature",
        };
        let last = LastPost {
            refused: Some(refused.to_owned()),
            ..LastPost::default()
        };
        self.remember(sender, last).await;
    }

    /// Remembers what became of a post. Where a sender posts many times a minute, each thing that can become of its posts is written once
    /// a minute; a failure to write it is logged, and the answer does not depend on it.
    async fn remember(&self, sender: &str, mut post: LastPost) {
        let Ok(market) = self.market() else { return };
        let outcome = outcome_of(market.id(), sender, &post);
        if !self.app.is_news(outcome, POST_WRITTEN_MS, self.now) {
            return;
        }
        if !post.ignored.is_empty() {
            post.shape = self.shape();
        }
        let posted = PostedLast {
            sender: sender.to_owned(),
            at: self.now,
            post,
        };
        if let Err(error) = market.senders().remember(&posted).await {
            tracing::error!(%error, sender, "the last post of a sender could not be remembered");
        }
    }

    /// The fields of the post. It is read once more for them, so this is asked only where they are written down.
    fn shape(&self) -> Option<String> {
        let post = Post {
            headers: &self.headers,
            body: &self.body,
            certificate: None,
        };
        revtrail_providers::shape(&post).ok()
    }
}

/// What became of a post, without its counts.
fn outcome_of(marketplace: &MarketplaceId, sender: &str, post: &LastPost) -> String {
    let has = |n: usize| n > 0;
    let problem = post.problem.as_ref();
    let ignored: Vec<&String> = post.ignored.keys().collect();
    let is = (
        has(post.accepted),
        has(post.duplicates),
        has(post.rejected),
        problem.map(|problem| (&problem.code, &problem.field)),
        ignored,
        &post.refused,
    );
    let hash = Sha256::digest(format!("{is:?}"));
    format!("{marketplace} {sender} {}", hex::encode(&hash[..16]))
}

/// A record of a post, checked as the one who takes it in checks it.
pub enum Fact {
    /// A message event.
    Event(Event),
    /// A copy of an order.
    Order(Order),
    /// A reported redemption.
    Redemption(Redemption),
    /// An assignment.
    Assignment(Assignment),
    /// The rollback of a redemption.
    Rollback(RedemptionId, Rollback),
}

impl Fact {
    /// Reads a record of a post.
    ///
    /// # Errors
    /// The problem of the first bad field.
    pub fn read(
        record: &Outcome,
        marketplace: &MarketplaceId,
        window: &AcceptanceWindow,
    ) -> Result<Self, RecordProblem> {
        Ok(match record {
            Outcome::Event(text) => {
                let record = Record::from_json(text)?;
                Self::Event(Event::read(&record, marketplace, Some(window))?)
            }
            Outcome::Order(text) => {
                Self::Order(Order::read(&Record::from_json(text)?, Some(window))?)
            }
            Outcome::Redemption(text) => {
                Self::Redemption(Redemption::read(&Record::from_json(text)?, window)?)
            }
            Outcome::Assignment(text) => {
                Self::Assignment(Assignment::read(&Record::from_json(text)?, window)?)
            }
            Outcome::Rollback(text) => {
                let record = Record::from_json(text)?;
                let of = record.needed_id("redemption_id", RedemptionId::new)?;
                Self::Rollback(of, Rollback::read(&record)?)
            }
            Outcome::Ignored(word) => {
                let detail = format!("{word:?} means nothing here");
                return Err(RecordProblem::whole(Code::UnknownValue, detail));
            }
        })
    }
}

/// What one thing of a post would become.
pub struct Tried {
    /// What it would be: `event`, `order`, `redemption`, `assignment`, `rollback`; `ignored` where it means nothing here.
    pub kind: &'static str,
    /// The record as JSON or, of what is ignored, the sender's word.
    pub text: String,
    /// Why the record would be rejected.
    pub problem: Option<RecordProblem>,
}

impl Call {
    /// What a pasted post of a sender would become by these settings, without its proof. Nothing is stored.
    ///
    /// # Errors
    /// 404 for an unknown sender, 400 for a body that cannot be read.
    pub fn try_post(
        &self,
        sender: &str,
        post: &Post<'_>,
        settings: &Settings,
    ) -> Result<Vec<Tried>, Problem> {
        let mut settings = settings.clone();
        for own in settings.providers.builtin.values_mut() {
            own.verification_key = None;
        }
        for own in settings.providers.custom.values_mut() {
            own.signature = None;
        }
        let (marketplace, window) = (self.marketplace()?, self.acceptance_window());
        let outcomes = revtrail_providers::read(sender, post, &settings, self.now)?;
        let tried = |outcome: Outcome| {
            let problem = Fact::read(&outcome, marketplace, &window).err();
            let (kind, text) = match outcome {
                Outcome::Event(text) => ("event", text),
                Outcome::Order(text) => ("order", text),
                Outcome::Redemption(text) => ("redemption", text),
                Outcome::Assignment(text) => ("assignment", text),
                Outcome::Rollback(text) => ("rollback", text),
                Outcome::Ignored(word) => ("ignored", word),
            };
            Tried {
                kind,
                text,
                problem: problem.filter(|_| kind != "ignored"),
            }
        };
        Ok(outcomes.into_iter().map(tried).collect())
    }

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
