//! What differs between two settings, setting by setting.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::Settings;

/// A setting that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingChange {
    /// The dotted name of its place, like `channels.email.window`.
    pub field: String,
    /// What it was; `null` where it was not there.
    pub before: Value,
    /// What it is; `null` where it is not there any more.
    pub after: Value,
}

impl Settings {
    /// What differs in `after`. A list that differs is one setting.
    ///
    /// # Example
    /// ```
    /// use revtrail_core::attribution::settings::{Preset, Settings, Winner};
    ///
    /// let before = Preset::Redbox.settings();
    /// let after = Settings { winner: Winner::LastInteraction, ..before.clone() };
    /// let changes = before.changes(&after);
    /// assert_eq!(changes.len(), 1);
    /// assert_eq!((changes[0].field.as_str(), &changes[0].after), ("winner", &"last_interaction".into()));
    /// ```
    pub fn changes(&self, after: &Self) -> Vec<SettingChange> {
        let mut changes = Vec::new();
        differences(String::new(), json!(self), json!(after), &mut changes);
        changes
    }
}

fn differences(field: String, before: Value, after: Value, changes: &mut Vec<SettingChange>) {
    match (before, after) {
        (Value::Object(mut before), Value::Object(mut after)) => {
            let names: BTreeSet<String> = before.keys().chain(after.keys()).cloned().collect();
            for name in names {
                let of = |fields: &mut Map<String, Value>| fields.remove(&name).unwrap_or_default();
                let (was, is) = (of(&mut before), of(&mut after));
                let field = match field.as_str() {
                    "" => name,
                    within => format!("{within}.{name}"),
                };
                differences(field, was, is, changes);
            }
        }
        (before, after) if before != after => {
            changes.push(SettingChange {
                field,
                before,
                after,
            });
        }
        _ => {}
    }
}
