//! Rules of the architecture, checked on the source: allowed imports, and code that may exist in one place only.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use crate::support::REPOSITORY;

struct Source {
    path: String,
    /// Without comments and without the unit tests at the end.
    code: String,
    lines: usize,
}

/// The Rust files in a directory of the repository and below it.
fn rust_files(directory: &str) -> Vec<PathBuf> {
    let mut directories = vec![Path::new(REPOSITORY).join(directory)];
    let mut files = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files
}

fn sources() -> Vec<Source> {
    let root = Path::new(REPOSITORY).join("src");
    let source = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let code: Vec<&str> = code.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
        Source {
            path: path.strip_prefix(&root).unwrap().display().to_string(),
            code: code.join("\n"),
            lines: text.lines().count(),
        }
    };
    rust_files("src").into_iter().map(source).collect()
}

/// Fails if a word occurs in a file whose path begins with one of `under` and is not one of `except`.
fn nowhere(words: &[&str], under: &[&str], except: &[&str]) {
    for source in sources() {
        let concerned = under.iter().any(|prefix| source.path.starts_with(prefix));
        if !concerned || except.iter().any(|prefix| source.path.starts_with(prefix)) {
            continue;
        }
        for word in words {
            assert!(!source.code.contains(word), "src/{} must not contain {word:?}", source.path);
        }
    }
}

const ENTITIES: [&str; 9] =
    ["user", "organization", "membership", "role", "invitation", "oauth_account", "session", "api_key", "event"];

#[test]
fn one_entity_has_one_file_name_in_every_layer() {
    for entity in ENTITIES {
        for file in [
            format!("proto/tenantry/v1/{entity}.proto"),
            format!("proto/tenantry/v1/{entity}_service.proto"),
            format!("src/models/{entity}.rs"),
            format!("src/repositories/{entity}.rs"),
            format!("src/app/{entity}.rs"),
            format!("src/grpc/convert/{entity}.rs"),
            format!("src/grpc/handlers/{entity}.rs"),
            format!("tests/{entity}/mod.rs"),
        ] {
            // A large module is a folder of the same name.
            let folder = file.replace(".rs", "/mod.rs");
            let root = Path::new(REPOSITORY);
            assert!(root.join(&file).exists() || root.join(folder).exists(), "{file}");
        }
    }
}

#[test]
fn every_method_has_a_file_of_tests() {
    for method in crate::support::raw::methods() {
        let service = method.parent_service();
        let noun = service.name().trim_end_matches("Service");
        // `GetUserByEmail` of the users is `get_by_email`; `BatchGetUsers` is `batch_get`; `ListApiKeys` is `list`.
        let verb = method.name().replace(&format!("{noun}s"), "").replace(noun, "");
        let file_name = |name: &str| {
            name.chars().fold(String::new(), |mut file, c| {
                if c.is_uppercase() && !file.is_empty() {
                    file.push('_');
                }
                file.extend(c.to_lowercase());
                file
            })
        };
        // A service that is no entity's is named for its job.
        let path = format!("{REPOSITORY}/tests/{}/{}.rs", file_name(noun), file_name(&verb));
        assert!(Path::new(&path).exists(), "{} needs {path}", method.full_name());
    }
}

#[test]
fn only_repositories_and_db_know_diesel() {
    nowhere(&["diesel"], &[""], &["repositories/", "db/"]);
}

#[test]
fn only_db_knows_which_database_it_is() {
    nowhere(
        &["Sqlite", "sqlite", "Postgres", "postgres"],
        &[""],
        &["db/", "config/", "server/bootstrap.rs", "repositories/mod.rs"],
    );
}

/// Every room, and the rooms that it may import.
const ROOMS: [(&str, &[&str]); 16] = [
    ("main", &["*"]),
    ("lib", &["*"]),
    ("cli", &["clock", "models", "pb", "security"]),
    ("server", &["*"]),
    ("jobs", &["app", "clock", "db", "error", "models"]),
    ("interceptors", &["app", "error", "grpc", "http", "models", "pb", "security", "telemetry", "transport"]),
    ("grpc", &["app", "error", "models", "pb", "security", "telemetry", "transport"]),
    ("http", &["app", "telemetry", "transport"]),
    ("transport", &["app", "config", "error", "models", "security"]),
    ("app", &["clock", "db", "error", "models", "repositories", "security", "telemetry"]),
    ("repositories", &["db", "error", "models", "security"]),
    ("db", &["config", "error", "models", "security", "telemetry"]),
    ("telemetry", &["config"]),
    ("config", &["models", "security"]),
    ("error", &["models", "security"]),
    ("security", &["models"]),
];

/// The rooms that a file imports.
fn imports(code: &str) -> BTreeSet<String> {
    let mut imports = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let mut rest = code[at + "crate::".len()..].chars().peekable();
        if rest.peek() != Some(&'{') {
            imports.insert(rest.take_while(|c| c.is_alphanumeric() || *c == '_').collect());
            continue;
        }
        let (mut depth, mut name) = (0, String::new());
        for c in rest {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 || (depth == 1 && c == ',') {
                imports.insert(name.trim().split("::").next().unwrap_or_default().to_owned());
                name.clear();
            } else if depth == 1 && c != '{' {
                name.push(c);
            }
            if depth == 0 {
                break;
            }
        }
    }
    imports.retain(|name| name.starts_with(char::is_lowercase));
    imports
}

fn room(path: &str) -> &str {
    path.split('/').next().unwrap_or_default().trim_end_matches(".rs")
}

