//! Why a value could not be read: broken JSON, or a value that does not fit its column.

/// Boxed: faults are rare, and a thin error keeps the results of the hot path in a register.
pub(crate) type Fault = Box<FaultKind>;

#[derive(Debug)]
pub(crate) enum FaultKind {
    /// Not JSON; nothing after `at` can be trusted.
    Syntax { at: usize, what: &'static str },
    /// JSON, but not what the column holds. `path` is filled from the inside out.
    Type {
        at: usize,
        path: String,
        what: String,
    },
}

pub(crate) fn syntax(at: usize, what: &'static str) -> Fault {
    Box::new(FaultKind::Syntax { at, what })
}

pub(crate) fn mismatch(at: usize, what: String) -> Fault {
    Box::new(FaultKind::Type {
        at,
        path: String::new(),
        what,
    })
}

impl FaultKind {
    pub(crate) fn is_syntax(&self) -> bool {
        matches!(self, Self::Syntax { .. })
    }

    /// Puts the name of an enclosing field in front of the path.
    pub(crate) fn within(mut self: Box<Self>, name: &str) -> Box<Self> {
        if let Self::Type { path, .. } = self.as_mut() {
            *path = if path.is_empty() {
                name.to_owned()
            } else {
                format!("{name}.{path}")
            };
        }
        self
    }

    pub(crate) fn message(&self) -> String {
        match self {
            Self::Syntax { at, what } => format!("not JSON: {what} at byte {at}"),
            Self::Type { at, path, what } if path.is_empty() => format!("{what} at byte {at}"),
            Self::Type { at, path, what } => format!("field {path}: {what} at byte {at}"),
        }
    }
}
