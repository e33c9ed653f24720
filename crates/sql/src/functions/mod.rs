//! Functions that DataFusion lacks or that must behave otherwise here. Used alike by views and by ad-hoc queries.

pub(crate) mod aggregates;
mod average;
pub(crate) mod calendar;
pub(crate) mod checked;
pub mod clock;
pub(crate) mod doubles;
mod extreme;
pub mod floats;
pub(crate) mod interval;
pub(crate) mod one_row;
pub(crate) mod operators;
pub mod pg;
mod quotient;
pub(crate) mod rewrite;
pub(crate) mod session;
pub(crate) mod sum;
pub(crate) mod window;

use std::sync::Arc;

use datafusion::logical_expr::{AggregateUDF, ScalarUDF};

use clock::StepClock;

/// Scalar functions to register over DataFusion's.
pub(crate) fn scalar(clock: &StepClock) -> Vec<Arc<ScalarUDF>> {
    vec![
        Arc::new(clock::Now::new(clock.clone()).into()),
        Arc::new(clock::CurrentDate::new(clock.clone()).into()),
        one_row::one_row(),
        window::start(),
        window::end(),
        window::hops(),
    ]
}

/// Aggregate functions to register over DataFusion's, for whoever runs a batch query without a [`crate::Session`].
pub fn aggregate() -> Vec<Arc<AggregateUDF>> {
    let mut all = aggregates::all();
    all.push(Arc::new(sum::ExactSum::new().into()));
    all.extend(extreme::both());
    all.push(average::avg());
    all
}
