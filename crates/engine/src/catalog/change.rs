//! A change of the catalog, worked out on a copy: what is created, replaced, left as it is, dropped.

use std::sync::Arc;

use headwater_sql::ast::ObjectKind;
use headwater_sql::{Defined, SqlError, diff, kind_of};
use serde::Serialize;

use super::{Object, Objects};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Created,
    Unchanged,
    Replaced,
    Dropped,
    /// The pipeline's files no longer have it; it stays until they are applied with `--replace`.
    Orphaned,
}

/// What became of one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ObjectChange {
    pub name: String,
    /// `source`, `table`, `view`, `materialized view`, `sink` or `alert`.
    pub kind: String,
    pub action: Action,
}

/// A definition on its way into the catalog.
pub struct Wanted {
    pub defined: Defined,
    pub pipeline: String,
    pub file: Option<String>,
    /// Take it in place of another definition.
    pub replace: bool,
}

/// The catalog with exactly these in a pipeline: what it has besides goes if `replace`, and is named otherwise.
pub fn make_pipeline(
    before: &Objects,
    pipeline: &str,
    wanted: Vec<Wanted>,
    replace: bool,
) -> Result<(Objects, Vec<ObjectChange>), SqlError> {
    let named = |name: &str| wanted.iter().any(|w| w.defined.definition.name() == name);
    let orphans: Vec<Arc<Object>> = before
        .of_pipeline(pipeline)
        .filter(|object| !named(&object.name))
        .cloned()
        .collect();
    let action = if replace {
        Action::Dropped
    } else {
        Action::Orphaned
    };
    let gone: &[Arc<Object>] = if replace { &orphans } else { &[] };
    let (after, mut changes) = create_without(before, wanted, gone)?;
    changes.extend(orphans.iter().map(|object| change(object, action)));
    Ok((after, changes))
}

/// The catalog with all of them, or why not.
pub fn create(
    before: &Objects,
    wanted: Vec<Wanted>,
) -> Result<(Objects, Vec<ObjectChange>), SqlError> {
    create_without(before, wanted, &[])
}

fn create_without(
    before: &Objects,
    wanted: Vec<Wanted>,
    gone: &[Arc<Object>],
) -> Result<(Objects, Vec<ObjectChange>), SqlError> {
    let mut changes = Vec::new();
    let mut incoming: Vec<Object> = Vec::new();
    let mut after = before.clone();
    for object in gone {
        after.by_name.remove(&object.name);
    }
    for want in wanted {
        let name = want.defined.definition.name().to_owned();
        let kind = want.defined.kind().word().to_owned();
        if incoming.iter().any(|object| object.name == name)
            || crate::builtin::names().any(|builtin| builtin == name)
        {
            return Err(SqlError::new(format!("\"{name}\" is defined twice"))
                .hint("give each object a name of its own"));
        }
        let action = action(before, &want)?;
        if action != Action::Unchanged {
            after.by_name.remove(&name);
            incoming.push(Object::new(
                want.defined,
                &want.pipeline,
                want.file.as_deref(),
            ));
        }
        changes.push(ObjectChange { name, kind, action });
    }
    let replaced = changes
        .iter()
        .any(|change| change.action == Action::Replaced);
    if replaced || !gone.is_empty() {
        // What reads a replaced object is planned anew with it.
        let kept: Vec<Object> = after
            .by_name
            .values()
            .map(|object| object.as_ref().clone())
            .collect();
        incoming.extend(kept);
        after = Objects {
            paused: before.paused.clone(),
            ..Objects::default()
        };
    }
    after
        .admit_all(incoming)
        .map_err(|error| still_needed(error, gone))?;
    Ok((after, changes))
}

