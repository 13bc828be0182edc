use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// The maximum number of lines of a file.
const MAX_LINES: usize = 700;

/// Files that may be longer, and the reason.
const LONG_FILES: [(&str, &str); 3] = [
    ("src/schema/table.rs", "generated, one entry for each field"),
    ("src/http/openapi/examples.json", "written by a test, an example of each body"),
    ("tests/fuzz/Cargo.lock", "written by cargo"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the path and text of each file at these places, which are relative to the checkout.
fn files(places: &[&str]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut paths: Vec<PathBuf> = places.iter().map(|place| root().join(place)).collect();
    while let Some(path) = paths.pop() {
        if path.is_dir() {
            paths.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if let Ok(text) = fs::read_to_string(&path) {
            found.push((path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned(), text));
        }
    }
    assert!(found.len() >= places.len());
    found.sort();
    found
}

fn complain(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// Returns the program's code, without tests and comments.
fn program_files() -> Vec<(String, String)> {
    const TESTS: [&str; 4] = ["/tests/", "/tests.rs", "store/conformance/", "store/testing.rs"];
    let mut files = files(&["src"]);
    files.retain(|(path, _)| path.ends_with(".rs") && !TESTS.iter().any(|tests| path.contains(tests)));
    for (_, text) in &mut files {
        let code = text.split_once("\nmod tests {").map_or(text.as_str(), |(code, _)| code);
        *text = code
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .fold(String::new(), |code, line| code + line + "\n");
    }
    files
}

/// Returns the modules of this crate that code names, as in `crate::name::…` and `use crate::{name::…, …}`.
fn modules_used(code: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    let name =
        |text: &str| text.trim_start().chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect::<String>();
    for after in code.split("crate::").skip(1) {
        let Some(list) = after.strip_prefix('{') else {
            used.insert(name(after));
            continue;
        };
        let mut depth = 0_i32;
        let mut begins = true;
        for (at, character) in list.char_indices() {
            if begins && depth == 0 && !character.is_whitespace() {
                used.insert(name(&list[at..]));
            }
            begins = begins && character.is_whitespace() || character == ',';
            depth += i32::from(character == '{') - i32::from(character == '}');
            if depth < 0 {
                break;
            }
        }
    }
    used.remove("");
    used
}

/// `src/store/mod.rs` and `src/store.rs` both belong to module `store`; the file that depends on the configuration is
/// separate.
fn module_of(path: &str) -> &str {
    if path == "src/store/open.rs" {
        return "store::open";
    }
    path.strip_prefix("src/").unwrap().split(['/', '.']).next().unwrap()
}

/// Reads the table in ARCHITECTURE.md, in order.
fn table() -> Vec<(String, BTreeSet<String>)> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let section = text.split("\n## Who may use whom\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.flat_map(|row| {
        let (modules, uses) = row.split_once("` |").unwrap();
        let uses = uses.trim_matches([' ', '|']).split(", ").filter(|name| !name.is_empty());
        let uses: BTreeSet<_> = uses.map(str::to_owned).collect();
        modules.split("`, `").map(move |module| (module.to_owned(), uses.clone())).collect::<Vec<_>>()
    })
    .collect()
}

#[test]
fn modules_use_each_other_as_the_architecture_says() {
    let table = table();
    let mut complaints = Vec::new();
    for (index, (module, uses)) in table.iter().enumerate() {
        let above: BTreeSet<_> = table[..index].iter().map(|(above, _)| above.clone()).collect();
        complaints.extend(uses.difference(&above).map(|below| format!("the table: {below} is not above {module}")));
    }
    let mut unused: BTreeMap<_, _> = table.iter().cloned().collect();
    for (path, code) in program_files() {
        let module = module_of(&path);
        if matches!(module, "lib" | "main") {
            continue;
        }
        let Some((_, allowed)) = table.iter().find(|(known, _)| known == module) else {
            complaints.push(format!("{path}: the table in ARCHITECTURE.md has no module {module}"));
            continue;
        };
        for used in modules_used(&code).into_iter().filter(|used| used != module) {
            if !allowed.contains(&used) {
                complaints
                    .push(format!("{path}: {module} uses {used}, which the table in ARCHITECTURE.md does not have"));
            }
            unused.get_mut(module).unwrap().remove(&used);
        }
    }
    for (module, uses) in unused {
        complaints.extend(uses.into_iter().map(|never| format!("the table: {module} does not use {never}")));
    }
    complain(&complaints);
}

/// A file as a module: `["store", "sql", "row"]` is `src/store/sql/row.rs`.
type Module = Vec<String>;

/// Returns the paths that code names, in imports and elsewhere, from the root of the crate; `within` is the module of
/// the code. A path may end in an item.
fn paths_used(code: &str, within: &[String]) -> Vec<(Module, bool)> {
    let mut paths = Vec::new();
    let mut rest = code;
    while let Some(at) = ["crate::", "super::", "self::"].iter().filter_map(|root| rest.find(root)).min() {
        let is_path = !rest[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | ':' | '$'));
        let line_start = rest[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let is_export = rest[line_start..at].trim_start().starts_with("pub") && rest[line_start..at].contains("use ");
        rest = &rest[at..];
        let (path, after) = tree(rest);
        if is_path {
            paths.extend(path.into_iter().filter_map(|path| Some((rooted(&path, within)?, is_export))));
        }
        rest = after;
    }
    paths
}

/// Parses a path or a tree of paths at the beginning of the text; returns the paths and the rest of the text.
fn tree(text: &str) -> (Vec<Vec<String>>, &str) {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        let mut paths = Vec::new();
        loop {
            rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
            if let Some(after) = rest.strip_prefix('}') {
                return (paths, after);
            }
            let (more, after) = tree(rest);
            if after.len() == rest.len() {
                return (paths, after);
            }
            paths.extend(more);
            rest = after.split_once([',', '}']).map_or(after, |(name, _)| &after[name.len()..]);
        }
    }
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let name = name.to_owned();
    match rest.strip_prefix("::").map(tree) {
        Some((below, after)) if !below.is_empty() => {
            (below.into_iter().map(|path| [vec![name.clone()], path].concat()).collect(), after)
        }
        _ => (vec![vec![name]], rest),
    }
}

/// Resolves a path from the root of the crate.
fn rooted(path: &[String], within: &[String]) -> Option<Module> {
    let mut base: Module = if path.first()? == "crate" { Vec::new() } else { within.to_vec() };
    let mut names = path.iter().skip_while(|name| *name == "crate" || *name == "self").peekable();
    while names.next_if(|name| *name == "super").is_some() {
        base.pop()?;
    }
    base.extend(names.cloned());
    Some(base)
}

/// Returns which files use which. A re-exported item counts as part of the file that defines it; and a `mod.rs` may use
/// the files of its folder, because it is the folder's public face.
fn files_used() -> BTreeMap<Module, BTreeSet<Module>> {
    let module = |path: &str| -> Module {
        let path = path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
        path.split('/').map(str::to_owned).collect()
    };
    let files: BTreeMap<Module, String> =
        program_files().into_iter().map(|(path, code)| (module(&path), code)).collect();
    let split = |path: &Module| -> Option<(Module, Option<String>)> {
        let length = (1..=path.len()).rev().find(|length| files.contains_key(&path[..*length]))?;
        Some((path[..length].to_vec(), path.get(length).cloned()))
    };
    let used: Vec<_> = files
        .iter()
        .flat_map(|(file, code)| {
            paths_used(code, file).into_iter().map(move |(path, is_export)| (file, path, is_export))
        })
        .collect();
    let exports: BTreeMap<(Module, String), Module> = used
        .iter()
        .filter(|(_, _, is_export)| *is_export)
        .filter_map(|(file, path, _)| {
            let (target, item) = split(path)?;
            Some((((*file).clone(), item?), target))
        })
        .collect();
    let mut edges: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
    for (file, path, _) in used {
        let Some((mut target, item)) = split(&path) else { continue };
        while let Some(further) =
            item.clone().and_then(|item| exports.get(&(target.clone(), item))).filter(|further| **further != target)
        {
            target = further.clone();
        }
        if target != *file && !target.starts_with(file) {
            edges.entry(file.clone()).or_default().insert(target);
        }
    }
    edges
}

#[test]
fn files_do_not_use_each_other_in_a_cycle() {
    let mut edges = files_used();
    assert!(edges.len() > 100, "the imports are not seen");
    // A file that uses none of the remaining files is not in a cycle.
    loop {
        let left: BTreeSet<_> = edges.keys().cloned().collect();
        edges.values_mut().for_each(|used| used.retain(|file| left.contains(file)));
        let before = edges.len();
        edges.retain(|_, used| !used.is_empty());
        if edges.len() == before {
            break;
        }
    }
    let complaints: Vec<_> = edges
        .iter()
        .map(|(file, used)| {
            let used: Vec<_> = used.iter().map(|file| file.join("/")).collect();
            format!("{} is in a circle, or behind one: it uses {}", file.join("/"), used.join(", "))
        })
        .collect();
    complain(&complaints);
}

#[test]
fn paths_are_found_in_import_lists_and_in_code() {
    let code = "use super::{a::{self, B}, c};\npub use crate::d::E;\nfn f() { crate::g::h::i(); self::j(); }";
    let within = ["x".to_owned(), "y".to_owned()];
    let used: Vec<_> =
        paths_used(code, &within).into_iter().map(|(path, is_export)| (path.join("/"), is_export)).collect();
    let expected =
        [("x/a/self", false), ("x/a/B", false), ("x/c", false), ("d/E", true), ("g/h/i", false), ("x/y/j", false)];
    assert_eq!(used, expected.map(|(path, is_export)| (path.to_owned(), is_export)));
}

#[test]
fn modules_in_import_lists_are_found() {
    let code = "use crate::{\n    event::{self, Space, deep::{A, B}},\n    files,\n};\nfn f() { crate::time::now(); }\nuse crate::query::Query;\nfn g() -> pub(crate) usize { journal::x() }";
    let expected = ["event", "files", "query", "time"].map(str::to_owned);
    assert_eq!(modules_used(code), BTreeSet::from(expected));
}

#[test]
fn the_core_is_pure_and_few_places_name_the_stores_and_the_engines_client() {
    const PURE: [&str; 6] = ["event", "schema", "integrity", "policy", "query", "time"];
    const IMPURE: [&str; 5] = ["tokio", "std::fs", "std::net", "reqwest", "rusqlite"];
    const CLIENT: [&str; 2] = ["src/store/elastic/client.rs", "src/store/elastic/config.rs"];
    let folders = fs::read_dir(root().join("src/store")).unwrap().map(|entry| entry.unwrap());
    let folders = folders.filter(|entry| entry.path().is_dir()).map(|entry| entry.file_name().into_string().unwrap());
    let stores: Vec<_> = folders
        .filter(|name| !["conformance", "sql"].contains(&name.as_str()))
        .map(|name| format!("store::{name}"))
        .collect();
    let mut complaints = Vec::new();
    for (path, code) in program_files() {
        for word in IMPURE.iter().filter(|_| PURE.contains(&module_of(&path))) {
            if code.contains(word) {
                complaints.push(format!("{path}: {word} in a module that is pure"));
            }
        }
        for store in &stores {
            if code.contains(store.as_str()) && !["config", "store"].contains(&module_of(&path)) {
                complaints.push(format!("{path}: names {store}, as only config and src/store/open.rs do"));
            }
        }
        if code.contains("elasticsearch::") && !CLIENT.contains(&path.as_str()) {
            complaints.push(format!("{path}: uses the crate elasticsearch, which {} hide", CLIENT.join(" and ")));
        }
    }
    complain(&complaints);
}

#[test]
fn only_a_permit_leads_to_a_query_that_a_store_runs() {
    let makers = program_files().into_iter().filter(|(_, code)| code.contains("ScopedQuery::new"));
    let makers: Vec<_> = makers.map(|(path, _)| path).collect();
    assert_eq!(makers, ["src/access/permit.rs"]);
}

#[test]
fn files_are_short() {
    let mut complaints = Vec::new();
    for (path, text) in files(&["src", "tests", "scripts"]) {
        let lines = text.lines().count();
        let is_code = !path.starts_with("tests/golden/");
        if is_code && lines > MAX_LINES && !LONG_FILES.iter().any(|(longer, _)| *longer == path) {
            complaints.push(format!("{path} has {lines} lines, and {MAX_LINES} are the most"));
        }
    }
    for (path, reason) in LONG_FILES {
        assert!(root().join(path).is_file() && !reason.is_empty(), "{path}");
    }
    let lines = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap().lines().count();
    assert!(lines <= 150, "ARCHITECTURE.md has {lines} lines");
    complain(&complaints);
}

/// Returns all files written by people.
fn all_files() -> Vec<(String, String)> {
    let places = [
        "src",
        "tests",
        "scripts",
        "docs",
        "mappings",
        "ilm",
        ".ci",
        ".github",
        ".clippy.toml",
        ".gitignore",
        "README.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "Cargo.toml",
    ];
    let mut files = files(&places);
    files.retain(|(path, _)| path != "tests/it/tidy.rs");
    files
}

#[test]
fn no_file_has_todos_or_paths_of_one_machine() {
    const LATER: [&str; 5] = ["TODO", "FIXME", "XXX", "todo!", "unimplemented!"];
    const MACHINE: [&str; 4] = ["/home/", "/root/", "/work/", "/Users/"];
    let mut complaints = Vec::new();
    for (path, text) in all_files() {
        for (number, line) in (1..).zip(text.lines()) {
            let is_word = |word: &str| line.split(|c: char| !c.is_alphanumeric() && c != '!').any(|part| part == word);
            complaints.extend(LATER.iter().filter(|word| is_word(word)).map(|word| format!("{path}:{number}: {word}")));
            let named = MACHINE.iter().filter(|place| line.contains(**place));
            complaints.extend(named.map(|place| format!("{path}:{number}: a path of one machine, {place}")));
        }
    }
    complain(&complaints);
}

/// Returns the documents for people, except generated ones.
fn documents() -> Vec<(String, String)> {
    let mut files = files(&["README.md", "ARCHITECTURE.md", "CHANGELOG.md", ".github", "docs", "mappings"]);
    files.retain(|(path, _)| path.ends_with(".md"));
    files
}

/// Returns the text of a document without its fenced blocks.
fn prose(text: &str) -> String {
    text.split("\n```").step_by(2).collect()
}

/// Returns the anchors of the headings, as the usual viewers derive them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = prose(text);
    let headings =
        headings.lines().filter_map(|line| line.strip_prefix('#')).map(|line| line.trim_start_matches('#').trim());
    let anchor = |heading: &str| {
        let kept = heading.to_lowercase().replace(' ', "-");
        kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    let mut complaints = Vec::new();
    for (path, text) in documents() {
        let folder = root().join(&path).parent().unwrap().to_owned();
        for after in prose(&text).split("](").skip(1) {
            let link = after.split(')').next().unwrap();
            if link.starts_with("https://") || link.starts_with("http://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { root().join(&path) } else { folder.join(file) };
            if !target.exists() {
                complaints.push(format!("{path}: no file {file}"));
            } else if !anchor.is_empty() && !anchors(&fs::read_to_string(&target).unwrap()).contains(anchor) {
                complaints.push(format!("{path}: no heading #{anchor} in {file}"));
            }
        }
    }
    complain(&complaints);
}

#[test]
fn every_file_that_a_document_names_is_there() {
    const FOLDERS: [&str; 6] = ["src/", "scripts/", "tests/", "docs/", "mappings/", "ilm/"];
    let mut complaints = Vec::new();
    for (path, text) in documents() {
        for quoted in prose(&text).split('`').skip(1).step_by(2) {
            let file = quoted.split(' ').next().unwrap();
            let is_pattern = file.contains(['<', '*', '{', '…']);
            if FOLDERS.iter().any(|folder| file.starts_with(folder)) && !is_pattern && !root().join(file).exists() {
                complaints.push(format!("{path}: no {file}"));
            }
        }
    }
    complain(&complaints);
}
