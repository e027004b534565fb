//! Texts that somebody else made up, as a sentence of ours can show them.

/// The most bytes of a name or a value that a sentence repeats.
const SHOWN_BYTES_MAX: usize = 100;

/// Cuts a text to a number of bytes, between two characters. A text that was cut ends with an ellipsis.
pub fn shortened(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        text.truncate(text.floor_char_boundary(bytes_max - '…'.len_utf8()));
        text.push('…');
    }
    text
}

/// The beginning of a text that somebody else made up, as a sentence can show it: short, and without control characters.
pub fn shown(text: &str) -> String {
    let start = &text[..text.floor_char_boundary(SHOWN_BYTES_MAX + 4)];
    let clean = start.replace(char::is_control, "\u{fffd}");
    shortened(clean, SHOWN_BYTES_MAX)
}

/// The same in quotes, where characters that a reader could not see are escaped.
pub fn quoted(text: &str) -> String {
    let start = &text[..text.floor_char_boundary(SHOWN_BYTES_MAX)];
    let more = if start.len() < text.len() { "…" } else { "" };
    format!("{start:?}{more}")
}
