//! Sessions: rows of a key whose times follow each other at less than a gap. Window functions over the key's rows by time.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{ArrayRef, AsArray, TimestampMicrosecondArray};
use datafusion::arrow::datatypes::{
    DataType, Field, FieldRef, Int64Type, TimestampMicrosecondType,
};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{
    PartitionEvaluator, Signature, Volatility, WindowUDF, WindowUDFImpl,
};

use crate::types::timestamptz;

/// Names of the functions; users reach them by SESSION only.
pub(crate) const SESSION_START: &str = "session_start";
pub(crate) const SESSION_END: &str = "session_end";

pub(crate) fn start() -> Arc<WindowUDF> {
    static UDF: LazyLock<Arc<WindowUDF>> =
        LazyLock::new(|| Arc::new(WindowUDF::from(Session::new(SESSION_START))));
    Arc::clone(&UDF)
}

pub(crate) fn end() -> Arc<WindowUDF> {
    static UDF: LazyLock<Arc<WindowUDF>> =
        LazyLock::new(|| Arc::new(WindowUDF::from(Session::new(SESSION_END))));
    Arc::clone(&UDF)
}

/// `session_start(ts, gap us)`, `session_end(ts, gap us)`: the first time of the row's session, and the last one and the gap.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Session {
    name: &'static str,
    signature: Signature,
}

impl Session {
    fn new(name: &'static str) -> Self {
        let args = vec![timestamptz(), DataType::Int64];
        Self {
            name,
            signature: Signature::exact(args, Volatility::Immutable),
        }
    }
}

impl WindowUDFImpl for Session {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn partition_evaluator(
        &self,
        _args: PartitionEvaluatorArgs,
    ) -> Result<Box<dyn PartitionEvaluator>> {
        Ok(Box::new(Evaluator {
            end: self.name == SESSION_END,
        }))
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(args.name(), timestamptz(), true)))
    }
}

#[derive(Debug)]
struct Evaluator {
    end: bool,
}

impl PartitionEvaluator for Evaluator {
    fn evaluate_all(&mut self, values: &[ArrayRef], num_rows: usize) -> Result<ArrayRef> {
        let (Some(times), Some(gaps)) = (values.first(), values.get(1)) else {
            return exec_err!("a session needs a time and a gap");
        };
        let times = times.as_primitive::<TimestampMicrosecondType>().values();
        let gap = gaps
            .as_primitive::<Int64Type>()
            .values()
            .first()
            .copied()
            .unwrap_or(0);
        let mut bounds = Vec::with_capacity(num_rows);
        for session in times.chunk_by(|a, b| b.saturating_sub(*a) < gap) {
            let (Some(first), Some(last)) = (session.first(), session.last()) else {
                continue;
            };
            let bound = if self.end {
                last.saturating_add(gap)
            } else {
                *first
            };
            bounds.extend(std::iter::repeat_n(bound, session.len()));
        }
        Ok(Arc::new(
            TimestampMicrosecondArray::from(bounds).with_timezone("UTC"),
        ))
    }
}
