//! The form of settings, in sentences: its fields made of settings, and read back into a body of the API. What is wrong with a value
//! is the API's to say.

use std::collections::BTreeMap;

use revtrail_core::attribution::event::{Channel, EventKind};
use revtrail_core::attribution::order::Status;
use revtrail_core::attribution::settings::{Preset, SettingChange, Settings};
use revtrail_core::value::time::Span;
use revtrail_web::query::Query;
use serde_json::{Map, Value, json};

use crate::campaigns::channel_name;

/// What a field says that is ticked.
const TICKED: &str = "true";
/// The fields that hold one setting each, by the name of the setting.
const PLAIN: [&str; 9] = [
    "enabled",
    "link",
    "timezone",
    "currency",
    "winner",
    "supersede",
    "excluded_tags",
    "refunds",
    "machine_events",
];
/// What the names of the other fields begin with.
const PARTS: [&str; 4] = ["email.", "push.", "sms.", STATUS];
const STATUS: &str = "status.";

/// A value, and what it is called.
type Word = (&'static str, &'static str);

/// The sentences with one choice each: how one begins, the setting, and how it can end. The default comes first.
const SENTENCES: [(&str, &str, &[Word]); 6] = [
    (
        "Of several messages that could have earned an order, the winner is the one that",
        "winner",
        &[
            ("last_sent", "was sent last"),
            ("last_interaction", "the customer acted on last"),
        ],
    ),
    (
        "A message stops earning when",
        "supersede",
        &[
            ("marketplace", "a later campaign is sent to anybody"),
            ("customer", "a later campaign is sent to the same customer"),
            ("none", "its window ends, and not before"),
        ],
    ),
    (
        "A refund",
        "refunds",
        &[
            ("drop_order", "of the whole order takes it out"),
            ("net", "is taken off the amount"),
            ("gross", "changes nothing"),
        ],
    ),
    (
        "Opens and clicks by machines",
        "machine_events",
        &[
            ("ignore", "are ignored"),
            ("count", "count like those of people"),
        ],
    ),
    (
        "Orders are",
        "link",
        &[
            ("true", "connected to campaigns"),
            ("false", "kept, and connected to nothing"),
        ],
    ),
    (
        "Reports",
        "enabled",
        &[("true", "show revenue"), ("false", "hide revenue")],
    ),
];

/// A value that can be chosen, what it is called, and whether it is chosen.
pub(crate) struct Choice {
    pub(crate) value: &'static str,
    pub(crate) label: &'static str,
    pub(crate) chosen: bool,
}

/// A sentence with one choice in it.
pub(crate) struct Sentence {
    pub(crate) before: &'static str,
    pub(crate) name: &'static str,
    pub(crate) choices: Vec<Choice>,
}

/// The sentence of a channel.
pub(crate) struct ChannelSentence {
    pub(crate) name: &'static str,
    pub(crate) label: &'static str,
    /// The kinds of event: the name of the field, the kind, and whether it is ticked.
    pub(crate) kinds: Vec<(String, &'static str, bool)>,
    pub(crate) count: String,
    pub(crate) units: Vec<Choice>,
    pub(crate) starts: Vec<Choice>,
}

/// What stands in each field of the form, by its name.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SettingsForm(BTreeMap<String, String>);

impl SettingsForm {
    /// The form of some settings.
    pub(crate) fn new(settings: &Settings) -> Self {
        let told = json!(settings);
        let mut fields = BTreeMap::new();
        for name in PLAIN {
            let text = match &told[name] {
                Value::String(text) => text.clone(),
                Value::Array(tags) => {
                    let tags: Vec<&str> = tags.iter().filter_map(Value::as_str).collect();
                    tags.join("\n")
                }
                Value::Null => String::new(),
                other => other.to_string(),
            };
            fields.insert(name.to_owned(), text);
        }
        for (channel, rule) in &settings.channels {
            let channel = channel.name();
            for kind in &rule.connect_on {
                fields.insert(format!("{channel}.{}", kind.name()), TICKED.to_owned());
            }
            let mut count = rule.window.to_string();
            let unit = count.pop().unwrap_or('d');
            let start = json!(rule.window_from);
            fields.insert(format!("{channel}.count"), count);
            fields.insert(format!("{channel}.unit"), unit.to_string());
            let start = start.as_str().unwrap_or_default().to_owned();
            fields.insert(format!("{channel}.window_from"), start);
        }
        for status in &settings.counted_statuses {
            fields.insert(format!("{STATUS}{}", status.name()), TICKED.to_owned());
        }
        Self(fields)
    }

