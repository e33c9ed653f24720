//! A node's operator: as it is, or divided by key.

use std::io::{self, Read, Write};

use crate::delta::Delta;
use crate::divided::{Divided, Spilled};
use crate::operator::{Due, Operator, OperatorError, StepContext};
use crate::spill::PartId;

pub(crate) enum Stage {
    Plain(Box<dyn Operator>),
    Divided(Box<Divided>),
}

impl Stage {
    pub(crate) fn push(
        &mut self,
        input: usize,
        delta: Delta,
        ctx: &mut StepContext,
    ) -> Result<Vec<Delta>, OperatorError> {
        match self {
            Self::Plain(operator) => operator.push(input, delta, ctx),
            Self::Divided(divided) => divided.push(input, delta, ctx),
        }
    }

    pub(crate) fn finish(&mut self, ctx: &mut StepContext) -> Result<Vec<Delta>, OperatorError> {
        match self {
            Self::Plain(operator) => operator.finish(ctx),
            Self::Divided(divided) => divided.finish(ctx),
        }
    }

    pub(crate) fn retain(&mut self, older_than_us: i64) -> Result<(), OperatorError> {
        match self {
            Self::Plain(operator) => operator.retain(older_than_us),
            Self::Divided(divided) => divided.retain(older_than_us),
        }
    }

    pub(crate) fn closed(&mut self, watermark_us: i64) -> Result<(), OperatorError> {
        match self {
            Self::Plain(operator) => operator.closed(watermark_us),
            Self::Divided(divided) => divided.closed(watermark_us),
        }
    }

    pub(crate) fn allow(&mut self, bytes: usize) -> Result<(), OperatorError> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Divided(divided) => divided.allow(bytes),
        }
    }

    pub(crate) fn save_parts(&mut self) -> Result<(), OperatorError> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Divided(divided) => divided.save_parts(),
        }
    }

    pub(crate) fn saved(&self) -> Vec<PartId> {
        match self {
            Self::Plain(_) => Vec::new(),
            Self::Divided(divided) => divided.saved().collect(),
        }
    }

    pub(crate) fn due(&self) -> Due {
        match self {
            Self::Plain(operator) => operator.due(),
            Self::Divided(divided) => divided.due(),
        }
    }

    pub(crate) fn state_bytes(&self) -> usize {
        match self {
            Self::Plain(operator) => operator.state_bytes(),
            Self::Divided(divided) => divided.state_bytes(),
        }
    }

    pub(crate) fn wanted_bytes(&self) -> usize {
        match self {
            Self::Plain(operator) => operator.state_bytes(),
            Self::Divided(divided) => divided.wanted_bytes(),
        }
    }

    pub(crate) fn state_rows(&self) -> usize {
        match self {
            Self::Plain(operator) => operator.state_rows(),
            Self::Divided(divided) => divided.state_rows(),
        }
    }

    pub(crate) fn spilled(&self) -> Spilled {
        match self {
            Self::Plain(_) => Spilled::default(),
            Self::Divided(divided) => divided.spilled(),
        }
    }

    pub(crate) fn snapshot(&self, out: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Plain(operator) => operator.snapshot(out),
            Self::Divided(divided) => divided.snapshot(out),
        }
    }

    pub(crate) fn restore(&mut self, from: &mut dyn Read) -> io::Result<()> {
        match self {
            Self::Plain(operator) => operator.restore(from),
            Self::Divided(divided) => divided.restore(from),
        }
    }
}
