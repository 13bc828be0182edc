use super::*;
use crate::{access::principal::GrantText, event::Hex};

const NOW: UnixMillis = UnixMillis(1_700_000_000_000);
const LATER: UnixMillis = UnixMillis(1_700_000_060_000);

fn open(folder: &Path) -> Keys {
    Keys::open(folder, NOW).unwrap()
}

fn unrecorded(_: &KeyInfo) -> Result<(), ChangeError> {
    Ok(())
}

fn admin_key(folder: &Path) -> String {
    fs::read_to_string(folder.join(ADMIN_FILE)).unwrap().trim().to_owned()
}

fn name_of(keys: &Keys, text: &str) -> Option<String> {
    match keys.look_up(text, NOW) {
        KeyLookup::Key(principal) => Some(principal.name.clone()),
        KeyLookup::Expired { .. } | KeyLookup::Unknown => None,
    }
}

fn admin() -> Principal {
    Principal { name: "admin".to_owned(), realm: Realm::ApiKey, grants: vec![Grant::admin()] }
}

fn new(name: &str, role: Role) -> NewKey {
    NewKey { name: name.to_owned(), grants: vec![Grant::everywhere(role)], expires: None }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_first_start_makes_one_key_that_later_starts_know() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let keys = open(&data);
    let text = admin_key(&data);
    assert_eq!(keys.look_up(&text, NOW), KeyLookup::Key(Arc::new(admin())));

    let again = Keys::open(&data, UnixMillis(0)).unwrap();
    assert_eq!(admin_key(&data), text);
    assert!(name_of(&again, &text).is_some());
}

#[test]
fn only_the_exact_key_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let keys = open(folder.path());
    let admin = admin_key(folder.path());
    for wrong in
        ["", "admin", &admin.to_uppercase(), &admin[1..], &format!("{admin} "), &Hex(&hash(&admin)).to_string()]
    {
        assert_eq!(keys.look_up(wrong, NOW), KeyLookup::Unknown, "{wrong}");
    }
}

#[test]
fn keys_are_created_and_revoked_at_once_and_across_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let keys = open(folder.path());
    let (info, text) = keys.create(new("ci.main-2", Role::Writer), &admin(), NOW, unrecorded).unwrap();
    assert_eq!((info.name.as_str(), info.created_by.as_deref()), ("ci.main-2", Some("api_key:admin")));
    let (_, other) = keys.create(new("other", Role::Reader), &admin(), NOW, unrecorded).unwrap();
    for keys in [&keys, &open(folder.path())] {
        assert_eq!(name_of(keys, text.expose()).as_deref(), Some("ci.main-2"));
        assert_eq!(name_of(keys, other.expose()).as_deref(), Some("other"));
        let names: Vec<_> = keys.list().into_iter().map(|info| info.name).collect();
        assert_eq!(names, ["admin", "ci.main-2", "other"]);
    }
    let kept = fs::read_to_string(folder.path().join(KEYS_FILE)).unwrap();
    assert!(!kept.contains(text.expose()) && !kept.contains(other.expose()));
    assert_eq!(mode(&folder.path().join(KEYS_FILE)), 0o600);

    keys.revoke("ci.main-2", unrecorded).unwrap();
    for keys in [&keys, &open(folder.path())] {
        assert_eq!(keys.look_up(text.expose(), NOW), KeyLookup::Unknown);
        assert!(name_of(keys, other.expose()).is_some());
    }
}

#[test]
fn a_key_holds_until_it_expires() {
    let folder = tempfile::tempdir().unwrap();
    let keys = open(folder.path());
    let short = NewKey { expires: Some(LATER), ..new("short", Role::Reader) };
    let (_, text) = keys.create(short, &admin(), NOW, unrecorded).unwrap();
    for keys in [&keys, &open(folder.path())] {
        assert!(matches!(keys.look_up(text.expose(), UnixMillis(LATER.0 - 1)), KeyLookup::Key(_)));
        assert_eq!(keys.look_up(text.expose(), LATER), KeyLookup::Expired { name: "short".to_owned() });
    }
}

