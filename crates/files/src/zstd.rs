//! Unpacks zstd while reading.

use std::fmt;
use std::io::{self, BufReader, Read};

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use crate::bytes::{BUFFER_BYTES, skip_zeros};

/// The largest window that a frame may have, in bytes. It is that of `zstd -d`; a frame that needs more was made with `--long`.
const WINDOW_BYTES_MAX: u64 = 128 << 20;

/// True for the beginning of a zstd file. A frame that holds no data may come first, and some packers put one there.
pub(crate) fn is_zstd(beginning: &[u8]) -> bool {
    matches!(
        beginning,
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..]
    )
}

/// The frames of a zstd file, one after the other. Zero bytes after a frame are ignored, as they are after a member of gzip.
pub(crate) struct Zstd<R: Read> {
    packed: Observed<R>,
    frame: FrameDecoder,
    /// True from the header of a frame to its end.
    is_open: bool,
}

impl<R: Read> fmt::Debug for Zstd<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Zstd")
            .field("is_open", &self.is_open)
            .finish_non_exhaustive()
    }
}

impl<R: Read> Zstd<R> {
    pub(crate) fn new(packed: R) -> Self {
        let mut frame = FrameDecoder::new();
        frame.set_max_window_size(WINDOW_BYTES_MAX);
        Self {
            packed: Observed {
                bytes: BufReader::with_capacity(BUFFER_BYTES, packed),
                ended: false,
                failed: None,
            },
            frame,
            is_open: false,
        }
    }

    /// Reads the header of the next frame that holds data; returns false at the end of the file.
    fn open(&mut self) -> io::Result<bool> {
        loop {
            match skip_zeros(&mut self.packed.bytes)? {
                None => return Ok(false),
                Some(0x28 | 0x50..=0x5f) => {}
                Some(_) => return Err(broken("something that is no zstd follows its end")),
            }
            let skipped = match self.frame.reset(&mut self.packed) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => u64::from(length),
                Err(error) => return Err(self.why(&error)),
            };
            let rest = &mut (&mut self.packed.bytes).take(skipped);
            if io::copy(rest, &mut io::sink())? < skipped {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Ends a frame whose data was read.
    fn close(&mut self) -> io::Result<()> {
        self.is_open = false;
        match self.frame.get_checksum_from_data() {
            Some(sum) if self.frame.get_calculated_checksum() != Some(sum) => {
                Err(broken("its data does not have the checksum that it names"))
            }
            _ => Ok(()),
        }
    }

    /// Why a frame cannot be read: because of the bytes below, or of what they say.
    fn why(&mut self, error: &FrameDecoderError) -> io::Error {
        match (self.packed.failed.take(), error) {
            (Some(failed), _) => failed,
            (None, _) if self.packed.ended => io::ErrorKind::UnexpectedEof.into(),
            (None, FrameDecoderError::WindowSizeTooBig { .. }) => broken(
                "it needs more than 128 MiB of memory to unpack: pack it without --long, or unpack it",
            ),
            (None, error) => broken(&error.to_string()),
        }
    }
}

impl<R: Read> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.is_open {
                self.is_open = self.open()?;
                if !self.is_open {
                    return Ok(0);
                }
            }
            if buffer.is_empty() || self.frame.can_collect() > 0 {
                return self.frame.read(buffer);
            }
            if self.frame.is_finished() {
                self.close()?;
                continue;
            }
            let one = BlockDecodingStrategy::UptoBlocks(1);
            if let Err(error) = self.frame.decode_blocks(&mut self.packed, one) {
                return Err(self.why(&error));
            }
        }
    }
}

fn broken(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// A reader that remembers how it ended, which the errors of the decoder hide.
struct Observed<R> {
    bytes: BufReader<R>,
    ended: bool,
    failed: Option<io::Error>,
}

impl<R: Read> Read for Observed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.bytes.read(buffer) {
            Ok(read) => {
                self.ended |= read == 0 && !buffer.is_empty();
                Ok(read)
            }
            Err(error) => {
                let kind = error.kind();
                self.failed = Some(error);
                Err(kind.into())
            }
        }
    }
}
