//! Client quotas (KIP-546): stored and listed. Nothing is slowed down by them.
//!
//! An entity is a user, a client id, both, or an address; a name may be missing, which means "all that have none of their own".

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a quota can be about, in the order in which Kafka's tools write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QuotaType {
    ClientId,
    User,
    Ip,
}

impl QuotaType {
    pub const fn name(self) -> &'static str {
        match self {
            Self::ClientId => "client-id",
            Self::User => "user",
            Self::Ip => "ip",
        }
    }

    pub fn of(name: &str) -> Option<Self> {
        [Self::ClientId, Self::User, Self::Ip]
            .into_iter()
            .find(|one| one.name() == name)
    }
}

/// Types with names; no name is the default of the type.
pub type QuotaEntity = BTreeMap<QuotaType, Option<String>>;
/// Quotas of one entity by their keys.
pub type QuotaValues = BTreeMap<String, f64>;

/// All quotas.
#[derive(Clone, Debug, Default)]
pub struct Quotas {
    entities: BTreeMap<QuotaEntity, QuotaValues>,
}

/// One quota to set, or to remove.
#[derive(Clone, Debug)]
pub struct QuotaEdit {
    pub key: String,
    /// None removes it.
    pub value: Option<f64>,
}

/// How a filter compares one type's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameFilter {
    Exactly(String),
    Default,
    /// Any name, the default included.
    Any,
}

/// Which entities are wanted.
#[derive(Clone, Debug, Default)]
pub struct QuotaFilter {
    pub parts: BTreeMap<QuotaType, NameFilter>,
    /// Only entities with no type beyond those of the parts.
    pub strict: bool,
}

impl QuotaFilter {
    fn picks(&self, entity: &QuotaEntity) -> bool {
        let part = |(kind, filter): (&QuotaType, &NameFilter)| match (entity.get(kind), filter) {
            (None, _) => false,
            (Some(_), NameFilter::Any) => true,
            (Some(name), NameFilter::Default) => name.is_none(),
            (Some(name), NameFilter::Exactly(wanted)) => name.as_ref() == Some(wanted),
        };
        self.parts.iter().all(part) && (!self.strict || entity.len() == self.parts.len())
    }
}

impl Quotas {
    pub fn picked<'a>(
        &'a self,
        filter: &'a QuotaFilter,
    ) -> impl Iterator<Item = (&'a QuotaEntity, &'a QuotaValues)> {
        self.entities
            .iter()
            .filter(|(entity, _)| filter.picks(entity))
    }

    pub fn iter(&self) -> impl Iterator<Item = (&QuotaEntity, &QuotaValues)> {
        self.entities.iter()
    }

    /// Puts values in the place of all that an entity has; none takes the entity away.
    pub(crate) fn set(&mut self, entity: QuotaEntity, values: QuotaValues) {
        match values.is_empty() {
            true => self.entities.remove(&entity),
            false => self.entities.insert(entity, values),
        };
    }

    /// The values that an entity has after some edits.
    ///
    /// # Errors
    /// The entity is none, or a key or value is not allowed for it; in Kafka's words.
    pub fn edited(&self, entity: &QuotaEntity, edits: &[QuotaEdit]) -> Result<QuotaValues, String> {
        check_entity(entity)?;
        let mut values = self.entities.get(entity).cloned().unwrap_or_default();
        for edit in edits {
            let kind = KEYS
                .iter()
                .find(|(key, _, ip)| *key == edit.key && *ip == entity.contains_key(&QuotaType::Ip))
                .map(|(_, kind, _)| *kind)
                .ok_or_else(|| format!("Invalid configuration key {}", edit.key))?;
            match edit.value {
                None => values.remove(&edit.key),
                Some(value) => {
                    check_value(&edit.key, kind, value)?;
                    values.insert(edit.key.clone(), value)
                }
            };
        }
        Ok(values)
    }
}

/// Fractions inside a tagged enum cannot be read back as numbers of arbitrary precision, so that they are written as text.
pub(crate) mod as_text {
    use std::collections::BTreeMap;

    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::QuotaValues;

