//! The text of a file whatever program saved it: unpacked, in UTF-8, without a byte order mark. What is read here is for people's
//! exports; files of our own form are UTF-8.

use std::io::{self, Read};

use crate::SUBSTITUTE;
use crate::bytes::{Begun, Unpacked};
use crate::layout::Packing;

/// How many bytes of UTF-16 are decoded at a time.
const CHUNK_BYTES: usize = 64 << 10;

/// The bytes of a file as UTF-8. Gzip and zstd are unpacked and UTF-16 is decoded, all known by the first bytes; anything else stays
/// as it is.
pub fn utf8<'r>(bytes: impl Read + Send + 'r) -> Box<dyn Read + Send + 'r> {
    let packed = Begun::new(bytes);
    let packing = Packing::of(packed.beginning());
    let mut bytes = Begun::new(Unpacked::new(packed, packing));
    match byte_order(bytes.beginning()) {
        Some(order) => {
            bytes.skip_byte_order_mark();
            Box::new(Utf16::new(bytes, order))
        }
        None => {
            bytes.skip_byte_order_mark();
            Box::new(bytes)
        }
    }
}

/// The order of the bytes of UTF-16: as its mark says, or as the zero bytes beside the letters of a header show.
fn byte_order(beginning: &[u8]) -> Option<fn([u8; 2]) -> u16> {
    match beginning {
        // UTF-32 begins alike.
        [0xff, 0xfe, 0, 0, ..] => None,
        [0xff, 0xfe, ..] | [1..=0x7f, 0, 1..=0x7f, 0, ..] => Some(u16::from_le_bytes),
        [0xfe, 0xff, ..] | [0, 1..=0x7f, 0, 1..=0x7f, ..] => Some(u16::from_be_bytes),
        _ => None,
    }
}

/// Decodes UTF-16. Half of a pair without the other half becomes [`SUBSTITUTE`].
struct Utf16<R> {
    bytes: R,
    order: fn([u8; 2]) -> u16,
    /// Bytes that were read and not decoded: half of a unit, or the first half of a pair.
    left: Vec<u8>,
    decoded: Vec<u8>,
    /// How much of `decoded` was given on.
    at: usize,
    ended: bool,
}

impl<R: Read> Utf16<R> {
    fn new(bytes: R, order: fn([u8; 2]) -> u16) -> Self {
        Self {
            bytes,
            order,
            left: Vec::new(),
            decoded: Vec::new(),
            at: 0,
            ended: false,
        }
    }

    fn decode_more(&mut self) -> io::Result<()> {
        let mut bytes = std::mem::take(&mut self.left);
        let mut chunk = (&mut self.bytes).take(CHUNK_BYTES as u64);
        self.ended = chunk.read_to_end(&mut bytes)? == 0;
        let mut whole = bytes.len() - bytes.len() % 2;
        let (units, _) = bytes.as_chunks::<2>();
        let mut units: Vec<u16> = units.iter().map(|unit| (self.order)(*unit)).collect();
        let is_first_half = |unit: &mut u16| (0xd800..0xdc00).contains(unit);
        if !self.ended && units.pop_if(is_first_half).is_some() {
            whole -= 2;
        }
        self.left = bytes.split_off(whole);
        let decoded = char::decode_utf16(units).map(|c| c.unwrap_or(SUBSTITUTE));
        let mut text: String = decoded.collect();
        text.extend((self.ended && !self.left.is_empty()).then_some(SUBSTITUTE));
        self.decoded = text.into_bytes();
        self.at = 0;
        Ok(())
    }
}

impl<R: Read> Read for Utf16<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.decoded.len() && !self.ended {
            self.decode_more()?;
        }
        let read = (&self.decoded[self.at..]).read(buffer)?;
        self.at += read;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn whatever_program_saved_it() {
        let text = format!("größe,имя,🦀\n{}", "🦀x".repeat(40_000));
        let le: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let be: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&[b"\xff\xfe", &le[..]].concat()).unwrap();
        let ascii: Vec<u8> = "Name,Email\n"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        for (bytes, expected) in [
            ([b"\xff\xfe", &le[..]].concat(), text.clone()),
            ([b"\xfe\xff", &be[..]].concat(), text.clone()),
            (gzip.finish().unwrap(), text.clone()),
            (ascii, "Name,Email\n".to_owned()),
            (text.clone().into_bytes(), text.clone()),
            ([b"\xef\xbb\xbf", text.as_bytes()].concat(), text.clone()),
            (b"\xff\xfea\0\x3d\xd8".to_vec(), "a\u{1a}".to_owned()),
            (b"\xff\xfea\0b".to_vec(), "a\u{1a}".to_owned()),
            (Vec::new(), String::new()),
        ] {
            let mut read = String::new();
            utf8(&bytes[..]).read_to_string(&mut read).unwrap();
            assert!(
                read == expected,
                "{} bytes: {:?}",
                bytes.len(),
                &read[..read.len().min(20)]
            );
        }
    }
}
