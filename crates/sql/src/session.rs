//! The DataFusion session that streaming plans and ad-hoc queries share: configuration, functions, types, analyzer.

use std::sync::{Arc, LazyLock};

use datafusion::execution::SessionStateDefaults;
use datafusion::execution::context::SessionContext;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::planner::ExprPlanner;
use datafusion::logical_expr::registry::FunctionRegistry;
use datafusion::optimizer::Analyzer;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::prelude::SessionConfig;

use crate::functions::{
    self, checked::CheckIntegers, clock::StepClock, doubles::Doubles, floats::OneFloats,
    interval::IntervalTimes, operators::Operators,
};
use crate::over::exec::StableWindows;
use crate::types::OurTypes;
use crate::windows::Windows;

/// A session with a clock of its own. Making one is cheap: what does not depend on the clock is built once.
#[derive(Clone)]
pub struct Session {
    state: SessionState,
    clock: StepClock,
}

impl Session {
    pub fn new() -> Self {
        Self::with_clock(StepClock::default())
    }

    /// A session whose `now()` reads `clock`.
    pub fn with_clock(clock: StepClock) -> Self {
        static BASE: LazyLock<SessionState> = LazyLock::new(base);
        let mut state = BASE.clone();
        for function in functions::scalar(&clock) {
            // Registering fails only for names that clash with higher-order functions; ours do not.
            let _ = state.register_udf(function);
        }
        for function in functions::aggregate() {
            let _ = state.register_udaf(function);
        }
        Self { state, clock }
    }

    pub fn clock(&self) -> &StepClock {
        &self.clock
    }

    pub fn state(&self) -> &SessionState {
        &self.state
    }

    /// A context that runs logical plans made by this session, for example by `execute_logical_plan`.
    pub fn context(&self) -> SessionContext {
        SessionContext::new_with_state(self.state.clone())
    }
}

impl Default for Session {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}

/// Queries run beside the broker: more partitions would take its cores.
const TARGET_PARTITIONS: usize = 2;

/// DataFusion's rules, after ours.
fn physical_rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let mut rules: Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> =
        vec![Arc::new(StableWindows)];
    rules.extend(PhysicalOptimizer::new().rules);
    rules
}

/// Ours see an operator before DataFusion's.
fn expr_planners() -> Vec<Arc<dyn ExprPlanner>> {
    let mut planners: Vec<Arc<dyn ExprPlanner>> =
        vec![Arc::new(IntervalTimes), Arc::new(Operators)];
    planners.extend(SessionStateDefaults::default_expr_planners());
    planners
}

fn base() -> SessionState {
    let mut config = SessionConfig::new()
        .with_target_partitions(TARGET_PARTITIONS)
        .with_information_schema(false);
    let options = config.options_mut();
    options.execution.time_zone = Some("UTC".to_owned());
    options.sql_parser.map_string_types_to_utf8view = false;
    options.sql_parser.enable_ident_normalization = true;
    options.sql_parser.collect_spans = true;
    // Scalar subqueries become joins, as all others do.
    options
        .optimizer
        .enable_physical_uncorrelated_scalar_subquery = false;
    // As in PostgreSQL 0.1 is a NUMERIC.
    options.sql_parser.parse_float_as_decimal = true;
    let mut analyzer = Analyzer::new();
    analyzer.rules.insert(0, Arc::new(Doubles));
    analyzer.rules.push(Arc::new(CheckIntegers));
    analyzer.rules.push(Arc::new(OneFloats));
    let mut state = SessionStateBuilder::new_with_default_features()
        .with_config(config)
        .with_analyzer_rules(analyzer.rules)
        .with_optimizer_rules(crate::nullsafe::rules())
        .with_type_planner(Arc::new(OurTypes))
        .with_relation_planners(vec![Arc::new(Windows)])
        .with_physical_optimizer_rules(physical_rules())
        .with_expr_planners(expr_planners())
        .build();
    for function in functions::pg::functions() {
        // Registering fails only for names that clash with higher-order functions; ours do not.
        let _ = state.register_udf(Arc::clone(function));
    }
    state
}
