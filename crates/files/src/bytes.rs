//! The bytes of a file. The beginning can be inspected before it is read, and what is packed is unpacked
//! while reading.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::GzDecoder;

use crate::layout::Packing;
use crate::zstd::Zstd;

/// How many bytes of the beginning are inspected. The first entry of a zip archive fits in, which shows whether it is a workbook.
pub(crate) const BEGINNING_BYTES: usize = 512;
pub(crate) const BUFFER_BYTES: usize = 128 << 10;

/// The storage that holds the file. Its failures are marked, since what unpacks has failures of its own.
#[derive(Debug)]
pub(crate) struct Source<R>(pub(crate) R);

/// A failure of the storage that holds the file.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) struct SourceFailed(pub(crate) io::Error);

impl<R: Read> Read for Source<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(io::Error::new(error.kind(), SourceFailed(error))),
                read => return read,
            }
        }
    }
}

/// A reader whose beginning was inspected.
#[derive(Debug)]
pub(crate) struct Begun<R> {
    beginning: Vec<u8>,
    /// How many bytes of the beginning were read.
    read: usize,
    /// Why the beginning is shorter than it could be. The error is returned after the beginning was read.
    failed: Option<io::Error>,
    rest: R,
}

impl<R: Read> Begun<R> {
    pub(crate) fn new(mut rest: R) -> Self {
        let mut beginning = Vec::new();
        let most = BEGINNING_BYTES as u64;
        let failed = (&mut rest).take(most).read_to_end(&mut beginning).err();
        Self {
            beginning,
            read: 0,
            failed,
            rest,
        }
    }

    pub(crate) fn beginning(&self) -> &[u8] {
        &self.beginning
    }

    /// What the beginning was read of.
    pub(crate) fn source(&self) -> &R {
        &self.rest
    }

    pub(crate) fn take_failure(&mut self) -> Option<io::Error> {
        self.failed.take()
    }

    /// Skips the byte order mark that some programs put before text, and returns the rest of the beginning.
    pub(crate) fn skip_byte_order_mark(&mut self) -> &[u8] {
        let marks: [&[u8]; 3] = [b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"];
        let mark = marks.iter().find(|mark| self.beginning.starts_with(mark));
        self.read = mark.map_or(0, |mark| mark.len());
        &self.beginning[self.read..]
    }
}

impl<R: Read> Read for Begun<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.read < self.beginning.len() {
            let read = (&self.beginning[self.read..]).read(buffer)?;
            self.read += read;
            return Ok(read);
        }
        match self.failed.take() {
            Some(error) => Err(error),
            None => self.rest.read(buffer),
        }
    }
}

/// The bytes of a file after decompression.
#[derive(Debug)]
pub(crate) enum Unpacked<R: Read> {
    Plain(R),
    Gzip(Gzip<R>),
    // Its tables are large, and it lies where others lie that have none.
    Zstd(Box<Zstd<R>>),
}

impl<R: Read> Unpacked<R> {
    pub(crate) fn new(bytes: R, packing: Packing) -> Self {
        match packing {
            Packing::Plain => Self::Plain(bytes),
            Packing::Gzip => Self::Gzip(Gzip::new(bytes)),
            Packing::Zstd => Self::Zstd(Box::new(Zstd::new(bytes))),
        }
    }

    /// What the bytes are called where they are broken.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Plain(_) => "file",
            Self::Gzip(_) => "gzip stream",
            Self::Zstd(_) => "zstd stream",
        }
    }
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(bytes) => bytes.read(buffer),
            Self::Gzip(bytes) => bytes.read(buffer),
            Self::Zstd(bytes) => bytes.read(buffer),
        }
    }
}

/// The members of a gzip file, one after the other. Zero bytes after a member are ignored, because tapes, block devices and some
/// uploaders fill their last block with them.
#[derive(Debug)]
pub(crate) struct Gzip<R: Read> {
    /// The current member; `None` after the last one.
    member: Option<GzDecoder<BufReader<R>>>,
}

impl<R: Read> Gzip<R> {
    pub(crate) fn new(packed: R) -> Self {
        let packed = BufReader::with_capacity(BUFFER_BYTES, packed);
        Self {
            member: Some(GzDecoder::new(packed)),
        }
    }
}

impl<R: Read> Read for Gzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(member) = &mut self.member else {
                return Ok(0);
            };
            let read = member.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let next = skip_zeros(member.get_mut())?;
            let ended = self.member.take();
            match next {
                None => {}
                Some(0x1f) => self.member = ended.map(|ended| GzDecoder::new(ended.into_inner())),
                Some(_) => {
                    let why = "something that is no gzip follows its end";
                    return Err(io::Error::new(io::ErrorKind::InvalidData, why));
                }
            }
        }
    }
}

/// Skips zero bytes. Returns the first other byte, which stays unread.
pub(crate) fn skip_zeros(bytes: &mut impl BufRead) -> io::Result<Option<u8>> {
    loop {
        let block = bytes.fill_buf()?;
        if block.is_empty() {
            return Ok(None);
        }
        let zeros = block.iter().take_while(|byte| **byte == 0).count();
        let next = block.get(zeros).copied();
        bytes.consume(zeros);
        if next.is_some() {
            return Ok(next);
        }
    }
}
