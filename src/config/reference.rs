//! Renders the reference of all keys, `docs/configuration.md`.

use super::{
    setting::{DefaultValue, Setting, SettingKind},
    settings::SETTINGS,
};

const HEAD: &str = "\
# Configuration

<!-- Generated from src/config/settings.rs by the tests; do not edit. UPDATE_GOLDEN=1 cargo test --test it config -->

Annals runs without any configuration. Values come from four layers; a later one wins, key by key:

1. the defaults below;
2. a TOML file: `--config FILE`, or else `ANNALS_CONFIG` in the environment, or else `annals.toml` in the working directory,
   if it exists;
3. the environment: `ANNALS_`, then the key in capitals with `__` for each dot;
4. flags: `--set KEY=VALUE`, and `--listen` and `--data-dir` for short.

`annals config check` reports whether a configuration is valid, or all errors in it; with `--show` it prints
the effective values and where each came from, secrets redacted. Unknown keys are refused.

Durations are numbers with units: `500ms`, `30s`, `5m`, `1h`, `7d`, also combined (`1h 30m`) and in words (`2weeks`). `m` is a minute and
`M` a month; a month has 30.44 days and a year 365.25. The minimum is `1ms` unless `0s` is allowed. Sizes are a number with a unit (`b`, `kb`, `mb`, `gb`, `tb`, powers of 1,024).
In the environment and in flags, lists are separated by commas and tables are JSON objects. Relative paths start at
the working directory. Names in environment variables are read in lower case; a name with capitals or dots
has to be set in the file, or by a flag with the name in quotes.
";

/// Renders the whole page.
pub fn render() -> String {
    let mut page = HEAD.to_owned();
    let mut section = "";
    for key in SETTINGS {
        let (of_key, _) = key.path.rsplit_once('.').unwrap_or(("", key.path));
        let of_key = of_key.split(".auth").next().unwrap_or(of_key);
        if of_key != section || page.len() == HEAD.len() {
            section = of_key;
            page.push_str(&heading(section));
        }
        page.push_str(&entry(key));
    }
    page
}

fn heading(section: &str) -> String {
    if section.is_empty() { "\n## Top level\n".to_owned() } else { format!("\n## `{section}`\n") }
}

fn entry(key: &Setting) -> String {
    let default = match key.default {
        DefaultValue::Fixed(text) => format!("default `{text}`"),
        DefaultValue::Unset(meaning) => format!("not set: {meaning}"),
        DefaultValue::Required => "required".to_owned(),
    };
    let kinds: Vec<_> = key.stores.iter().map(|kind| format!("`{}`", kind.as_str())).collect();
    let only = if kinds.is_empty() { String::new() } else { format!("; only of kind {}", kinds.join(" or ")) };
    let environment = key.environment_name();
    format!("\n### `{}`\n\n{}\n\n{}; {default}{only}; `{environment}`\n", key.path, key.doc, type_name(key.kind))
}

fn type_name(kind: SettingKind) -> String {
    match kind {
        SettingKind::Text => "text".to_owned(),
        SettingKind::Path => "path".to_owned(),
        SettingKind::Address => "IP address and port".to_owned(),
        SettingKind::Integer { min, max } => format!("integer, {min} to {max}"),
        SettingKind::Boolean => "boolean".to_owned(),
        SettingKind::Duration => "duration".to_owned(),
        SettingKind::ShortDuration { max_seconds } => format!("duration, `0s` to `{max_seconds}s`"),
        SettingKind::Size => "size".to_owned(),
        SettingKind::SizeOrZero => "size, or `0`".to_owned(),
        SettingKind::Choice(names) => names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or "),
        SettingKind::ChoiceList(names) => {
            format!("list of {}", names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "))
        }
        SettingKind::TextList => "list of texts".to_owned(),
        SettingKind::UrlList => "list of addresses".to_owned(),
        SettingKind::NetworkList => "list of addresses and networks".to_owned(),
        SettingKind::Secret => "secret text".to_owned(),
        SettingKind::Object => "table".to_owned(),
    }
}
