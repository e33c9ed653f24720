//! `ALTER ... SET | RESET`, `PAUSE`, `RESUME`: what exists is changed, and the change stays.

use headwater_sql::ast::{Name, ObjectKind, OptionChange, Statement};
use headwater_sql::parse::{parse_one, with_options};
use headwater_sql::{SqlError, define, kind_of};

use crate::catalog::change::{Action, Wanted, check_kind, create};
use crate::engine::Engine;
use crate::statements::{StatementResult, message};

impl Engine {
    /// Other options for an object: its statement is defined anew with them, as `CREATE OR REPLACE` would.
    pub(crate) async fn alter(
        &self,
        statement: &Statement,
        (kind, name): (ObjectKind, &Name),
        if_exists: bool,
        changes: &[OptionChange],
    ) -> Result<StatementResult, SqlError> {
        let _changing = self.inner.changing.lock().await;
        let before = self.inner.objects.read().clone();
        let Some(object) = before.get(&name.text).cloned() else {
            let text = format!("there is no {} \"{}\"", kind.word(), name.text);
            if if_exists {
                return Ok(message(text));
            }
            let error = statement.source.error(name.at, text);
            return Err(error.hint("SHOW ALL lists what there is"));
        };
        // What is wrong with the new options is told where the ALTER names the first of them.
        let at = changes.first().map_or(name.at, |change| change.name.at);
        let here = |error: SqlError| {
            let place = statement.source.error(at, error.message);
            match error.hint {
                Some(hint) => place.hint(hint),
                None => place,
            }
        };
        check_kind("ALTER", &object, kind).map_err(here)?;
        let text = with_options(&object.text, changes).map_err(here)?;
        let defined = parse_one(&text, object.file.as_deref()).and_then(|s| define(&s));
        let defined = defined.map_err(here)?;
        let defined = defined.ok_or_else(|| SqlError::new("the statement creates nothing"))?;
        self.check_variables(&defined.variables)?;
        let wanted = Wanted {
            defined,
            pipeline: object.pipeline.clone(),
            file: object.file.clone(),
            replace: true,
        };
        let (after, done) = create(&before, vec![wanted]).map_err(here)?;
        let kind = kind_of(&object.definition).word();
        if done.iter().all(|change| change.action == Action::Unchanged) {
            return Ok(message(format!("unchanged: {kind} {}", object.name)));
        }
        self.change_to(after).await?;
        Ok(message(format!("altered {kind} {}", object.name)))
    }

    /// The pipeline of this name, or of the object of this name, rests or goes on. A failed one is started again by `RESUME`.
    pub(crate) async fn pause(
        &self,
        statement: &Statement,
        name: &Name,
        paused: bool,
    ) -> Result<StatementResult, SqlError> {
        let _changing = self.inner.changing.lock().await;
        let pipeline = {
            let objects = self.inner.objects.read();
            let of_object = objects
                .get(&name.text)
                .map(|object| object.pipeline.clone());
            let pipelines = objects.pipelines();
            let found = pipelines
                .into_iter()
                .find(|pipeline| *pipeline == name.text);
            found.or(of_object).ok_or_else(|| {
                let text = format!(
                    "there is no pipeline, view, sink or alert \"{}\"",
                    name.text
                );
                let error = statement.source.error(name.at, text);
                error.hint("SHOW PIPELINES lists them")
            })?
        };
        let changed = self.set_paused(&pipeline, paused).await?;
        if !paused {
            self.take_up_again(&pipeline).await?;
        }
        let done = match (paused, changed) {
            (true, true) => "paused",
            (true, false) => "paused already:",
            (false, _) => "resumed",
        };
        Ok(message(format!("{done} pipeline {pipeline}")))
    }
}
