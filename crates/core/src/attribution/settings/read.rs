//! The reader of submitted settings. It names every unknown field and value at once (rule 4.1).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::reader::{SettingsReader, by_name, present};
use super::{ChannelRule, Preset, Settings, providers};
use crate::attribution::event::{Channel, EventKind};
use crate::attribution::order::Status;
use crate::record::{Code, Problems, RecordProblem, no_controls, shown};
use crate::value::id::ID_BYTES_MAX;
use crate::value::money::Currency;
use crate::value::time::{HOUR_MS, Span};

/// The most bytes of settings as JSON. A stored item has at most 400 KB.
const SETTINGS_BYTES_MAX: usize = 300_000;
/// The most excluded tags.
pub const EXCLUDED_TAGS_MAX: usize = 1_000;

impl Settings {
    /// Reads a settings object. `window_ms_max` is the longest window allowed: the look-back, or 52 weeks in runs over files.
    ///
    /// # Errors
    /// A problem for every unknown field and value; one for `currency` where a preset needs it.
    pub fn read(value: &Value, window_ms_max: i64) -> Result<Self, Problems> {
        let Value::Object(fields) = value else {
            return Err(Problems::from(RecordProblem::whole(
                Code::WrongType,
                "settings are a JSON object",
            )));
        };
        let mut reader = SettingsReader {
            prefix: String::new(),
            problems: Problems::new(),
        };
        let preset = reader
            .one_of(fields, "preset", Preset::parse, || {
                "redbox, yespo_v1 or yespo_v2".into()
            })
            .unwrap_or(Preset::Redbox);
        let mut settings = preset.settings();
        reader.unknown_fields(
            fields,
            &[
                "preset",
                "enabled",
                "link",
                "timezone",
                "currency",
                "channels",
                "winner",
                "supersede",
                "excluded_tags",
                "counted_statuses",
                "refunds",
                "machine_events",
                "providers",
            ],
        );
        if let Some(flag) = reader.flag(fields, "enabled") {
            settings.enabled = flag;
        }
        if let Some(flag) = reader.flag(fields, "link") {
            settings.link = flag;
        }
        let zone = |name: &str| name.parse::<chrono_tz::Tz>().ok();
        if let Some(zone) = reader.one_of(fields, "timezone", zone, || {
            "an IANA time zone like Europe/Dublin".into()
        }) {
            settings.timezone = zone;
        }
        if let Some(currency) = reader.one_of(fields, "currency", Currency::parse, || {
            "a currency of ISO 4217 like EUR, or null".into()
        }) {
            settings.currency = Some(currency);
        } else if preset != Preset::Redbox && present(fields, "currency").is_none() {
            let detail = format!("currency: {} needs one, like \"USD\"", preset.name());
            reader
                .problems
                .push(RecordProblem::of("currency", Code::Missing, detail));
        }
        if let Some(value) = present(fields, "channels") {
            settings.channels = reader.channels(value, window_ms_max);
        }
        let snake = |names: &'static str| move || names.to_owned();
        if let Some(winner) = reader.one_of(
            fields,
            "winner",
            by_name,
            snake("last_sent or last_interaction"),
        ) {
            settings.winner = winner;
        }
        if let Some(supersede) = reader.one_of(
            fields,
            "supersede",
            by_name,
            snake("none, customer or marketplace"),
        ) {
            settings.supersede = supersede;
        }
        if let Some(refunds) = reader.one_of(
            fields,
            "refunds",
            by_name,
            snake("drop_order, gross or net"),
        ) {
            settings.refunds = refunds;
        }
        if let Some(machine_events) =
            reader.one_of(fields, "machine_events", by_name, snake("ignore or count"))
        {
            settings.machine_events = machine_events;
        }
        if let Some(tags) = reader.list(
            fields,
            "excluded_tags",
            |tag| {
                (1..=ID_BYTES_MAX)
                    .contains(&tag.len())
                    .then(|| tag.to_owned())
            },
            || "a tag of 1 to 128 bytes".into(),
        ) {
            if tags.len() > EXCLUDED_TAGS_MAX {
                reader.problem(
                    "excluded_tags",
                    Code::UnknownValue,
                    "a list of at most 1,000 tags",
                );
            }
            let named = tags.iter().map(|tag| no_controls("excluded_tags", tag));
            reader.problems.extend(named.filter_map(Result::err));
            settings.excluded_tags = tags;
        }
        let statuses = || Status::ALL.map(Status::name).join(", ");
        if let Some(statuses) = reader.list(fields, "counted_statuses", Status::parse, statuses) {
            settings.counted_statuses = statuses.into_iter().collect();
        }
        if let Some(value) = present(fields, "providers") {
            settings.providers = providers::read(&mut reader, value);
        }
        let bytes = serde_json::to_string(&settings).map_or(0, |text| text.len());
        if bytes > SETTINGS_BYTES_MAX {
            let detail = format!(
                "these settings have {bytes} bytes as JSON, and may have {SETTINGS_BYTES_MAX}"
            );
            let problem = RecordProblem::whole(Code::UnknownValue, detail);
            reader.problems.push(problem);
        }
        if reader.problems.is_empty() {
            Ok(settings)
        } else {
            Err(reader.problems)
        }
    }
}