/// An object that is dropped because no file has it any more may be what another one lacks.
fn still_needed(error: SqlError, gone: &[Arc<Object>]) -> SqlError {
    let lacks = gone
        .iter()
        .find(|object| super::words(&error.message).any(|word| word == object.name));
    match lacks {
        Some(object) => error.hint(format!(
            "\"{}\" is no longer in the pipeline's files: put it back, or drop what reads it",
            object.name
        )),
        None => error,
    }
}

fn action(before: &Objects, want: &Wanted) -> Result<Action, SqlError> {
    let name = want.defined.definition.name();
    let Some(there) = before.get(name) else {
        return Ok(Action::Created);
    };
    if want.defined.if_not_exists {
        return Ok(Action::Unchanged);
    }
    if there.pipeline != want.pipeline {
        let message = format!("\"{name}\" exists already, in pipeline {}", there.pipeline);
        return Err(SqlError::new(message).hint("choose another name, or DROP it first"));
    }
    let differences = diff(&there.definition, &want.defined.definition);
    if differences.is_empty() {
        return Ok(Action::Unchanged);
    }
    if want.replace || want.defined.or_replace {
        return Ok(Action::Replaced);
    }
    let message = format!(
        "{} \"{name}\" exists with another definition: {}",
        kind_of(&there.definition).word(),
        differences.join("; ")
    );
    Err(SqlError::new(message).hint("CREATE OR REPLACE, or apply with --replace, takes the new one and rebuilds what depends on it"))
}

/// The catalog without an object, and without what depends on it if `cascade`.
pub fn drop_object(
    before: &Objects,
    kind: ObjectKind,
    name: &str,
    if_exists: bool,
    cascade: bool,
) -> Result<(Objects, Vec<ObjectChange>), SqlError> {
    let Some(object) = before.get(name).cloned() else {
        if if_exists {
            return Ok((before.clone(), Vec::new()));
        }
        return Err(
            SqlError::new(format!("there is no {} \"{name}\"", kind.word()))
                .hint("SHOW ALL lists what there is"),
        );
    };
    let is = kind_of(&object.definition);
    check_kind("DROP", &object, kind)?;
    let mut after = before.clone();
    let mut changes = vec![dropped(&object)];
    after.by_name.remove(name);
    loop {
        let broken = dependents(&after);
        if broken.is_empty() {
            return Ok((after, changes));
        }
        if !cascade {
            let names: Vec<&str> = broken.iter().map(|object| object.name.as_str()).collect();
            let message = format!("\"{name}\" is needed by {}", names.join(", "));
            return Err(SqlError::new(message).hint(format!(
                "DROP {} {name} CASCADE drops them too",
                is.word().to_uppercase()
            )));
        }
        for object in broken {
            after.by_name.remove(&object.name);
            changes.push(dropped(&object));
        }
    }
}

/// A statement speaks of the kind that the object is; of views either kind will do.
pub fn check_kind(verb: &str, object: &Object, kind: ObjectKind) -> Result<(), SqlError> {
    let is = kind_of(&object.definition);
    let views = [ObjectKind::View, ObjectKind::MaterializedView];
    if is == kind || (views.contains(&is) && views.contains(&kind)) {
        return Ok(());
    }
    let name = &object.name;
    let message = format!("\"{name}\" is a {}, not a {}", is.word(), kind.word());
    Err(SqlError::new(message).hint(format!("{verb} {} {name}", is.word().to_uppercase())))
}

fn dropped(object: &Object) -> ObjectChange {
    change(object, Action::Dropped)
}

fn change(object: &Object, action: Action) -> ObjectChange {
    let kind = kind_of(&object.definition).word().to_owned();
    ObjectChange {
        name: object.name.clone(),
        kind,
        action,
    }
}

/// Objects that no longer make sense.
fn dependents(objects: &Objects) -> Vec<Arc<Object>> {
    let fits = |object: &Arc<Object>| objects.clone().admit(object.as_ref().clone()).is_ok();
    objects
        .by_name
        .values()
        .filter(|object| !fits(object))
        .cloned()
        .collect()
}