    /// The form of a preset. What no preset says stays as it is.
    pub(crate) fn of_preset(preset: Preset, settings: &Settings) -> Self {
        Self::new(&Settings {
            enabled: settings.enabled,
            timezone: settings.timezone,
            currency: settings.currency,
            excluded_tags: settings.excluded_tags.clone(),
            ..preset.settings()
        })
    }

    /// The form as it was sent.
    pub(crate) fn sent<'p>(pairs: impl Iterator<Item = (&'p str, &'p str)>) -> Self {
        let is_field = |name: &str| {
            PLAIN.contains(&name) || PARTS.iter().any(|prefix| name.starts_with(prefix))
        };
        let own = |(name, text): (&str, &str)| {
            // A browser sends the ends of lines as CRLF, whatever they were.
            (name.to_owned(), text.replace("\r\n", "\n"))
        };
        Self(pairs.filter(|(name, _)| is_field(name)).map(own).collect())
    }

    /// Lets a query have the fields of the form.
    pub(crate) fn known(query: &mut Query<'_>) {
        for name in PLAIN {
            query.text(name);
        }
        for prefix in PARTS {
            query.prefixed(prefix);
        }
    }

    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", |text| text.trim())
    }

    /// The settings that the form says, as the API takes them: whole, and as a patch that leaves alone what the form does not have.
    pub(crate) fn settings(&self) -> Value {
        let mut settings = Map::new();
        for name in PLAIN {
            let value = match (name, self.get(name)) {
                ("excluded_tags", tags) => {
                    let tags = tags.lines().map(str::trim);
                    tags.filter(|tag| !tag.is_empty()).collect()
                }
                (_, "") => Value::Null,
                ("enabled" | "link", "true") => true.into(),
                ("enabled" | "link", "false") => false.into(),
                (_, text) => text.into(),
            };
            settings.insert(name.to_owned(), value);
        }
        let channels = Channel::ALL.map(|channel| (channel.name().to_owned(), self.rule(channel)));
        settings.insert(
            "channels".to_owned(),
            Value::Object(channels.into_iter().collect()),
        );
        let statuses = self.0.keys().filter_map(|name| name.strip_prefix(STATUS));
        settings.insert("counted_statuses".to_owned(), statuses.collect());
        settings.into()
    }

    /// The rule of a channel; `null`, so that it never earns, where no kind of event is ticked.
    fn rule(&self, channel: Channel) -> Value {
        let name = channel.name();
        let is_ticked = |kind: &&str| !self.get(&format!("{name}.{kind}")).is_empty();
        let kinds: Vec<&str> = kinds().map(EventKind::name).filter(is_ticked).collect();
        if kinds.is_empty() {
            return Value::Null;
        }
        let [count, unit, start] =
            ["count", "unit", "window_from"].map(|field| self.get(&format!("{name}.{field}")));
        json!({ "connect_on": kinds, "window": format!("{count}{unit}"), "window_from": start })
    }

    /// True where both forms say the same settings.
    pub(crate) fn says(&self, settings: &Settings) -> bool {
        self.settings() == Self::new(settings).settings()
    }

    fn choose(
        &self,
        name: &str,
        default: &str,
        all: &[(&'static str, &'static str)],
    ) -> Vec<Choice> {
        let set = match self.get(name) {
            "" => default,
            text => text,
        };
        let choice = |(value, label): &(&'static str, &'static str)| Choice {
            value,
            label,
            chosen: *value == set,
        };
        all.iter().map(choice).collect()
    }

    pub(crate) fn channels(&self) -> Vec<ChannelSentence> {
        let sentence = |channel: Channel| {
            let name = channel.name();
            let kind = |kind: EventKind| {
                let field = format!("{name}.{}", kind.name());
                let is_ticked = !self.get(&field).is_empty();
                (field, kind.name(), is_ticked)
            };
            let field = |field: &str| format!("{name}.{field}");
            let count = self.get(&field("count"));
            ChannelSentence {
                name,
                label: match channel {
                    Channel::Email => "An e-mail",
                    Channel::Push => "A push message",
                    Channel::Sms => "A text message",
                },
                kinds: kinds().map(kind).collect(),
                count: if count.is_empty() { "7" } else { count }.to_owned(),
                units: self.choose(
                    &field("unit"),
                    "d",
                    &[("h", "hours"), ("d", "days"), ("w", "weeks")],
                ),
                starts: self.choose(
                    &field("window_from"),
                    "sent",
                    &["sent", "event"].map(|value| (value, start(value))),
                ),
            }
        };
        Channel::ALL.map(sentence).into()
    }

    /// The statuses of orders: the name of the field, the status in words, and whether it is ticked.
    pub(crate) fn statuses(&self) -> Vec<(String, String, bool)> {
        let status = |status: &Status| {
            let field = format!("{STATUS}{}", status.name());
            let is_ticked = !self.get(&field).is_empty();
            (field, status_words(status.name()), is_ticked)
        };
        Status::ALL.iter().map(status).collect()
    }

    /// The sentences with one choice each.
    pub(crate) fn sentences(&self) -> Vec<Sentence> {
        let sentence =
            |(before, name, all): &(&'static str, &'static str, &'static [Word])| Sentence {
                before,
                name,
                choices: self.choose(name, all[0].0, all),
            };
        SENTENCES.iter().map(sentence).collect()
    }
}