    pub fn serialize<S: Serializer>(values: &QuotaValues, out: S) -> Result<S::Ok, S::Error> {
        let texts = values.iter().map(|(key, value)| (key, value.to_string()));
        texts.collect::<BTreeMap<_, _>>().serialize(out)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<QuotaValues, D::Error> {
        let texts = BTreeMap::<String, String>::deserialize(input)?;
        let value =
            |(key, text): (String, String)| Ok((key, text.parse().map_err(D::Error::custom)?));
        texts.into_iter().map(value).collect()
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Int,
    Long,
    Double,
}

/// Keys, their types, and whether they are for addresses.
const KEYS: &[(&str, Kind, bool)] = &[
    ("producer_byte_rate", Kind::Long, false),
    ("consumer_byte_rate", Kind::Long, false),
    ("request_percentage", Kind::Double, false),
    ("controller_mutation_rate", Kind::Double, false),
    ("connection_creation_rate", Kind::Int, true),
];

fn check_entity(entity: &QuotaEntity) -> Result<(), String> {
    if entity.is_empty() {
        return Err("Invalid empty client quota entity".into());
    }
    for (kind, name) in entity {
        if name.as_ref().is_some_and(String::is_empty) {
            return Err(format!("Empty {} not supported", kind.name()));
        }
    }
    if entity.contains_key(&QuotaType::Ip) && entity.len() > 1 {
        return Err("Invalid quota entity combination, IP entity should not be combined with User or ClientId".into());
    }
    match entity.get(&QuotaType::Ip) {
        Some(Some(address)) if !is_address(address) => {
            Err(format!("{address} is not a valid IP or resolvable host."))
        }
        _ => Ok(()),
    }
}

fn is_address(text: &str) -> bool {
    text.parse::<core::net::IpAddr>().is_ok()
}

fn check_value(key: &str, kind: Kind, value: f64) -> Result<(), String> {
    if value.is_nan() || value <= 0.0 {
        return Err(format!("Quota {key} must be greater than 0"));
    }
    let (most, name) = match kind {
        Kind::Double if value.is_finite() => return Ok(()),
        Kind::Double => {
            return Err(format!(
                "Proposed value for {key} is too large for a DOUBLE."
            ));
        }
        Kind::Int => (f64::from(i32::MAX), "INT"),
        // The largest number that both types know.
        Kind::Long => (9_223_372_036_854_774_784.0, "LONG"),
    };
    if value > most {
        return Err(format!(
            "Proposed value for {key} is too large for a {name}."
        ));
    }
    if value.fract() != 0.0 {
        return Err(format!("{key} cannot be a fractional value."));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn entity(parts: &[(QuotaType, Option<&str>)]) -> QuotaEntity {
        let part = |(kind, name): &(QuotaType, Option<&str>)| (*kind, name.map(str::to_owned));
        parts.iter().map(part).collect()
    }

    fn edit(key: &str, value: f64) -> Result<QuotaValues, String> {
        let edit = QuotaEdit {
            key: key.into(),
            value: Some(value),
        };
        Quotas::default().edited(&entity(&[(QuotaType::User, Some("u"))]), &[edit])
    }

    #[test]
    fn values_are_checked_by_their_types() {
        assert!(edit("producer_byte_rate", 1024.0).is_ok());
        assert!(edit("request_percentage", 12.5).is_ok());
        for (key, value) in [
            ("producer_byte_rate", 1.5),
            ("producer_byte_rate", 0.0),
            ("producer_byte_rate", 1e300),
            ("request_percentage", f64::NAN),
            ("request_percentage", f64::INFINITY),
            ("connection_creation_rate", 5.0),
            ("other", 1.0),
        ] {
            assert!(edit(key, value).is_err(), "{key} {value}");
        }
    }

    #[test]
    fn entities_are_checked() {
        let quotas = Quotas::default();
        let check = |parts: &[(QuotaType, Option<&str>)]| quotas.edited(&entity(parts), &[]);
        assert!(check(&[]).is_err());
        assert!(check(&[(QuotaType::User, Some(""))]).is_err());
        assert!(check(&[(QuotaType::Ip, Some("1.2.3.4")), (QuotaType::User, None)]).is_err());
        assert!(check(&[(QuotaType::Ip, Some("nowhere"))]).is_err());
        assert!(check(&[(QuotaType::Ip, None)]).is_ok());
        assert!(check(&[(QuotaType::ClientId, None), (QuotaType::User, Some("u"))]).is_ok());
    }

    #[test]
    fn filters_pick_names_defaults_and_strictly() {
        let mut quotas = Quotas::default();
        for parts in [
            &[(QuotaType::User, Some("u"))][..],
            &[(QuotaType::User, None)],
            &[
                (QuotaType::User, Some("u")),
                (QuotaType::ClientId, Some("c")),
            ],
            &[(QuotaType::Ip, Some("1.2.3.4"))],
        ] {
            quotas.set(entity(parts), BTreeMap::from([("k".to_owned(), 1.0)]));
        }
        let count_in = |quotas: &Quotas, strict, parts: &[(QuotaType, NameFilter)]| {
            let filter = QuotaFilter {
                parts: parts.iter().cloned().collect(),
                strict,
            };
            quotas.picked(&filter).count()
        };
        let count = |strict, parts: &[(QuotaType, NameFilter)]| count_in(&quotas, strict, parts);
        assert_eq!(count(false, &[]), 4);
        assert_eq!(count(true, &[]), 0);
        assert_eq!(count(false, &[(QuotaType::User, NameFilter::Any)]), 3);
        assert_eq!(count(true, &[(QuotaType::User, NameFilter::Any)]), 2);
        assert_eq!(count(false, &[(QuotaType::User, NameFilter::Default)]), 1);
        let name = NameFilter::Exactly("u".into());
        assert_eq!(count(false, &[(QuotaType::User, name.clone())]), 2);
        assert_eq!(count(true, &[(QuotaType::User, name)]), 1);
        quotas.set(entity(&[(QuotaType::User, None)]), QuotaValues::new());
        assert_eq!(count_in(&quotas, false, &[]), 3);
    }
}
