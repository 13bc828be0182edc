//! What tests of several modules share: where the engines are.

use std::{env, path::PathBuf};

/// The address of an engine, or several with commas between, from a variable of the environment. Where it is not set the
/// test is to be skipped, which is said, or fails if `ANNALS_TEST_ENGINES` is `required`. `scripts/test` lists them.
pub(crate) fn engine(variable: &str) -> Option<String> {
    let urls = env::var(variable).ok().filter(|urls| !urls.is_empty());
    if urls.is_none() {
        assert_ne!(env::var("ANNALS_TEST_ENGINES").as_deref(), Ok("required"), "{variable} is not set");
        eprintln!("skipped: {variable} is not set");
    }
    urls
}

/// An Elasticsearch with TLS, users and API keys, where `elastic` may do everything.
pub(crate) struct SecuredEngine {
    pub(crate) url: String,
    pub(crate) ca_file: PathBuf,
    pub(crate) password_file: PathBuf,
}

/// As [`engine`], with what it takes to get in.
pub(crate) fn secured_engine() -> Option<SecuredEngine> {
    const URL: &str = "ANNALS_TEST_ELASTICSEARCH_SECURE";
    let file = |variable: String| env::var_os(&variable).unwrap_or_else(|| panic!("{variable} is not set")).into();
    Some(SecuredEngine {
        url: engine(URL)?,
        ca_file: file(format!("{URL}_CA")),
        password_file: file(format!("{URL}_PASSWORD_FILE")),
    })
}
