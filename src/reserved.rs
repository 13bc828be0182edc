//! The providers that are the log's own. Nobody else may log as them, register them, or have one that looks like them.

use unicode_security::confusable_detection::skeleton;

/// The log's own audit events.
pub const AUDIT_PROVIDER: &str = "annals";

/// The log's starts and stops, as in Kibana.
pub const LIFECYCLE_PROVIDER: &str = "eventLog";

const RESERVED: [&str; 2] = [AUDIT_PROVIDER, LIFECYCLE_PROVIDER];

/// Whether this is exactly the name of an own provider.
pub fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name)
}

/// Returns the own provider that people may take this name for: it looks the same (UTS #39), whatever its case, and
/// whatever white space, punctuation and invisible characters are in it.
pub fn looks_like_reserved(name: &str) -> Option<&'static str> {
    let forms = folded_forms(name);
    RESERVED.into_iter().find(|reserved| folded_forms(reserved).iter().any(|form| forms.contains(form)))
}

/// Folding case may make characters that are confusable, and the other way round: `annaIs` looks like `annals` before it,
/// `ANNALS` after it.
fn folded_forms(name: &str) -> [String; 2] {
    let skeleton = |text: &str| skeleton(text).collect::<String>();
    let forms = [skeleton(name).to_lowercase(), skeleton(&name.to_lowercase()).to_lowercase()];
    forms.map(|form| skeleton(&form).chars().filter(|character| character.is_alphanumeric()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn look_alikes_are_recognized_and_other_names_are_not() {
        for (name, reserved) in [
            ("annals", Some("annals")),
            ("Annals", Some("annals")),
            ("ANNALS", Some("annals")),
            (" annals\u{200b}", Some("annals")),
            ("an-nals.", Some("annals")),
            ("аnnals", Some("annals")),
            ("ａｎｎａｌｓ", Some("annals")),
            ("annaIs", Some("annals")),
            ("anna1s", Some("annals")),
            ("ånnals", Some("annals")),
            ("eventLog", Some("eventLog")),
            ("eventlog", Some("eventLog")),
            ("event_log", Some("eventLog")),
            ("еvеntLоg", Some("eventLog")),
            ("event1og", Some("eventLog")),
            ("annals2", None),
            ("eventLogger", None),
            ("shop", None),
            ("", None),
        ] {
            assert_eq!(looks_like_reserved(name), reserved, "{name:?}");
        }
    }
}
