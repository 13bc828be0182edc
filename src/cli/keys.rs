//! `annals keys create`, `annals keys list` and `annals keys revoke`

use super::{
    CliError, block_on,
    connection::ConnectionArgs,
    output::{self, OutputFormat, OutputStatus},
    table::{self, Table},
    zone::{Bound, ZoneArgs},
};
use crate::wire::{GrantAnswer, GrantRequest, KeyAnswer, KeysAnswer, NewKeyAnswer, NewKeyRequest};

/// Creates, lists and revokes the server's API keys
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Create(CreateArgs),
    List(ListArgs),
    Revoke(RevokeArgs),
}

/// Creates a key and prints it, which happens only once
#[derive(Debug, clap::Args)]
struct CreateArgs {
    /// The key's name: 1 to 64 letters, digits, dots, hyphens and underscores
    name: String,
    /// A role and where it applies, such as `auditor`, `reader:team,ops`, `writer:default:shop` or `writer:*:*`; may be
    /// repeated. Roles: admin, auditor, space-admin, space-auditor, writer, reader, monitor
    #[arg(long, required = true, value_name = "ROLE[:SPACES[:PROVIDERS]]", value_parser = grant)]
    grant: Vec<GrantRequest>,
    /// When the key expires: a time, or a duration from now such as `90d`; by default never
    #[arg(long, value_name = "WHEN")]
    expires: Option<String>,
    /// Print the key and its properties as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    zone: ZoneArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Lists the keys, without their secrets
#[derive(Debug, clap::Args)]
struct ListArgs {
    /// The output format; by default a table on a terminal, NDJSON elsewhere
    #[arg(long, short, value_enum)]
    format: Option<OutputFormat>,
    #[command(flatten)]
    zone: ZoneArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Revokes a key with immediate effect
#[derive(Debug, clap::Args)]
struct RevokeArgs {
    /// The key's name
    name: String,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(super) fn run(args: &Args) -> Result<(), CliError> {
    match &args.command {
        Command::Create(args) => create(args),
        Command::List(args) => list(args),
        Command::Revoke(args) => revoke(args),
    }
}

/// Parses `ROLE[:SPACES[:PROVIDERS]]`.
fn grant(text: &str) -> Result<GrantRequest, String> {
    let mut parts = text.splitn(3, ':');
    let role = parts.next().filter(|role| !role.is_empty()).ok_or("expected ROLE[:SPACES[:PROVIDERS]]")?;
    let mut names = || {
        let list = parts.next().unwrap_or_default();
        list.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    };
    Ok(GrantRequest { role: role.to_owned(), spaces: names(), providers: names() })
}

fn create(args: &CreateArgs) -> Result<(), CliError> {
    let expires = args.expires.as_ref().map(|when| args.zone.read(when, Bound::Start));
    let new = NewKeyRequest { name: args.name.clone(), grants: args.grant.clone(), expires };
    let api = args.connection.connect()?;
    let created = block_on(async { Ok(api.create_key(&new).await?) })?;
    let NewKeyAnswer { key, about: KeyAnswer { name, .. } } = &created;
    if args.json {
        return print_key(name, &output::json_line(&created)?);
    }
    print_key(name, &format!("{}\n", key.expose()))?;
    output::print_stderr(&format!("created the key {name}; its text is only shown this once"))?;
    Ok(())
}

/// Prints the key. It is shown only once, so a failure to print it is an error.
fn print_key(name: &str, text: &str) -> Result<(), CliError> {
    let reason = match output::write(text.as_bytes()) {
        Ok(OutputStatus::Open) => return Ok(()),
        Ok(OutputStatus::Closed) => "standard output is closed".to_owned(),
        Err(failure) => failure.message,
    };
    let advice = format!("it is unusable: annals keys revoke {name}, then create another one");
    Err(CliError::local(format!("the key {name} was created, but its text could not be shown: {reason}"))
        .with_advice(advice))
}

fn list(args: &ListArgs) -> Result<(), CliError> {
    let api = args.connection.connect()?;
    let keys = block_on(async { Ok(api.keys().await?) })?;
    let shown = match OutputFormat::or_default(args.format) {
        OutputFormat::Table => render(&keys, |time| args.zone.show(time)).render(table::terminal_width()).into_bytes(),
        OutputFormat::Ndjson => keys.keys.iter().map(output::json_line).collect::<Result<String, _>>()?.into_bytes(),
        OutputFormat::Json => output::json_line(&keys)?.into_bytes(),
        OutputFormat::Csv => render(&keys, str::to_owned).into_csv(),
    };
    output::print(&shown)?;
    Ok(())
}

fn render(keys: &KeysAnswer, time: impl Fn(&str) -> String) -> Table {
    let mut table = Table::new(["name", "grants", "created", "by", "expires"]);
    for KeyAnswer { name, created, created_by, expires, expired, grants } in &keys.keys {
        let expires = expires.as_deref().map_or_else(|| "never".to_owned(), &time);
        let expires = if *expired { format!("{expires}, expired") } else { expires };
        let grants: Vec<_> =
            grants.iter().map(|GrantAnswer { role, spaces, providers }| grant_text(role, spaces, providers)).collect();
        let by = created_by.clone().unwrap_or_default();
        table.row([name.clone(), grants.join(" "), time(created), by, expires]);
    }
    table
}

/// Writes a grant as [`grant`] parses it.
fn grant_text(role: &String, spaces: &[String], providers: &[String]) -> String {
    [std::slice::from_ref(role), spaces, providers]
        .iter()
        .map(|names| names.join(","))
        .filter(|names| !names.is_empty())
        .collect::<Vec<_>>()
        .join(":")
}

fn revoke(args: &RevokeArgs) -> Result<(), CliError> {
    let api = args.connection.connect()?;
    let KeyAnswer { name, .. } = block_on(async { Ok(api.revoke_key(&args.name).await?) })?;
    output::print_stderr(&format!("revoked the key {name}"))?;
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn grants_are_read_as_they_are_shown() {
        for text in ["admin", "reader:team", "reader:default,team", "writer:*:*", "writer:a,b:c,d", "writer:a:x:y"] {
            let GrantRequest { role, spaces, providers } = grant(text).unwrap();
            assert_eq!(grant_text(&role, &spaces, &providers), text);
        }
        assert!(grant("").is_err() && grant(":team").is_err());
        let many = grant("writer:a:x:y").unwrap();
        assert_eq!(many.providers, ["x:y"]);
    }
}
