//! A small builder of JSON Schemas (2020-12). Limits, patterns and words come from `core`, so that they are those of the parsers.

use revtrail_core::attribution::event::{Channel, EventKind};
use revtrail_core::attribution::order::Status;
use revtrail_core::record::COUNT_MAX;
use revtrail_core::value::id::{self, ID_BYTES_MAX};
use revtrail_core::value::money::{self, Money};
use revtrail_core::value::time::{Day, Instant};
use serde_json::{Map, Value, json};

/// A field of an object.
#[derive(Debug)]
pub struct Field {
    name: &'static str,
    schema: Value,
    required: bool,
}

impl Field {
    /// The name of the field.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The name, the schema, and whether the field is always there.
    pub(super) fn into_parts(self) -> (&'static str, Value, bool) {
        (self.name, self.schema, self.required)
    }

    /// Says in a sentence what the field means.
    pub fn says(mut self, meaning: &str) -> Self {
        self.schema = says(self.schema, meaning);
        self
    }
}

/// A field that is always there.
pub fn field(name: &'static str, schema: Value) -> Field {
    Field {
        name,
        schema,
        required: true,
    }
}

/// A field of an answer that is not there in every answer.
pub fn sometimes(name: &'static str, schema: Value) -> Field {
    Field {
        required: false,
        ..field(name, schema)
    }
}

/// A field of a body that may be left out, or be `null`, which is the same.
pub fn optional(name: &'static str, schema: Value) -> Field {
    sometimes(name, nullable(schema))
}

/// An object with these fields. More fields may be added to it.
pub fn object(fields: impl IntoIterator<Item = Field>) -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for field in fields {
        required.extend(field.required.then_some(field.name));
        properties.insert(field.name.to_owned(), field.schema);
    }
    let mut object = json!({ "type": "object", "properties": properties });
    if !required.is_empty() {
        object["required"] = json!(required);
    }
    object
}

/// An object of a body in which any other field is refused.
pub fn closed(fields: impl IntoIterator<Item = Field>) -> Value {
    let mut object = object(fields);
    object["additionalProperties"] = json!(false);
    object
}

/// A merge patch (RFC 7396) of what fits a schema: objects can be given in part, also those inside of others, and lists only whole.
pub fn patch_of(mut schema: Value) -> Value {
    let Some(keywords) = schema.as_object_mut() else {
        return schema;
    };
    keywords.remove("required");
    if let Some(fields) = keywords
        .get_mut("properties")
        .and_then(Value::as_object_mut)
    {
        for field in fields.values_mut() {
            *field = patch_of(field.take());
        }
    }
    if let Some(choices) = keywords.get_mut("anyOf").and_then(Value::as_array_mut) {
        for choice in choices {
            *choice = patch_of(choice.take());
        }
    }
    schema
}

/// An object with any names, each with such a value.
pub fn map_of(values: Value) -> Value {
    json!({ "type": "object", "additionalProperties": values })
}

/// An object with any content.
pub fn free_object() -> Value {
    map_of(json!({}))
}

/// A list.
pub fn list(items: Value) -> Value {
    json!({ "type": "array", "items": items })
}

/// A list of at most so many items.
pub fn list_up_to(most: usize, items: Value) -> Value {
    json!({ "type": "array", "items": items, "maxItems": most })
}

/// A schema of [`super::Docs::schemas`], by its name.
pub fn named(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// The same, or `null`.
pub fn nullable(mut schema: Value) -> Value {
    let types = match &schema["type"] {
        Value::String(one) => json!([one, "null"]),
        Value::Array(some) => some.iter().cloned().chain([json!("null")]).collect(),
        _ => return json!({ "anyOf": [schema, { "type": "null" }] }),
    };
    schema["type"] = types;
    if let Some(words) = schema.get_mut("enum").and_then(Value::as_array_mut) {
        words.push(Value::Null);
    }
    schema
}

/// The same, with what it means.
pub fn says(mut schema: Value, meaning: &str) -> Value {
    schema["description"] = json!(meaning);
    schema
}

/// The same, with a value to start from.
pub fn like(mut schema: Value, example: impl Into<Value>) -> Value {
    schema["examples"] = Value::Array(vec![example.into()]);
    schema
}

/// Any text.
pub fn text() -> Value {
    json!({ "type": "string" })
}

/// A text of 1 to so many bytes. A schema counts characters, so one with others than ASCII may be too long all the same.
pub fn text_up_to(most: usize) -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": most })
}

/// A name of 1 to so many bytes, which has no control characters.
pub fn name_up_to(most: usize) -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": most, "pattern": id::PATTERN })
}

/// A text that only people read, or a number.
pub fn free_text() -> Value {
    json!({ "type": ["string", "number"] })
}