/// However late its expiry, it is written as a time that can be read again.
#[test]
fn a_key_may_hold_to_the_end_of_the_calendar() {
    let folder = tempfile::tempdir().unwrap();
    let keys = open(folder.path());
    for (name, expires) in [("last", UnixMillis::LAST), ("later", UnixMillis(i64::MAX))] {
        let (_, text) = keys
            .create(NewKey { expires: Some(expires), ..new(name, Role::Reader) }, &admin(), NOW, unrecorded)
            .unwrap();
        for keys in [&keys, &open(folder.path())] {
            assert!(matches!(keys.look_up(text.expose(), UnixMillis(UnixMillis::LAST.0 - 1)), KeyLookup::Key(_)));
        }
    }
}

#[test]
fn an_invalid_key_is_not_created() {
    let folder = tempfile::tempdir().unwrap();
    let keys = open(folder.path());
    let before = fs::read(folder.path().join(KEYS_FILE)).unwrap();
    let long = "x".repeat(65);
    for name in ["", ".", "..", "a b", "a/b", "é", &long] {
        let error = keys.create(new(name, Role::Reader), &admin(), NOW, unrecorded).unwrap_err();
        assert!(matches!(error, ChangeError::BadName(_)), "{name}: {error}");
    }
    let taken = keys.create(new("admin", Role::Reader), &admin(), NOW, unrecorded).unwrap_err();
    assert!(matches!(taken, ChangeError::NameTaken(_)));
    let past = NewKey { expires: Some(NOW), ..new("past", Role::Reader) };
    assert!(matches!(keys.create(past, &admin(), NOW, unrecorded).unwrap_err(), ChangeError::Past));
    let useless = NewKey { grants: Vec::new(), ..new("useless", Role::Reader) };
    assert!(matches!(keys.create(useless, &admin(), NOW, unrecorded).unwrap_err(), ChangeError::NoGrants));
    let spaces = (0..10_000).map(|space| format!("space-{space}")).collect();
    let large = Grant::read(&GrantText { role: Role::Reader, spaces, providers: Vec::new() }).unwrap();
    let large = NewKey { grants: vec![large], ..new("large", Role::Reader) };
    assert!(matches!(keys.create(large, &admin(), NOW, unrecorded).unwrap_err(), ChangeError::LargeGrants(_)));
    assert_eq!(fs::read(folder.path().join(KEYS_FILE)).unwrap(), before);
}

#[test]
fn the_last_lasting_admin_key_cannot_be_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let keys = open(folder.path());
    keys.create(new("audit", Role::Auditor), &admin(), NOW, unrecorded).unwrap();
    keys.create(NewKey { expires: Some(LATER), ..new("short", Role::Admin) }, &admin(), NOW, unrecorded).unwrap();
    assert!(matches!(keys.revoke("admin", unrecorded).unwrap_err(), ChangeError::LastAdmin(_)));
    assert!(matches!(keys.revoke("nobody", unrecorded).unwrap_err(), ChangeError::Absent(_)));
    keys.create(new("second", Role::Admin), &admin(), NOW, unrecorded).unwrap();
    keys.revoke("admin", unrecorded).unwrap();
    assert_eq!(name_of(&keys, &admin_key(folder.path())), None);
}

#[test]
fn a_change_that_cannot_be_saved_has_no_effect() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let keys = open(&data);
    let (_, text) = keys.create(new("other", Role::Reader), &admin(), NOW, unrecorded).unwrap();
    fs::remove_dir_all(&data).unwrap();
    assert!(matches!(keys.revoke("other", unrecorded).unwrap_err(), ChangeError::Write(_)));
    assert!(name_of(&keys, text.expose()).is_some());
    assert!(matches!(
        keys.create(new("x", Role::Reader), &admin(), NOW, unrecorded).unwrap_err(),
        ChangeError::Write(_)
    ));
    assert_eq!(keys.list().len(), 2);
}

