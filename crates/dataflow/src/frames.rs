//! Frames of unknown length, so that operators write their state as a stream:
//!
//! ```text
//! frame = part*, u32 0        part = u32 length, bytes
//! ```

use std::io::{self, Read, Write};

use crate::codec::persist::{get_u32, invalid, put_u32};

const PART_BYTES: usize = 64 * 1024;

pub(crate) struct FrameWriter<'a> {
    out: &'a mut dyn Write,
    part: Vec<u8>,
}

impl<'a> FrameWriter<'a> {
    pub(crate) fn new(out: &'a mut dyn Write) -> Self {
        Self {
            out,
            part: Vec::with_capacity(PART_BYTES),
        }
    }

    pub(crate) fn end(mut self) -> io::Result<()> {
        self.send()?;
        put_u32(self.out, 0)
    }

    fn send(&mut self) -> io::Result<()> {
        if self.part.is_empty() {
            return Ok(());
        }
        put_u32(self.out, self.part.len() as u32)?;
        self.out.write_all(&self.part)?;
        self.part.clear();
        Ok(())
    }
}

impl Write for FrameWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.part.len() >= PART_BYTES {
            self.send()?;
        }
        let taken = bytes.len().min(PART_BYTES - self.part.len());
        self.part.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send()
    }
}

pub(crate) struct FrameReader<'a> {
    from: &'a mut dyn Read,
    /// Bytes left of the current part.
    left: usize,
    ended: bool,
}

impl<'a> FrameReader<'a> {
    pub(crate) fn new(from: &'a mut dyn Read) -> Self {
        Self {
            from,
            left: 0,
            ended: false,
        }
    }

    /// All must have been read.
    pub(crate) fn end(mut self) -> io::Result<()> {
        match self.read(&mut [0])? {
            0 => Ok(()),
            _ => Err(invalid("there is more state than the operator reads")),
        }
    }
}

impl Read for FrameReader<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 && !self.ended {
            self.left = get_u32(self.from)? as usize;
            self.ended = self.left == 0;
        }
        let wanted = to.len().min(self.left);
        if wanted == 0 {
            return Ok(0);
        }
        let read = self.from.read(&mut to[..wanted])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= read;
        Ok(read)
    }
}