/// What only people read, as a body gives it: anything that does not fit the schema counts as absent, and is no fault.
pub fn lenient(schema: Value) -> Value {
    json!({ "anyOf": [schema, {}] })
}

/// A text that only people read, as a body gives it.
pub fn free_text_given() -> Value {
    lenient(free_text())
}

/// Anything.
pub fn any() -> Value {
    json!({})
}

/// One of some words.
pub fn one_of<'w>(words: impl IntoIterator<Item = &'w str>) -> Value {
    json!({ "type": "string", "enum": words.into_iter().collect::<Vec<_>>() })
}

/// Exactly this word.
pub fn only(word: &str) -> Value {
    one_of([word])
}

/// One of the words that the values of a type are written as.
pub fn words<T: serde::Serialize>(values: impl IntoIterator<Item = T>) -> Value {
    let words = values.into_iter().map(|value| json!(value));
    json!({ "type": "string", "enum": words.collect::<Vec<_>>() })
}

/// True or false.
pub fn flag() -> Value {
    json!({ "type": "boolean" })
}

/// A whole number that is not negative.
pub fn count() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

/// A count as a body gives it.
pub fn count_given() -> Value {
    json!({ "type": "integer", "minimum": 0, "maximum": COUNT_MAX })
}

/// An id: it is compared byte for byte, and has 1 to 128 bytes without control characters.
pub fn id() -> Value {
    name_up_to(ID_BYTES_MAX)
}

/// The id of a marketplace.
pub fn marketplace_id() -> Value {
    like(
        json!({ "type": "string", "pattern": id::MARKETPLACE_PATTERN }),
        "shop",
    )
}

/// An instant as answers have it: in UTC, with milliseconds.
pub fn instant() -> Value {
    json!({ "type": "string", "format": "date-time", "pattern": Instant::PRINTED })
}

/// An instant as a body gives it: of RFC 3339, with an offset.
pub fn instant_given() -> Value {
    let time = json!({ "type": "string", "format": "date-time", "pattern": Instant::PATTERN });
    like(time, "2026-11-20T10:15:00Z")
}

/// A calendar day, in the marketplace's time zone.
pub fn day() -> Value {
    let day = json!({ "type": "string", "format": "date", "pattern": Day::PATTERN });
    like(day, "2026-11-20")
}

/// A day, or an instant.
pub fn bound() -> Value {
    let pattern = format!("({})|({})", Day::PATTERN, Instant::PATTERN);
    like(
        json!({ "type": "string", "pattern": pattern }),
        "2026-11-20",
    )
}

/// An amount as answers have it, with the digits of its currency. A difference can be negative.
pub fn amount() -> Value {
    like(
        json!({ "type": "string", "pattern": Money::PRINTED }),
        "19.90",
    )
}

/// An amount as a body gives it: a decimal text, or a JSON number.
pub fn amount_given() -> Value {
    let text = like(
        json!({ "type": "string", "pattern": Money::PATTERN }),
        "19.90",
    );
    json!({ "anyOf": [text, { "type": "number", "minimum": 0, "maximum": 1_000_000_000_000_000_u64 }] })
}

/// A currency, by its code of ISO 4217.
pub fn currency() -> Value {
    like(
        json!({ "type": "string", "pattern": money::CURRENCY_PATTERN }),
        "EUR",
    )
}

/// Values by currency. A currency that has none is absent.
pub fn by_currency(values: Value) -> Value {
    json!({ "type": "object", "propertyNames": { "pattern": money::CURRENCY_PATTERN }, "additionalProperties": values })
}

/// Amounts by currency. A currency whose sum is zero is absent.
pub fn sums() -> Value {
    by_currency(amount())
}

/// A share with 4 decimals.
pub fn share() -> Value {
    like(
        json!({ "type": "string", "pattern": money::RATE_PATTERN }),
        "0.3200",
    )
}

/// A share with 4 decimals; `null` where there is nothing to divide by.
pub fn rate() -> Value {
    nullable(share())
}

/// A channel.
pub fn channel() -> Value {
    one_of(Channel::ALL.map(Channel::name))
}

/// A kind of event.
pub fn event_kind() -> Value {
    one_of(EventKind::ALL.map(EventKind::name))
}

/// The status of an order.
pub fn status() -> Value {
    one_of(Status::ALL.map(Status::name))
}

/// A page of a list: its rows under a name, and where the next page begins.
pub fn page(name: &'static str, row: Value) -> Value {
    object([field(name, list(row)), next_cursor()])
}

/// The place where the next page of a list begins; `null` on the last page.
pub fn next_cursor() -> Field {
    let meaning = "Where the next page begins; null on the last page.";
    field("next_cursor", nullable(text())).says(meaning)
}
