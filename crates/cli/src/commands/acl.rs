//! `headwater acl`.

use clap::builder::PossibleValuesParser;
use serde_json::{Value, json};

use super::topic::Common;
use crate::client::acls::{AclEntry, OPERATIONS, RESOURCES};
use crate::error::CliError;
use crate::output::{self, Format};

#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "The first rule about a resource closes it for everybody that no rule allows.\n\
    Whoever is locked out: restart the node with --super-user User:ANONYMOUS, mend the rules, and restart without."
)]
pub struct AclArgs {
    #[command(subcommand)]
    pub action: AclAction,
}

#[derive(Clone, Debug, clap::Subcommand)]
pub enum AclAction {
    /// Show all rules
    List {
        #[command(flatten)]
        common: Common,
    },
    /// Add a rule
    Add {
        #[command(flatten)]
        rule: RuleArgs,
        #[command(flatten)]
        common: Common,
    },
    /// Take a rule away
    Remove {
        #[command(flatten)]
        rule: RuleArgs,
        #[command(flatten)]
        common: Common,
    },
}

/// Who may, or may not, do what to what.
#[derive(Clone, Debug, clap::Args)]
pub struct RuleArgs {
    /// What the rule is about
    #[arg(value_parser = words(RESOURCES))]
    resource: String,
    /// Its name; * stands for all, and the cluster's is kafka-cluster
    name: String,
    /// What they may do; may be repeated
    #[arg(long = "operation", short = 'o', required = true, value_delimiter = ',', value_parser = words(OPERATIONS))]
    operations: Vec<String>,
    /// The name is only the beginning of names
    #[arg(long)]
    prefixed: bool,
    /// Forbid instead of allow
    #[arg(long)]
    deny: bool,
    /// Who: User:NAME, or User:* for everybody
    #[arg(long, default_value = "User:*", value_name = "User:NAME")]
    principal: String,
    /// From where: an address, or * for everywhere
    #[arg(long, default_value = "*", value_name = "ADDRESS")]
    host: String,
}

fn words(words: &'static [(i8, &'static str)]) -> PossibleValuesParser {
    PossibleValuesParser::new(words.iter().map(|(_, word)| *word))
}

impl RuleArgs {
    fn entries(&self) -> impl Iterator<Item = AclEntry> + '_ {
        self.operations.iter().map(|operation| AclEntry {
            resource: self.resource.clone(),
            name: self.name.clone(),
            pattern: if self.prefixed { "prefixed" } else { "literal" }.to_owned(),
            permission: if self.deny { "deny" } else { "allow" }.to_owned(),
            operation: operation.clone(),
            principal: self.principal.clone(),
            host: self.host.clone(),
        })
    }
}

pub(super) async fn run(args: AclArgs) -> Result<(), CliError> {
    match args.action {
        AclAction::List { common } => list(&common).await,
        AclAction::Add { rule, common } => {
            let client = common.bootstrap.connect().await?;
            for entry in rule.entries() {
                client.add_acl(&entry).await?;
                report(&common, &entry, "added")?;
            }
            Ok(())
        }
        AclAction::Remove { rule, common } => {
            let client = common.bootstrap.connect().await?;
            for entry in rule.entries() {
                let what = match client.remove_acl(&entry).await? {
                    0 => "not there",
                    _ => "removed",
                };
                report(&common, &entry, what)?;
            }
            Ok(())
        }
    }
}

async fn list(common: &Common) -> Result<(), CliError> {
    let entries = common.bootstrap.connect().await?.acls().await?;
    if common.output == Format::Json {
        return output::json(&entries.iter().map(value).collect::<Vec<Value>>());
    }
    if entries.is_empty() {
        return output::line("no rules: everybody who reaches the node may do everything");
    }
    let row = |entry: &AclEntry| {
        [
            &entry.resource,
            &entry.name,
            &entry.pattern,
            &entry.permission,
            &entry.operation,
            &entry.principal,
            &entry.host,
        ]
        .map(String::clone)
        .to_vec()
    };
    let heading = [
        "resource",
        "name",
        "pattern",
        "permission",
        "operation",
        "who",
        "from",
    ];
    output::line(&output::table(
        &heading,
        entries.iter().map(row).collect(),
        &[],
    ))
}

fn value(entry: &AclEntry) -> Value {
    json!({
        "resource": entry.resource,
        "name": entry.name,
        "pattern": entry.pattern,
        "permission": entry.permission,
        "operation": entry.operation,
        "principal": entry.principal,
        "host": entry.host,
    })
}

fn report(common: &Common, entry: &AclEntry, what: &str) -> Result<(), CliError> {
    match common.output {
        Format::Json => {
            let mut told = value(entry);
            told["result"] = json!(what);
            output::json(&told)
        }
        Format::Table => output::line(&format!(
            "{what}: {} {} may {}{} {} {}",
            entry.principal,
            if entry.host == "*" {
                "from anywhere"
            } else {
                &entry.host
            },
            if entry.permission == "deny" {
                "not "
            } else {
                ""
            },
            entry.operation,
            entry.resource,
            entry.name
        )),
    }
}
