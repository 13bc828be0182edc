use std::{env, fs, path::Path, process::Command};

fn annals(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_annals"));
    command.current_dir(folder).env_clear();
    command
}

#[track_caller]
fn check(command: &mut Command, exit: i32, stdout: &str, stderr: &str) {
    let output = command.output().unwrap();
    let streams = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!((streams.0.as_str(), streams.1.as_str(), output.status.code()), (stdout, stderr, Some(exit)));
}

#[test]
fn the_reference_of_keys_is_as_the_program_has_them() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let current = annals::config::render_reference();
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &current).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == current, "docs/configuration.md is stale; UPDATE_GOLDEN=1 cargo test --test it config rewrites it");
}

#[test]
fn check_says_ok_or_everything_that_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    check(annals(folder.path()).args(["config", "check"]), 0, "ok\n", "");

    fs::write(folder.path().join("annals.toml"), "[server]\nlistn = 1\nmax_depth = \"x\"\n").unwrap();
    let errors = "error: the configuration is not valid\n\
                  annals.toml line 2: unknown key server.listn; did you mean server.listen?\n\
                  annals.toml line 3: server.max_depth: expected an integer from 4 to 128, found the text \"x\"\n\
                  advice: docs/configuration.md has every key; `annals config check` tries a configuration\n";
    check(annals(folder.path()).args(["config", "check"]), 1, "", errors);
    check(annals(folder.path()).arg("serve"), 1, "", errors);
}

#[test]
fn show_prints_each_value_with_its_layer_and_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let file = "[stores.main]\nkind = \"elasticsearch\"\nurls = [\"https://node:9200\"]\n\
                auth.basic = { login = \"ann\", password = \"hunter2\" }\n";
    fs::write(folder.path().join("named.toml"), file).unwrap();
    let output = annals(folder.path())
        .args(["config", "check", "--show", "--listen", "127.0.0.1:1", "--set", "log.events=true"])
        .env("ANNALS_CONFIG", "named.toml")
        .env("ANNALS_JOURNAL__MAX_BYTES", "1gb")
        .output()
        .unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    for line in [
        "data_dir = \"annals-data\"  # default",
        "server.listen = \"127.0.0.1:1\"  # flag --listen",
        "log.events = true  # flag --set",
        "journal.max_bytes = \"1gb\"  # environment ANNALS_JOURNAL__MAX_BYTES",
        "stores.main.auth.basic.login = \"ann\"  # named.toml line 4",
        "stores.main.auth.basic.password = \"[redacted]\"  # named.toml line 4",
        "query.store = \"main\"  # default",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line} is not in\n{shown}");
    }
    assert!(!shown.contains("hunter2"));
}
