//! A join's snapshot: the keys, then both sides.

use std::io::{self, Read, Write};

use super::Join;
use crate::codec::persist::{expect_version, put_u32};

/// 2: a side keeps only what it needs.
const VERSION: u32 = 2;

impl Join {
    pub(super) fn save(&self, out: &mut dyn Write) -> io::Result<()> {
        put_u32(out, VERSION)?;
        self.keys.save(out)?;
        self.sides.iter().try_for_each(|side| side.save(out))?;
        self.expiry
            .as_ref()
            .map_or(Ok(()), |expiry| expiry.save(out))
    }

    pub(super) fn load(&mut self, from: &mut dyn Read) -> io::Result<()> {
        expect_version(from, VERSION)?;
        self.keys.load(from)?;
        self.sides.iter_mut().try_for_each(|side| side.load(from))?;
        let bound = self.keys.id_bound();
        self.sides.iter_mut().for_each(|side| side.grow(bound));
        match &mut self.expiry {
            Some(expiry) => expiry.load(from),
            None => Ok(()),
        }
    }
}