/// The kinds of event that can connect a message to an order.
fn kinds() -> impl Iterator<Item = EventKind> {
    EventKind::ALL.into_iter().filter(|kind| kind.connects())
}

/// A setting that differs: which, what it was, and what it is.
pub(crate) struct Difference {
    pub(crate) setting: String,
    pub(crate) before: String,
    pub(crate) after: String,
}

/// What differs between two settings, in words. Of mail providers it is told that they differ, since they hold secrets.
pub(crate) fn differences(before: &Settings, after: &Settings) -> Vec<Difference> {
    let told = |change: SettingChange| {
        let is_secret = change.field.starts_with("providers");
        let words = |value: &Value| match is_secret {
            true => "…".to_owned(),
            false => words(&change.field, value),
        };
        Difference {
            setting: setting(&change.field),
            before: words(&change.before),
            after: words(&change.after),
        }
    };
    before.changes(after).into_iter().map(told).collect()
}

/// A setting by the dotted name of its place, for people.
fn setting(field: &str) -> String {
    let mut parts = field.split('.');
    match (parts.next().unwrap_or_default(), parts.next(), parts.next()) {
        ("channels", Some(channel), None) => channel_name(channel).to_owned(),
        ("channels", Some(channel), Some(field)) => {
            let field = match field {
                "connect_on" => "what connects",
                "window" => "window",
                "window_from" => "start of the window",
                other => other,
            };
            format!("{}, {field}", channel_name(channel))
        }
        ("enabled", ..) => "reports".to_owned(),
        ("link", ..) => "orders".to_owned(),
        ("supersede", ..) => "a message stops earning when".to_owned(),
        ("refunds", ..) => "a refund".to_owned(),
        ("machine_events", ..) => "opens and clicks by machines".to_owned(),
        ("timezone", ..) => "time zone".to_owned(),
        ("providers", Some(provider), _) => format!("provider {provider}"),
        (name, ..) => name.replace('_', " "),
    }
}