#[test]
fn each_room_imports_only_the_rooms_below_it() {
    for source in sources() {
        let room = room(&source.path);
        let allowed = ROOMS.iter().find(|(name, _)| *name == room).map_or(&["models"][..], |(_, allowed)| allowed);
        if allowed == ["*"] {
            continue;
        }
        for import in imports(&source.code) {
            assert!(import == room || allowed.contains(&import.as_str()), "src/{} imports {import}", source.path);
        }
    }
}

#[test]
fn imports_between_rooms_have_no_circle() {
    let mut rooms: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in sources().iter().filter(|source| !["lib.rs", "main.rs"].contains(&source.path.as_str())) {
        let room = room(&source.path).to_owned();
        let imports = imports(&source.code).into_iter().filter(|import| *import != room).collect::<BTreeSet<_>>();
        rooms.entry(room).or_default().extend(imports);
    }
    // Repeatedly removes a room without remaining imports. A cycle would remain.
    while let Some(lowest) = rooms.iter().find(|(_, imports)| imports.is_empty()).map(|(room, _)| room.clone()) {
        rooms.remove(&lowest);
        for imports in rooms.values_mut() {
            imports.remove(&lowest);
        }
        let names: BTreeSet<String> = rooms.keys().cloned().collect();
        for imports in rooms.values_mut() {
            imports.retain(|import| names.contains(import));
        }
    }
    assert!(rooms.is_empty(), "{rooms:?}");
}

#[test]
fn use_cases_and_lower_layers_know_nothing_of_the_wire() {
    nowhere(&["tonic", "prost", "crate::pb"], &["app/", "repositories/", "db/", "models/", "security/", "jobs/"], &[]);
    nowhere(&["async fn", "tokio"], &["models/", "security/"], &[]);
}

#[test]
fn convert_is_pure() {
    nowhere(&["async fn"], &["grpc/convert/"], &[]);
}

#[test]
fn only_the_status_module_makes_a_status_of_an_error() {
    nowhere(
        &["Status::new", "Status::internal", "Status::not_found", "Status::invalid", "with_error_details"],
        &[""],
        // The selftest is a client and does not send its statuses.
        &["grpc/status.rs", "cli/selftest/"],
    );
}

#[test]
fn every_change_goes_through_the_one_door() {
    nowhere(&["db.transaction("], &[""], &["app/change.rs"]);
}

#[test]
fn only_the_clock_asks_the_time_and_only_security_makes_randomness() {
    nowhere(&["SystemTime::now", "now_v7", "CURRENT_TIMESTAMP", "now()\""], &[""], &["clock.rs"]);
    nowhere(&["getrandom", "rand::"], &[""], &["security/random.rs"]);
}

#[test]
fn no_sql_is_built_of_text() {
    nowhere(&["sql_query(format!", "dsl::sql", " sql::<", "(sql::<"], &[""], &[]);
}

#[test]
fn handlers_know_no_other_handler() {
    for entity in ENTITIES {
        let others: Vec<String> =
            ENTITIES.iter().filter(|other| **other != entity).map(|other| format!("super::{other}")).collect();
        let others: Vec<&str> = others.iter().map(String::as_str).collect();
        nowhere(&others, &[&format!("grpc/handlers/{entity}.rs")], &[]);
    }
}

#[test]
fn every_query_takes_a_reach_or_a_locked_row_or_says_why_it_needs_none() {
    let directory = Path::new(REPOSITORY).join("src");
    for source in sources().iter().filter(|source| source.path.starts_with("repositories/")) {
        let text = fs::read_to_string(directory.join(&source.path)).unwrap();
        if text.contains("//! No function here takes a reach: ") {
            continue;
        }
        let functions: Vec<&str> = text.split("pub async fn ").collect();
        for (before, function) in functions.iter().zip(&functions[1..]) {
            let signature = function.split('{').next().unwrap();
            let is_bound = ["reach: &Reach", "Locked<", "Presented"].iter().any(|word| signature.contains(word));
            let comment = before.rsplit("\n\n").next().unwrap();
            let comment: Vec<&str> = comment.split_whitespace().filter(|word| *word != "///").collect();
            assert!(is_bound || comment.join(" ").contains("akes no reach"), "src/{}: {signature}", source.path);
        }
    }
}

#[test]
fn no_file_is_longer_than_anyone_wants_to_read() {
    for source in sources() {
        assert!(source.lines <= 400, "src/{} has {} lines", source.path, source.lines);
    }
}

#[test]
fn nothing_is_left_for_later() {
    nowhere(&["todo!", "unimplemented!", "TODO", "FIXME"], &[""], &[]);
}

/// The numbers in the name of a test, as in `slow_r18_..` and `faults_f24_f25_..`.
fn numbers(name: &str) -> impl Iterator<Item = &str> {
    let is_number = |word: &&str| {
        word.strip_prefix(['f', 'i', 'r', 's', 't', 'u', 'v', 'w'])
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let unnumbered = |word: &&str| matches!(*word, "slow" | "faults" | "minute" | "of");
    name.split('_').skip_while(unnumbered).take_while(is_number)
}

#[test]
fn every_number_in_the_name_of_a_test_is_in_the_list_of_requirements_and_the_other_way_round() {
    let mut numbered = BTreeSet::new();
    for path in rust_files("tests") {
        let text = fs::read_to_string(path).unwrap();
        let names = text.split("fn ").chain(text.split("mod ")).skip(1);
        let names = names.filter_map(|rest| rest.split(['(', ' ', ';']).next());
        numbered.extend(names.flat_map(numbers).map(str::to_owned));
    }
    let list = fs::read_to_string(Path::new(REPOSITORY).join("docs/requirements.md")).unwrap();
    let listed: BTreeSet<String> =
        list.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).map(str::to_owned).collect();
    assert_eq!(numbered, listed);
}
