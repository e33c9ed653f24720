//! `now()`, `current_timestamp`, `current_date`: the clock of the step. Volatile, so that the planner folds nothing.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use crate::types::timestamptz;

const DAY_US: i64 = 86_400_000_000;

/// The clock that `now()` reads, in microseconds since the epoch. Whoever runs a step sets it first; clones share it.
#[derive(Clone, Debug, Default)]
pub struct StepClock(Arc<AtomicI64>);

impl StepClock {
    pub fn set_us(&self, now_us: i64) {
        self.0.store(now_us, Ordering::SeqCst);
    }

    pub fn now_us(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

impl PartialEq for StepClock {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for StepClock {}

impl Hash for StepClock {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Now {
    clock: StepClock,
    signature: Signature,
    aliases: Vec<String>,
}

impl Now {
    pub fn new(clock: StepClock) -> Self {
        Self {
            clock,
            signature: Signature::nullary(Volatility::Volatile),
            aliases: vec!["current_timestamp".to_owned()],
        }
    }
}

impl ScalarUDFImpl for Now {
    fn name(&self) -> &str {
        "now"
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _args: &[DataType]) -> Result<DataType> {
        Ok(timestamptz())
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let now = ScalarValue::TimestampMicrosecond(Some(self.clock.now_us()), Some("UTC".into()));
        Ok(ColumnarValue::Scalar(now))
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct CurrentDate {
    clock: StepClock,
    signature: Signature,
    aliases: Vec<String>,
}

impl CurrentDate {
    pub fn new(clock: StepClock) -> Self {
        Self {
            clock,
            signature: Signature::nullary(Volatility::Volatile),
            aliases: vec!["today".to_owned()],
        }
    }
}

impl ScalarUDFImpl for CurrentDate {
    fn name(&self) -> &str {
        "current_date"
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _args: &[DataType]) -> Result<DataType> {
        Ok(DataType::Date32)
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let days = self.clock.now_us().div_euclid(DAY_US);
        Ok(ColumnarValue::Scalar(ScalarValue::Date32(
            i32::try_from(days).ok(),
        )))
    }
}