/// The value of the setting at a place, for people.
fn words(field: &str, value: &Value) -> String {
    let flag = value.as_bool().map(|is| if is { "true" } else { "false" });
    let text = value.as_str().or(flag).unwrap_or_default();
    let last = field.rsplit('.').next().unwrap_or_default();
    let labels = SENTENCES.iter().find(|(_, name, ..)| *name == last);
    let label = labels.and_then(|(_, _, all)| all.iter().find(|(one, _)| *one == text));
    match (value, last, label) {
        (_, "window", _) => Span::parse(text).map_or_else(|| text.to_owned(), Span::words),
        (_, "window_from", _) => start(text).to_owned(),
        (_, _, Some((_, label))) => (*label).to_owned(),
        (Value::Null, "email" | "push" | "sms", _) => "never earns".to_owned(),
        (Value::Object(rule), "email" | "push" | "sms", _) => {
            let part = |name: &str| words(name, &rule[name]);
            format!(
                "{}, within {} of {}",
                part("connect_on"),
                part("window"),
                part("window_from")
            )
        }
        (Value::Array(all), ..) if !all.is_empty() => {
            let all = all.iter().map(|one| one.as_str().unwrap_or_default());
            let all: Vec<String> = match last {
                "counted_statuses" => all.map(status_words).collect(),
                _ => all.map(str::to_owned).collect(),
            };
            all.join(", ")
        }
        (Value::Null | Value::Array(_), ..) => "none".to_owned(),
        (Value::String(text), ..) => text.clone(),
        (other, ..) => other.to_string(),
    }
}

/// When a window begins, for people.
fn start(text: &str) -> &str {
    match text {
        "sent" => "the send",
        "event" => "that event",
        other => other,
    }
}

fn status_words(status: &str) -> String {
    status.to_lowercase().replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(told: &Value) -> Settings {
        Settings::read(told, 30 * 86_400_000).unwrap()
    }

    #[test]
    fn a_form_says_the_settings_that_it_was_made_of() {
        for told in [
            json!({}),
            json!({"preset": "yespo_v2", "currency": "USD", "link": false}),
            json!({"excluded_tags": ["a, b", "net", "7d"], "timezone": "Europe/Dublin", "enabled": false, "counted_statuses": []}),
            json!({"channels": {"sms": {"connect_on": ["sent", "clicked"], "window": "36h", "window_from": "event"}}}),
            json!({"channels": {}, "refunds": "net", "supersede": "customer", "machine_events": "count"}),
        ] {
            let settings = settings(&told);
            let form = SettingsForm::new(&settings);
            assert_eq!(self::settings(&form.settings()), settings, "{told}");
            assert!(form.says(&settings), "{told}");
            let fields = form.0.iter().map(|(name, text)| (&**name, &**text));
            let sent = SettingsForm::sent(fields.chain([("of", "1"), ("id", "x")]));
            assert!(sent == form, "{told}");
        }
    }

    #[test]
    fn a_preset_keeps_what_no_preset_says() {
        let now = settings(
            &json!({"timezone": "Europe/Dublin", "currency": "EUR", "excluded_tags": ["a"], "enabled": false}),
        );
        let form = SettingsForm::of_preset(Preset::YespoV2, &now);
        let told = json!({"preset": "yespo_v2", "timezone": "Europe/Dublin", "currency": "EUR", "excluded_tags": ["a"],
            "enabled": false});
        assert!(form.says(&settings(&told)));
    }

    #[test]
    fn differences_in_words() {
        let rule = |kinds: &[&str], window, start| json!({"connect_on": kinds, "window": window, "window_from": start});
        let email = rule(&["clicked"], "7d", "sent");
        for (before, after, told) in [
            (json!({}), json!({}), ""),
            (
                json!({"excluded_tags": ["net", "7d"]}),
                json!({"currency": "EUR", "winner": "last_interaction"}),
                "currency: none → EUR; excluded tags: net, 7d → none; winner: was sent last → the customer acted on last",
            ),
            (
                json!({"channels": {"email": email}}),
                json!({"channels": {"email": rule(&["clicked"], "36h", "event"), "sms": rule(&["delivered"], "1w", "sent")}}),
                "e-mail, window: 7 days → 36 hours; e-mail, start of the window: the send → that event; \
                 SMS: never earns → delivered, within 1 week of the send",
            ),
            (
                json!({"providers": {"sendgrid": {"campaign_id": "metadata.campaign"}}}),
                json!({"counted_statuses": ["IN_PROGRESS"]}),
                "counted statuses: preparing, ready, complete → in progress; provider sendgrid: … → …",
            ),
        ] {
            let all = differences(&settings(&before), &settings(&after));
            let one = |one: &Difference| format!("{}: {} → {}", one.setting, one.before, one.after);
            assert_eq!(all.iter().map(one).collect::<Vec<_>>().join("; "), told);
        }
    }
}