#[test]
fn keys_of_version_1_are_admins_and_the_file_becomes_version_2() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(KEYS_FILE);
    let entry = |name: &str, text: &str| {
        format!(r#"{{"name":"{name}","sha256":"{}","created":"2023-11-14T22:13:20.000Z"}}"#, Hex(&hash(text)))
    };
    let old = format!(r#"{{"version":1,"keys":[{},{}]}}"#, entry("admin", "one"), entry("b", "two"));
    fs::write(&path, old).unwrap();
    for keys in [open(folder.path()), open(folder.path())] {
        assert_eq!(keys.look_up("one", NOW), KeyLookup::Key(Arc::new(admin())));
        assert_eq!(name_of(&keys, "two").as_deref(), Some("b"));
        assert!(keys.list().iter().all(|info| info.created == "2023-11-14T22:13:20.000Z"));
        let kept: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!((&kept["version"], &kept["keys"][1]["grants"][0]["role"]), (&2.into(), &"admin".into()));
    }
    assert_eq!(mode(&path), 0o600);
}

#[test]
fn the_folder_holds_no_key_but_the_admins_and_nobody_else_can_read_either_file() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path());
    let stored = fs::read_to_string(folder.path().join(KEYS_FILE)).unwrap();
    assert!(!stored.contains(&admin_key(folder.path())));
    assert!(stored.contains("2023-11-14T22:13:20.000Z"), "{stored}");
    let mut files: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    assert_eq!(files, [ADMIN_FILE, KEYS_FILE]);
    assert!(files.iter().all(|file| mode(&folder.path().join(file)) == 0o600));
}

#[test]
fn a_crash_before_the_hash_is_kept_leads_to_a_new_key() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path());
    let lost = admin_key(folder.path());
    fs::remove_file(folder.path().join(KEYS_FILE)).unwrap();
    let keys = open(folder.path());
    assert!(name_of(&keys, &lost).is_none());
    assert!(name_of(&keys, &admin_key(folder.path())).is_some());
}

#[test]
fn a_file_that_others_can_read_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(KEYS_FILE);
    open(folder.path());
    assert!(!is_exposed(&path));
    for exposed in [0o640, 0o604, 0o620] {
        fs::set_permissions(&path, fs::Permissions::from_mode(exposed)).unwrap();
        assert!(is_exposed(&path), "{exposed:o}");
    }
}

