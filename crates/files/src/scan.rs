//! What is found in text without looking at what it means: commas and line ends, and the values of a JSON object.

/// What is left of a JSON text.
pub(crate) struct Scan<'b>(pub(crate) &'b str);

/// A JSON value without others in it.
pub(crate) enum Value<'b> {
    Text(&'b str),
    Number(&'b str),
    Flag(&'b str),
    Null,
}

impl<'b> Scan<'b> {
    pub(crate) fn skip_blank(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t']);
    }

    /// The next byte that is no blank.
    pub(crate) fn next(&mut self) -> Option<u8> {
        self.skip_blank();
        let byte = *self.0.as_bytes().first()?;
        self.0 = self.0.get(1..)?;
        Some(byte)
    }

    pub(crate) fn take(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    /// A text without escapes.
    pub(crate) fn text(&mut self) -> Option<&'b str> {
        self.take(b'"')?;
        let end = memchr::memchr2(b'"', b'\\', self.0.as_bytes())?;
        let text = self.0.get(..end)?;
        if self.0.as_bytes()[end] == b'\\' || text.bytes().any(|byte| byte < 0x20) {
            return None;
        }
        self.0 = self.0.get(end + 1..)?;
        Some(text)
    }

    pub(crate) fn value(&mut self) -> Option<Value<'b>> {
        self.skip_blank();
        if self.0.starts_with('"') {
            return self.text().map(Value::Text);
        }
        let ends = |c: char| !c.is_ascii_alphanumeric() && !['+', '-', '.'].contains(&c);
        let (word, rest) = self.0.split_at(self.0.find(ends)?);
        self.0 = rest;
        match word {
            "null" => Some(Value::Null),
            "true" | "false" => Some(Value::Flag(word)),
            _ => is_number(word).then_some(Value::Number(word)),
        }
    }
}

/// True for a number of JSON without an exponent.
fn is_number(word: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let word = word.strip_prefix('-').unwrap_or(word);
    let (whole, fraction) = word.split_once('.').unwrap_or((word, "0"));
    let leads = whole.len() > 1 && whole.starts_with('0');
    digits(whole) && digits(fraction) && !leads
}

/// True where no line holds a control character. 0xC2 begins those beyond ASCII, and other characters too.
pub(crate) fn is_calm(bytes: &[u8]) -> bool {
    let other =
        |byte: u8| (byte < 0x20 && byte != b'\n' && byte != b'\r') || byte == 0x7f || byte == 0xc2;
    let any = |chunk: &[u8]| chunk.iter().fold(false, |any, byte| any | other(*byte));
    !bytes.chunks(1 << 10).any(any)
}

/// What some bytes hold: whether there are only line feeds and printable ASCII, as in most files, and whether there is a quote.
pub(crate) fn look(bytes: &[u8]) -> (bool, bool) {
    let look = |(other, quote): (bool, bool), byte: &u8| {
        let is_other = !(b' '..=b'~').contains(byte) && *byte != b'\n';
        (other | is_other, quote | (*byte == b'"'))
    };
    let mut found = (false, false);
    for chunk in bytes.chunks(1 << 10) {
        let (other, quote) = chunk.iter().fold((false, false), look);
        found = (found.0 | other, found.1 | quote);
    }
    (!found.0, found.1)
}

/// The places of commas and line feeds, found in 64 bytes at a time.
pub(crate) struct Delimiters<'b> {
    bytes: &'b [u8],
    /// Where the next chunk begins.
    next: usize,
    /// The bit of each byte of the last chunk that is a delimiter and was not returned yet.
    found: u64,
}

/// The bit of each byte that is a delimiter.
#[inline]
fn delimiters(chunk: &[u8; 64]) -> u64 {
    // The compiler compares many bytes at once.
    let mut found = [0; 64];
    for (found, byte) in found.iter_mut().zip(chunk) {
        *found = u8::from(*byte == b',') | u8::from(*byte == b'\n');
    }
    let (words, _) = found.as_chunks::<8>();
    // Of eight bytes that are 0 or 1, the product has the first in the lowest bit of its highest byte, and so on.
    let bits = words
        .iter()
        .map(|word| u64::from_le_bytes(*word).wrapping_mul(0x0102_0408_1020_4080) >> 56);
    bits.rev().fold(0, |all, bits| all << 8 | bits)
}

impl<'b> Delimiters<'b> {
    pub(crate) fn new(bytes: &'b [u8]) -> Self {
        Self {
            bytes,
            next: 0,
            found: 0,
        }
    }
}

impl Iterator for Delimiters<'_> {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        while self.found == 0 {
            let rest = self.bytes.get(self.next..)?;
            self.found = match rest.first_chunk() {
                Some(chunk) => delimiters(chunk),
                None if rest.is_empty() => return None,
                None => {
                    let mut chunk = [0; 64];
                    chunk[..rest.len()].copy_from_slice(rest);
                    delimiters(&chunk)
                }
            };
            self.next += 64;
        }
        let at = self.next - 64 + self.found.trailing_zeros() as usize;
        self.found &= self.found - 1;
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delimiters_are_found_wherever_they_are() {
        // Bytes that differ from a comma or a line feed in one bit, in each place of a word.
        for seed in 0..5_000_u64 {
            let byte = |i: u64| match (seed * 7 + i * i + (seed >> (i % 13))) % 9 {
                0 => b',',
                1 => b'\n',
                2 => b'-',
                3 => 0xac,
                4 => 0x8a,
                _ => b'x',
            };
            let bytes: Vec<u8> = (0..seed % 200).map(byte).collect();
            let all = bytes.iter().enumerate();
            let expected: Vec<usize> = all
                .filter(|(_, byte)| [b',', b'\n'].contains(byte))
                .map(|(at, _)| at)
                .collect();
            assert_eq!(
                Delimiters::new(&bytes).collect::<Vec<_>>(),
                expected,
                "{bytes:?}"
            );
        }
    }
}
