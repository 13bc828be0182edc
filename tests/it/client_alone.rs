use std::process::Command;

/// Crates of the server, its stores and its command line; also crates whose names begin with these.
const SERVERS: [&str; 12] = [
    "axum",
    "clap",
    "deadpool",
    "elasticsearch",
    "indicatif",
    "libsqlite3-sys",
    "postgres",
    "prometheus-client",
    "rusqlite",
    "tokio-postgres",
    "tracing-subscriber",
    "utoipa",
];

#[test]
fn the_client_alone_depends_on_no_store_and_no_server() {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--locked", "--edges", "normal", "--no-default-features", "--features", "client"])
        .args(["--prefix", "none", "--format", "{p}|{f}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).unwrap();
    let packages: Vec<_> = tree.lines().map(|line| line.split_once('|').unwrap()).collect();
    let name = |package: &str| package.split(' ').next().unwrap().to_owned();
    assert!(packages.iter().any(|(package, _)| name(package) == "reqwest"), "{tree}");
    for (package, features) in packages {
        let is_server = SERVERS.iter().any(|server| name(package).starts_with(server));
        assert!(!is_server, "the client alone depends on {package}");
        let serves = features.split([',', ' ']).any(|feature| feature == "server");
        assert!(!serves, "the client alone depends on the server in {package}");
    }
}
