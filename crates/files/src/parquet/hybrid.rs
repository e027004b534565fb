//! Small numbers as Parquet packs them: runs of one number, and numbers of so many bits each. So are the indices into dictionaries, and
//! which rows are null.

use bytes::Bytes;

/// The most bits of a number.
const BITS_MAX: u8 = 32;

/// Numbers that are read one after the other.
pub(super) struct Hybrid {
    bytes: Bytes,
    /// Where in `bytes` the next run begins.
    at: usize,
    bits: u8,
    run: Run,
}

/// What is left of a run.
#[derive(Clone, Copy)]
enum Run {
    Same(u32, usize),
    /// The bit in all bytes where the next number begins, and how many numbers follow.
    Packed(usize, usize),
}

impl Hybrid {
    /// Numbers of so many bits; `None` where no number has so many.
    pub(super) fn new(bytes: Bytes, bits: u8) -> Option<Self> {
        (bits <= BITS_MAX).then_some(Self {
            bytes,
            at: 0,
            bits,
            run: Run::Same(0, 0),
        })
    }

    /// Skips so many numbers, if one run has them all and they are `number`.
    pub(super) fn skip_run(&mut self, number: u32, count: usize) -> bool {
        if let Run::Same(_, 0) | Run::Packed(_, 0) = self.run
            && let Some(run) = self.next_run()
        {
            self.run = run;
        }
        match &mut self.run {
            Run::Same(same, left) if *same == number && *left >= count => {
                *left -= count;
                true
            }
            _ => false,
        }
    }

    /// Appends so many numbers; `None` where there are fewer.
    pub(super) fn read(&mut self, mut count: usize, to: &mut Vec<u32>) -> Option<()> {
        while count > 0 {
            let (Run::Same(_, left) | Run::Packed(_, left)) = self.run;
            let take = left.min(count);
            match &mut self.run {
                _ if take == 0 => {
                    self.run = self.next_run()?;
                    continue;
                }
                Run::Same(number, left) => {
                    to.resize(to.len() + take, *number);
                    *left -= take;
                }
                Run::Packed(bit, left) => {
                    let (bits, first) = (usize::from(self.bits), *bit);
                    *bit += take * bits;
                    *left -= take;
                    unpack(&self.bytes, first, bits, take, to);
                }
            }
            count -= take;
        }
        Some(())
    }

    /// The next run. Where there is none, nothing was read.
    fn next_run(&mut self) -> Option<Run> {
        let before = self.at;
        let run = self.read_run();
        if run.is_none() {
            self.at = before;
        }
        run
    }

    fn read_run(&mut self) -> Option<Run> {
        let mut head = 0_u64;
        for shift in (0..35).step_by(7) {
            let byte = self.take(1)?[0];
            head |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        let count = usize::try_from(head >> 1).ok()?;
        let bits = usize::from(self.bits);
        if head & 1 == 0 {
            let number = self.take(bits.div_ceil(8))?;
            let number = number
                .iter()
                .rev()
                .fold(0, |all, byte| all << 8 | u32::from(*byte));
            return Some(Run::Same(number, count));
        }
        // Eight numbers have as many bytes as one has bits.
        let first = self.at;
        self.take(count.checked_mul(bits)?)?;
        Some(Run::Packed(8 * first, 8 * count))
    }

    fn take(&mut self, length: usize) -> Option<&[u8]> {
        let end = self.at.checked_add(length)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }
}

/// Appends numbers of so many bits each, which begin at a bit of the bytes.
fn unpack(bytes: &[u8], first: usize, bits: usize, count: usize, to: &mut Vec<u32>) {
    let mask = (1_u64 << bits) - 1;
    to.extend((0..count).map(|index| {
        let bit = first + index * bits;
        let rest = bytes.get(bit / 8..).unwrap_or_default();
        let word = match rest.first_chunk() {
            Some(chunk) => u64::from_le_bytes(*chunk),
            None => rest
                .iter()
                .rev()
                .fold(0, |all, byte| all << 8 | u64::from(*byte)),
        };
        (word >> (bit % 8) & mask) as u32
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_and_packed_numbers_are_read() {
        for (bytes, bits, expected) in [
            (&[][..], 1, Some(&[][..])),
            // Three times 1, and then eight single bits.
            (
                &[6, 1, 3, 0b1000_0101],
                1,
                Some(&[1, 1, 1, 1, 0, 1, 0, 0, 0, 0, 1]),
            ),
            // Numbers of three bits lie across bytes: 0 to 7.
            (&[3, 0x88, 0xc6, 0xfa], 3, Some(&[0, 1, 2, 3, 4, 5, 6, 7])),
            (&[4, 0x34, 0x12, 2, 7, 0], 12, Some(&[0x1234, 0x1234, 7])),
            // No bits: every number is 0.
            (&[9], 0, Some(&[0; 32])),
            // Nothing, or too little, follows.
            (&[], 1, None),
            (&[3, 0x88, 0xc6], 3, None),
            (&[4, 0x34], 12, None),
            (&[0x80, 0x80, 0x80, 0x80, 0x80], 1, None),
        ] {
            let mut numbers = Vec::new();
            let mut hybrid = Hybrid::new(bytes.to_vec().into(), bits).unwrap();
            let count = expected.map_or(1, <[u32]>::len);
            let read = hybrid.read(count, &mut numbers);
            assert_eq!(read.map(|()| &numbers[..]), expected, "{bytes:?}");
            assert_eq!(hybrid.read(1, &mut numbers), None, "{bytes:?}");
        }
        // Four ones, a zero, and then a run that is cut off.
        let mut hybrid = Hybrid::new(vec![8, 1, 2, 0, 5, 0xff].into(), 1).unwrap();
        let mut numbers = Vec::new();
        assert!(hybrid.skip_run(1, 3));
        assert!(!hybrid.skip_run(1, 2));
        hybrid.read(2, &mut numbers).unwrap();
        assert_eq!(numbers, [1, 0]);
        assert!(!hybrid.skip_run(1, 1));
        assert_eq!(hybrid.read(1, &mut numbers), None);
        assert!(Hybrid::new(Bytes::new(), 33).is_none());
    }
}
