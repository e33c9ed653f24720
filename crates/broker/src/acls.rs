//! Asking, adding and taking away access rights. The rules are those of [`headwater_meta::acls`].

use headwater_meta::Change;
use headwater_meta::acls::{Acl, AclFilter, Operation, ResourceType, Who};

use crate::Broker;
use crate::catalog::{Plan, settle};
use crate::error::BrokerError;

impl Broker {
    /// Whether somebody may do something to a resource.
    pub fn may(
        &self,
        who: Who<'_>,
        operation: Operation,
        resource: ResourceType,
        name: &str,
    ) -> bool {
        let catalog = self.catalog.hold();
        catalog.acls().is_empty()
            || self.is_super_user(who)
            || catalog.acls().allow(who, operation, resource, name)
    }

    /// Whether there is a resource of this type to which somebody may do something (KIP-679).
    pub fn may_some(&self, who: Who<'_>, operation: Operation, resource: ResourceType) -> bool {
        let acls = self.catalog.hold().acls().clone();
        acls.is_empty() || self.is_super_user(who) || acls.allow_some(who, operation, resource)
    }

    fn is_super_user(&self, who: Who<'_>) -> bool {
        let users = &self.config.super_users;
        users.iter().any(|user| user == who.principal)
    }

    /// Adds ACLs, each on its own; one result each, in order, when durable.
    pub async fn add_acls(&self, acls: Vec<Acl>) -> Vec<Result<(), BrokerError>> {
        let checked: Vec<Result<(), BrokerError>> = acls
            .iter()
            .map(|acl| {
                Ok(self
                    .catalog
                    .hold()
                    .add_acls(std::slice::from_ref(acl))
                    .map(drop)?)
            })
            .collect();
        let good: Vec<Acl> = acls
            .into_iter()
            .zip(&checked)
            .filter_map(|(acl, outcome)| outcome.is_ok().then_some(acl))
            .collect();
        let added = self
            .change_acls(|catalog| Ok(catalog.add_acls(&good)?))
            .await;
        let settle = |one: Result<(), BrokerError>| one.and_then(|()| added.clone());
        checked.into_iter().map(settle).collect()
    }

    /// Takes away the ACLs that any of the filters picks; gives what each one picked, when durable.
    ///
    /// # Errors
    /// The log takes nothing.
    pub async fn remove_acls(&self, filters: &[AclFilter]) -> Result<Vec<Vec<Acl>>, BrokerError> {
        let mut picked: Vec<Vec<Acl>> = Vec::new();
        let remove = |catalog: &headwater_meta::Catalog| {
            let of = |filter| catalog.acls().picked(filter).collect::<Vec<_>>();
            picked = filters.iter().map(of).collect();
            let mut acls = picked.concat();
            acls.sort_unstable();
            acls.dedup();
            Ok((!acls.is_empty()).then_some(Change::AclsRemoved { acls }))
        };
        self.change_acls(remove).await?;
        Ok(picked)
    }

    async fn change_acls(
        &self,
        decide: impl FnOnce(&headwater_meta::Catalog) -> Result<Option<Change>, BrokerError>,
    ) -> Result<(), BrokerError> {
        let durables = self.catalog.change(|catalog| {
            let changes = decide(catalog)?.into_iter().collect();
            Ok(Plan::of(changes, false))
        })?;
        settle(durables).await
    }
}
