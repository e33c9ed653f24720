//! `EMIT ON WINDOW CLOSE` of what is more than one aggregate: a [`gate::Gate`] where rows get their windows keeps out what is late, so that
//! everything behind it computes over the same rows; a [`hold::Hold`] gives each window's rows once, when the watermark has passed its end.

pub(crate) mod gate;
pub(crate) mod hold;
#[cfg(test)]
mod tests;
