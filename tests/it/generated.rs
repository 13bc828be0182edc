use std::{path::Path, process::Command};

#[test]
fn files_generated_from_the_fields_are_fresh() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(root.join("scripts/generate")).arg("--check").output().unwrap();
    let printed = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&printed));
}