#[test]
fn a_broken_file_is_an_error_that_names_it_and_is_left_alone() {
    let good = Hex(&hash("x")).to_string();
    let entry = |name: &str, sha256: &str| {
        format!(r#"{{"name":"{name}","sha256":"{sha256}","created":"","grants":[{{"role":"admin"}}]}}"#)
    };
    let file = |keys: &str| format!(r#"{{"version":2,"keys":[{keys}]}}"#);
    let cases = [
        (String::new(), "not a file of API keys"),
        ("{".to_owned(), "not a file of API keys"),
        (r#"{"version":3,"keys":[]}"#.to_owned(), "expected version 2, found 3"),
        (r#"{"version":1,"keys":[{"name":"a","sha256":"","created":"","grants":[]}]}"#.to_owned(), "grants"),
        (file(""), "expected at least one key"),
        (file(&entry("a", "12")), "keys[0].sha256: expected 64 hex digits"),
        (file(&entry("a", &"é".repeat(32))), "keys[0].sha256: expected 64 hex digits"),
        (file(&format!("{},{}", entry("a", &good), entry("a", &good))), "keys[1].name"),
        (file(&entry("", &good)), "keys[0].name"),
        (file(&entry("a", &good).replace("name", "nick")), "nick"),
        (file(&entry("a", &good).replace("admin", "root")), "root"),
        (file(&entry("a", &good).replace("admin", "reader")), "keys[0].grants[0].spaces: expected the spaces"),
        (file(&entry("a", &good).replace("\"created\"", "\"expires\":\"soon\",\"created\"")), "keys[0].expires"),
    ];
    for (text, expected) in cases {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(KEYS_FILE);
        fs::write(&path, &text).unwrap();
        let error = Keys::open(folder.path(), NOW).err().unwrap().to_string();
        assert!(error.contains(expected) && error.contains(KEYS_FILE), "{text:?}: {error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}

#[test]
fn grants_are_kept_as_they_were_given() {
    let folder = tempfile::tempdir().unwrap();
    let keys = open(folder.path());
    let text = |role, spaces: &[&str], providers: &[&str]| GrantText {
        role,
        spaces: spaces.iter().map(|name| (*name).to_owned()).collect(),
        providers: providers.iter().map(|name| (*name).to_owned()).collect(),
    };
    let texts = [text(Role::Writer, &["default", "team"], &["crm"]), text(Role::SpaceAuditor, &["*"], &[])];
    let grants: Vec<_> = texts.iter().map(|text| Grant::read(text).unwrap()).collect();
    keys.create(NewKey { name: "k".to_owned(), grants, expires: None }, &admin(), NOW, unrecorded).unwrap();
    let kept = open(folder.path()).list().pop().unwrap().grants;
    assert_eq!(kept.iter().map(Grant::text).collect::<Vec<_>>(), texts);
}

#[test]
fn whichever_system_call_fails_the_next_start_knows_the_keys_that_were_acknowledged() {
    for before in 0.. {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("above").join("data");
        let fault = files::faults::OneFault::after(before, folder.path());
        let keys = match Keys::open(&data, NOW) {
            Ok(keys) => keys,
            Err(_) => open(&data),
        };
        let names = ["a", "b", "c"];
        let created: Vec<_> =
            names.iter().map(|name| keys.create(new(name, Role::Writer), &admin(), NOW, unrecorded)).collect();
        let revoked = keys.revoke("b", unrecorded).is_ok();
        let failed = fault.failed();
        drop(fault);
        let again = open(&data);
        assert!(name_of(&again, &admin_key(&data)).is_some(), "{failed:?}");
        for (name, created) in names.iter().zip(&created) {
            let Ok((_, text)) = created else { continue };
            let is_revoked = *name == "b" && revoked;
            assert!(name_of(&again, text.expose()).is_some() != is_revoked || *name == "b", "{failed:?}: {name}");
            assert!(!is_revoked || name_of(&again, text.expose()).is_none(), "{failed:?}: {name} is revoked");
        }
        again.create(new("d", Role::Writer), &admin(), NOW, unrecorded).unwrap();
        if failed.is_none() {
            assert!(before > 20, "{before}");
            break;
        }
    }
}

#[test]
fn a_change_that_cannot_be_recorded_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let keys = open(folder.path());
    keys.create(new("a", Role::Writer), &admin(), NOW, unrecorded).unwrap();
    let before = fs::read(folder.path().join(KEYS_FILE)).unwrap();
    let refuse = |info: &KeyInfo| Err(ChangeError::Absent(format!("no record of {}", info.name)));
    let created = keys.create(new("b", Role::Writer), &admin(), NOW, refuse).unwrap_err();
    assert!(created.to_string().contains("no record of b"), "{created}");
    let revoked = keys.revoke("a", refuse).unwrap_err();
    assert!(revoked.to_string().contains("no record of a"), "{revoked}");
    assert_eq!(fs::read(folder.path().join(KEYS_FILE)).unwrap(), before);
    assert_eq!(keys.list().len(), 2);
}

#[test]
fn a_clock_that_is_set_back_revives_no_expired_key() {
    let folder = tempfile::tempdir().unwrap();
    let keys = open(folder.path());
    let short = NewKey { expires: Some(UnixMillis(NOW.0 + 1_000)), ..new("short", Role::Reader) };
    let (_, text) = keys.create(short, &admin(), NOW, unrecorded).unwrap();
    assert!(matches!(keys.look_up(text.expose(), NOW), KeyLookup::Key(_)));
    // Whichever key it was that showed how late it is.
    assert!(matches!(keys.look_up(&admin_key(folder.path()), LATER), KeyLookup::Key(_)));
    assert!(matches!(keys.look_up(text.expose(), NOW), KeyLookup::Expired { .. }));
}
