//! What a certificate says (RFC 5280): its key, whose it is, and from when to when it is good. Whether to believe it is decided where it
//! is used.

use revtrail_core::value::time::Instant;

use crate::time::{Unit, instant};

/// What a certificate says of itself.
pub(crate) struct Told {
    /// The common name of its subject.
    pub(crate) name: String,
    /// The first instant at which it is good.
    pub(crate) from: Instant,
    /// The last one.
    pub(crate) to: Instant,
}

/// The tags of DER that are told apart here.
const VERSION: u8 = 0xa0;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// 2.5.4.3, the common name.
const COMMON_NAME: [u8; 3] = [0x55, 0x04, 0x03];

/// The fields of a certificate from its validity on: that, then its subject, then its key. Before them are the serial number, the algorithm and
/// the issuer.
fn fields(certificate: &[u8]) -> Option<&[u8]> {
    let (_, certificate, _) = der(certificate)?;
    let (_, mut fields, _) = der(certificate)?;
    let (tag, _, after) = der(fields)?;
    if tag == VERSION {
        fields = after;
    }
    for _ in 0..3 {
        (_, _, fields) = der(fields)?;
    }
    Some(fields)
}

/// The public key, as PKCS#1 has it.
pub(crate) fn public_key(certificate: &[u8]) -> Option<&[u8]> {
    let (_, _, fields) = der(fields(certificate)?)?;
    let (_, _, fields) = der(fields)?;
    let (_, info, _) = der(fields)?;
    let (_, _, bits) = der(info)?;
    let (_, bits, _) = der(bits)?;
    // The first byte counts the unused bits of the last.
    bits.strip_prefix(&[0])
}

/// What a certificate says of itself; `None` where it is none, or has no common name.
pub(crate) fn told(certificate: &[u8]) -> Option<Told> {
    let (_, validity, fields) = der(fields(certificate)?)?;
    let (tag, from, validity) = der(validity)?;
    let from = time(tag, from)?;
    let (tag, to, _) = der(validity)?;
    let (_, mut subject, _) = der(fields)?;
    let mut name = None;
    // A subject is a sequence of sets of pairs of what and how.
    while !subject.is_empty() {
        let (_, set, rest) = der(subject)?;
        let (_, pair, _) = der(set)?;
        let (tag, what, value) = der(pair)?;
        if tag == OBJECT_IDENTIFIER && what == COMMON_NAME {
            let (_, text, _) = der(value)?;
            name = Some(String::from_utf8(text.to_vec()).ok()?);
        }
        subject = rest;
    }
    Some(Told {
        name: name?,
        from,
        to: time(tag, to)?,
    })
}

/// A time of UTC. One with two digits of a year is of 1950 to 2049.
fn time(tag: u8, text: &[u8]) -> Option<Instant> {
    let text = std::str::from_utf8(text).ok()?;
    let text = match tag {
        UTC_TIME if text < "50" => format!("20{text}"),
        UTC_TIME => format!("19{text}"),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    instant(&text, Unit::Format("%Y%m%d%H%M%SZ"), chrono_tz::Tz::UTC)
}

/// A value of DER: its tag, its content, and what follows.
fn der(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (
                length
                    .iter()
                    .fold(0, |all, byte| all << 8 | usize::from(*byte)),
                rest,
            )
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}
