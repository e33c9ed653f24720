//! A divided state in a snapshot: a list of its parts, each with its bytes or with the name under which the store has them.
//!
//! ```text
//! version u32 | clock i64 | watermark i64 | count u32 | part*
//! part = prefix u32 | depth u32 | bytes u64 | rows u64 | indivisible u64 | due | due | 1 u32 | id u64 | stored bytes u64
//!      | ...                                                                         | 0 u32 | frames
//! due  = 0 u32 | 1 u32, i64
//! ```

use std::io::{self, Read, Write};

use super::Divided;
use super::part::{DEPTH_MAX, Moment, Part};
use crate::codec::persist::{expect_version, get_u32, get_u64, invalid, put_u32, put_u64};
use crate::frames::{FrameReader, FrameWriter};
use crate::operator::Due;

const VERSION: u32 = 1;

impl Divided {
    pub(crate) fn snapshot(&self, out: &mut dyn Write) -> io::Result<()> {
        put_u32(out, VERSION)?;
        put_u64(out, self.before.now_us as u64)?;
        put_u64(out, self.before.watermark_us as u64)?;
        put_u32(out, self.parts.len() as u32)?;
        self.parts.iter().try_for_each(|part| put_part(part, out))
    }

    /// Takes the state that [`Divided::snapshot`] wrote. What the store holds is read when it is needed.
    pub(crate) fn restore(&mut self, from: &mut dyn Read) -> io::Result<()> {
        expect_version(from, VERSION)?;
        self.before = Moment {
            now_us: get_u64(from)? as i64,
            watermark_us: get_u64(from)? as i64,
        };
        let count = get_u32(from)?;
        if count == 0 || count > 1 << DEPTH_MAX {
            return Err(invalid(format!("a state of {count} parts")));
        }
        self.parts.clear();
        for _ in 0..count {
            let part = self.get_part(from)?;
            self.parts.push(part);
        }
        let mut next = 0u64;
        for part in &self.parts {
            if u64::from(part.first()) != next {
                return Err(invalid("the parts of a state do not fit together"));
            }
            next += 1 << (32 - part.depth);
        }
        if next != 1 << 32 {
            return Err(invalid("a part of a state is missing"));
        }
        self.keyed = (count > 1).then_some(true);
        if count > 1 {
            self.order();
        }
        Ok(())
    }

    fn get_part(&self, from: &mut dyn Read) -> io::Result<Part> {
        let operator = (self.make)().map_err(io::Error::other)?;
        let mut part = Part::new(operator);
        part.prefix = get_u32(from)?;
        part.depth = u8::try_from(get_u32(from)?)
            .ok()
            .filter(|depth| *depth <= DEPTH_MAX && u64::from(part.prefix) < 1 << depth)
            .ok_or_else(|| invalid("a part of a state is nowhere"))?;
        part.bytes = get_u64(from)? as usize;
        part.rows = get_u64(from)? as usize;
        part.indivisible = get_u64(from)? as usize;
        part.due = Due {
            watermark_us: get_due(from)?,
            clock_us: get_due(from)?,
        };
        match (get_u32(from)?, &self.division.store) {
            (0, _) => {
                let mut frames = FrameReader::new(from);
                if let Some(operator) = &mut part.live {
                    operator.restore(&mut frames)?;
                }
                frames.end()?;
                part.measure();
            }
            (1, Some(store)) => {
                part.live = None;
                let id = get_u64(from)?;
                store.adopt(id)?;
                part.saved = Some(id);
                part.saved_bytes = get_u64(from)? as usize;
            }
            _ => return Err(invalid("a part of a state is of an unknown kind")),
        }
        Ok(part)
    }
}

fn put_part(part: &Part, out: &mut dyn Write) -> io::Result<()> {
    put_u32(out, part.prefix)?;
    put_u32(out, u32::from(part.depth))?;
    // Of a state that is written here it is found out when it is read.
    let away = |number: usize| {
        if part.saved.is_some() {
            number as u64
        } else {
            0
        }
    };
    put_u64(out, away(part.bytes))?;
    put_u64(out, away(part.rows))?;
    put_u64(out, part.indivisible as u64)?;
    let due = part.saved.map_or(Due::default(), |_| part.due);
    put_due(out, due.watermark_us)?;
    put_due(out, due.clock_us)?;
    match (part.saved, &part.live) {
        (Some(id), _) => {
            put_u32(out, 1)?;
            put_u64(out, id)?;
            put_u64(out, part.saved_bytes as u64)
        }
        (None, Some(operator)) => {
            put_u32(out, 0)?;
            let mut frames = FrameWriter::new(out);
            operator.snapshot(&mut frames)?;
            frames.end()
        }
        (None, None) => Err(invalid("a part of a state is nowhere")),
    }
}

fn put_due(out: &mut dyn Write, due: Option<i64>) -> io::Result<()> {
    put_u32(out, u32::from(due.is_some()))?;
    due.map_or(Ok(()), |at| put_u64(out, at as u64))
}

fn get_due(from: &mut dyn Read) -> io::Result<Option<i64>> {
    Ok(match get_u32(from)? {
        0 => None,
        _ => Some(get_u64(from)? as i64),
    })
}
