//! Everything that the table holds, as text: what was compressed is unpacked, so that nothing hides.

use std::collections::BTreeMap;
use std::io::Read;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flate2::read::DeflateDecoder;
use revtrail_store::table::embedded::Embedded;
use serde_json::Value;

/// All items by their keys, each as the text of its attributes.
pub fn items(database: &Embedded) -> BTreeMap<String, String> {
    let items = database.items().unwrap();
    let shown = items.iter().map(|item| {
        let key = format!("{} {}", text(&item["pk"]), text(&item["sk"]));
        let attributes = item.as_object().unwrap().iter();
        let attributes: Vec<String> = attributes
            .map(|(name, value)| format!("{name}={}", text(value)))
            .collect();
        (key, attributes.join(" "))
    });
    shown.collect()
}

fn text(value: &Value) -> String {
    if let Some(packed) = value["B"].as_str() {
        let bytes = BASE64_STANDARD.decode(packed).unwrap();
        let mut text = String::new();
        // The first byte names the format.
        DeflateDecoder::new(&bytes[1..])
            .read_to_string(&mut text)
            .unwrap();
        return text;
    }
    let plain = value["S"].as_str().or(value["N"].as_str());
    plain.map_or_else(|| value.to_string(), str::to_owned)
}

/// The items that hold one of these texts, each with the text that it holds.
pub fn holding(database: &Embedded, texts: &[&str]) -> Vec<String> {
    let items = items(database);
    let holding = items.iter().filter_map(|(key, item)| {
        let found = texts.iter().find(|text| item.contains(**text))?;
        Some(format!("{found} in {key}: {item}"))
    });
    holding.collect()
}