impl SettingsReader {
    fn channels(&mut self, value: &Value, window_ms_max: i64) -> BTreeMap<Channel, ChannelRule> {
        let mut rules = BTreeMap::new();
        let Some(channels) = self.object(value, "channels", "an object with email, push, sms")
        else {
            return rules;
        };
        for (name, value) in channels {
            let here = format!("channels.{}", shown(name));
            let Some(channel) = Channel::parse(name) else {
                self.problem(
                    &here,
                    Code::UnknownField,
                    "channels.email, channels.push, channels.sms",
                );
                continue;
            };
            if value.is_null() {
                continue;
            }
            let Some(fields) = self.object(
                value,
                &here,
                "an object with connect_on, window, window_from",
            ) else {
                continue;
            };
            self.prefix = here;
            if let Some(rule) = self.channel(fields, window_ms_max) {
                rules.insert(channel, rule);
            }
            self.prefix.clear();
        }
        rules
    }

    fn channel(&mut self, fields: &Map<String, Value>, window_ms_max: i64) -> Option<ChannelRule> {
        const KINDS: &str = "sent, delivered, opened, clicked";
        self.unknown_fields(fields, &["connect_on", "window", "window_from"]);
        for field in ["connect_on", "window", "window_from"] {
            if present(fields, field).is_none() {
                self.problem(
                    field,
                    Code::Missing,
                    "a channel gives connect_on, window and window_from",
                );
            }
        }
        let connecting = |name: &str| EventKind::parse(name).filter(|kind| kind.connects());
        let connect_on = self.list(fields, "connect_on", connecting, || KINDS.into());
        if connect_on.as_ref().is_some_and(Vec::is_empty)
            && fields["connect_on"].as_array().is_some_and(Vec::is_empty)
        {
            self.problem(
                "connect_on",
                Code::UnknownValue,
                &format!("at least one of {KINDS}"),
            );
        }
        let longest = format!(
            "1h to {}h, as \"<n>h\", \"<n>d\" or \"<n>w\"",
            window_ms_max / HOUR_MS
        );
        let window = |text: &str| {
            Span::parse(text).filter(|span| (HOUR_MS..=window_ms_max).contains(&span.ms()))
        };
        let window = self.one_of(fields, "window", window, || longest.clone());
        let window_from = self.one_of(fields, "window_from", by_name, || "sent or event".into());
        Some(ChannelRule {
            connect_on: connect_on?.into_iter().collect(),
            window: window?,
            window_from: window_from?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribution::settings::{Refunds, Supersede, Winner};
    use serde_json::json;

    const MAX: i64 = 30 * crate::value::time::DAY_MS;

    #[test]
    fn defaults_are_redbox() {
        let settings = Settings::read(&json!({}), MAX).unwrap();
        assert_eq!(settings, Preset::Redbox.settings());
        let spec = json!({"enabled":true,"link":true,"timezone":"Europe/Dublin","currency":"EUR",
            "channels":{"email":{"connect_on":["opened","clicked"],"window":"7d","window_from":"sent"},
                        "push":{"connect_on":["delivered"],"window":"7d","window_from":"sent"},
                        "sms":{"connect_on":["delivered"],"window":"7d","window_from":"sent"}},
            "winner":"last_sent","supersede":"marketplace","excluded_tags":[],
            "counted_statuses":["PREPARING","READY","COMPLETE"],"refunds":"drop_order","machine_events":"ignore"});
        let full = Settings::read(&spec, MAX).unwrap();
        assert_eq!(
            full,
            Settings {
                timezone: chrono_tz::Europe::Dublin,
                currency: Currency::parse("EUR"),
                ..settings
            }
        );
        let mut printed = serde_json::to_value(&full).unwrap();
        printed.as_object_mut().unwrap().remove("providers");
        assert_eq!(printed, spec);
    }

    #[test]
    fn presets() {
        let v1 = Settings::read(&json!({"preset":"yespo_v1","currency":"USD"}), MAX).unwrap();
        assert_eq!(
            (v1.winner, v1.supersede, v1.refunds),
            (Winner::LastSent, Supersede::None, Refunds::Gross)
        );
        let v2 = Settings::read(
            &json!({"preset":"yespo_v2","currency":"USD","refunds":"net","link":null}),
            MAX,
        )
        .unwrap();
        assert_eq!(
            (v2.winner, v2.refunds, v2.link),
            (Winner::LastInteraction, Refunds::Net, true)
        );
    }

    #[test]
    fn every_problem_is_named_at_once() {
        let good = json!({"connect_on":["sent"],"window":"1h","window_from":"sent"});
        for (settings, expected) in [
            (json!([]), vec![(None, Code::WrongType)]),
            (
                json!({"preset":"yespo_v1"}),
                vec![(Some("currency"), Code::Missing)],
            ),
            (
                json!({"preset":"yespo_v2","currency":null}),
                vec![(Some("currency"), Code::Missing)],
            ),
            (
                json!({"preset":"yespo_v2","currency":"usd"}),
                vec![(Some("currency"), Code::UnknownValue)],
            ),
            (
                json!({"colour":1,"enabled":"yes","timezone":"Mars","winner":"first"}),
                vec![
                    (Some("colour"), Code::UnknownField),
                    (Some("enabled"), Code::WrongType),
                    (Some("timezone"), Code::UnknownValue),
                    (Some("winner"), Code::UnknownValue),
                ],
            ),
            (
                json!({"channels":{"fax":good,"sms":good}}),
                vec![(Some("channels.fax"), Code::UnknownField)],
            ),
            (
                json!({"channels":{"email":{"connect_on":[],"window":"721h"}}}),
                vec![
                    (Some("channels.email.window_from"), Code::Missing),
                    (Some("channels.email.connect_on"), Code::UnknownValue),
                    (Some("channels.email.window"), Code::UnknownValue),
                ],
            ),
            (
                json!({"channels":{"email":{"connect_on":["bounced"],"window":"30d","window_from":"sent","x":0}}}),
                vec![
                    (Some("channels.email.x"), Code::UnknownField),
                    (Some("channels.email.connect_on[0]"), Code::UnknownValue),
                ],
            ),
            (
                json!({"excluded_tags":"a","counted_statuses":["DELIVERED","LOST",3]}),
                vec![
                    (Some("excluded_tags"), Code::WrongType),
                    (Some("counted_statuses[1]"), Code::UnknownValue),
                    (Some("counted_statuses[2]"), Code::WrongType),
                ],
            ),
        ] {
            let problems = Settings::read(&settings, MAX).unwrap_err();
            let found: Vec<_> = problems
                .iter()
                .map(|p| (p.field.as_deref(), p.code))
                .collect();
            assert_eq!(found, expected, "{settings}");
        }
    }
}
