//! The shape of the house, checked: who may depend on whom, where a crate lives, which files a domain has.
//!
//! `house()` reads the workspace through `cargo metadata`; `violations()` judges it and knows nothing of cargo, so
//! that each rule is also shown a house that breaks it. A sentence in the output is the rule and the way out.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, MetadataCommand};

const PREFIX: &str = "alivio-";

/// Foreign crates that the kernel, and a domain, must not name. A trailing `*` matches every name that starts so.
const OUTSIDE_WORLD: [&str; 7] = ["diesel*", "actix*", "tokio*", "utoipa*", "hyper*", "reqwest*", "metrics*"];

/// What every domain crate has in `src/`, as `name.rs` or as a folder of that name with a `mod.rs`.
const DOMAIN_MODULES: [&str; 5] = ["model", "event", "error", "ports", "service"];

/// Where a crate stands, read from its folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layer {
    Kernel,
    Metrics,
    Outbox,
    Domain,
    Adapter,
    Platform,
    Http,
    Checker,
    Testkit,
    App,
}

impl Layer {
    fn of(folder: &str) -> Option<Self> {
        match folder.split('/').collect::<Vec<_>>().as_slice() {
            ["crates", "kernel"] => Some(Self::Kernel),
            ["crates", "metrics"] => Some(Self::Metrics),
            ["crates", "outbox"] => Some(Self::Outbox),
            ["crates", "domain", _] => Some(Self::Domain),
            ["crates", "adapters", _] => Some(Self::Adapter),
            ["crates", "platform"] => Some(Self::Platform),
            ["crates", "http"] => Some(Self::Http),
            ["crates", "checker"] => Some(Self::Checker),
            ["crates", "testkit"] => Some(Self::Testkit),
            ["apps", _] => Some(Self::App),
            _ => None,
        }
    }

    /// `kernel ← domain ← platform ← http ← apps`, and `adapters → kernel, outbox, domain`. The checker knows nothing of
    /// what it checks, and nothing that is checked knows it. All but the kernel and the domains may measure.
    fn may_use(self) -> &'static [Self] {
        use Layer::{Adapter, Checker, Domain, Http, Kernel, Metrics, Outbox, Platform, Testkit};
        match self {
            Self::Kernel | Self::Metrics | Self::Checker => &[],
            Self::Domain => &[Kernel],
            Self::Outbox => &[Kernel, Metrics],
            Self::Adapter | Self::Platform => &[Kernel, Metrics, Outbox, Domain],
            Self::Http => &[Kernel, Metrics, Outbox, Domain, Platform],
            Self::Testkit => &[Kernel, Outbox, Domain, Adapter, Platform, Http, Checker],
            Self::App => &[Kernel, Metrics, Outbox, Domain, Adapter, Platform, Http, Checker, Testkit],
        }
    }
}

/// A feature by which a crate has mistakes in it. Tests of the tests need it; nothing else may.
const PLANTED_BUGS: &str = "planted-bugs";

/// Apps that measure, and so may use the checker in what is built for use.
const MEASURING: [&str; 1] = ["apps/bench"];

/// One `[dependencies]`, `[build-dependencies]` or `[dev-dependencies]` entry.
#[derive(Clone, Debug)]
struct Dependency {
    package: String,
    only_for_tests: bool,
    features: Vec<String>,
}

/// What the rules need to know of a workspace member.
#[derive(Clone, Debug)]
struct Member {
    package: String,
    /// From the workspace root, with `/` between its parts.
    folder: String,
    dependencies: Vec<Dependency>,
    /// Its features that switch on others: what each of them says.
    features: Vec<(String, Vec<String>)>,
    /// Paths under `src/`, with `/` between their parts.
    sources: BTreeSet<String>,
    inherits_lints: bool,
}

fn violations(house: &[Member]) -> Vec<String> {
    let mut found = Vec::new();
    for member in house {
        let name = &member.package;
        let Some(layer) = Layer::of(&member.folder) else {
            found.push(format!("{name}: `{}` is no place of the house (see Layer::of)", member.folder));
            continue;
        };
        found.extend(dependency_violations(house, member, layer));
        found.extend(ways_to_planted_bugs(member));
        let folder_name = member.folder.rsplit('/').next().unwrap_or_default();
        if name.strip_prefix(PREFIX) != Some(folder_name) {
            found.push(format!(
                "{name}: lives in `{}`; it must be called `{PREFIX}{folder_name}`",
                member.folder
            ));
        }
        if layer == Layer::Domain {
            found.extend(missing_domain_files(member));
        }
        if !member.inherits_lints {
            found.push(format!("{name}: its Cargo.toml must say `[lints] workspace = true`"));
        }
    }
    found
}

fn dependency_violations(house: &[Member], member: &Member, layer: Layer) -> Vec<String> {
    let mut found = Vec::new();
    for dependency in &member.dependencies {
        let (name, target) = (&member.package, &dependency.package);
        let ours = house.iter().find(|other| other.package == *target);
        let Some(ours) = ours else {
            let pure = matches!(layer, Layer::Kernel | Layer::Domain);
            if pure
                && !dependency.only_for_tests
                && OUTSIDE_WORLD.iter().any(|pattern| matches(pattern, target))
            {
                found
                    .push(format!("{name} ({layer:?}): must not depend on `{target}`; put it behind a port"));
            }
            continue;
        };
        // A member without a layer is reported where it stands.
        let Some(target_layer) = Layer::of(&ours.folder) else {
            continue;
        };
        let is_for_use = target_layer == Layer::Checker && layer == Layer::App && !dependency.only_for_tests;
        let allowed = if target_layer == Layer::App || is_for_use && !MEASURING.contains(&&*member.folder) {
            false
        } else if dependency.only_for_tests {
            // A crate may name itself to switch on its own `testing` feature.
            layer != Layer::Adapter
                || target == name
                || target_layer == Layer::Testkit
                || layer.may_use().contains(&target_layer)
        } else {
            layer.may_use().contains(&target_layer)
        };
        if !allowed {
            let kind = if dependency.only_for_tests { "dev-depend" } else { "depend" };
            found.push(format!(
                "{name} ({layer:?}): must not {kind} on `{target}` ({target_layer:?}); it may use {:?}",
                layer.may_use()
            ));
        }
    }
    found
}

/// Whatever but a dev-dependency could bring [`PLANTED_BUGS`] into a build.
fn ways_to_planted_bugs(member: &Member) -> Vec<String> {
    let name = &member.package;
    let is_planted =
        |feature: &String| feature == PLANTED_BUGS || feature.ends_with(&format!("/{PLANTED_BUGS}"));
    let mut found = Vec::new();
    for dependency in member.dependencies.iter().filter(|dependency| !dependency.only_for_tests) {
        if dependency.features.iter().any(is_planted) {
            found.push(format!("{name}: must not switch on `{PLANTED_BUGS}` of `{}`", dependency.package));
        }
    }
    for (feature, _) in member.features.iter().filter(|(_, leads_to)| leads_to.iter().any(is_planted)) {
        found.push(format!("{name}: its feature `{feature}` must not lead to `{PLANTED_BUGS}`"));
    }
    found
}

fn missing_domain_files(member: &Member) -> Vec<String> {
    let has = |path: &str| member.sources.contains(path);
    let mut missing: Vec<String> = DOMAIN_MODULES
        .iter()
        .filter(|module| !has(&format!("{module}.rs")) && !has(&format!("{module}/mod.rs")))
        .map(|module| format!("{module}.rs"))
        .collect();
    if !has("lib.rs") {
        missing.push("lib.rs".to_owned());
    }
    if !member.sources.iter().any(|path| path.starts_with("testing/")) {
        missing.push("testing/".to_owned());
    }
    missing
        .iter()
        .map(|file| format!("{}: every domain has `src/{file}`; this one does not", member.package))
        .collect()
}

fn matches(pattern: &str, package: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == package, |start| package.starts_with(start))
}

/// Whether a manifest says `[lints] workspace = true`, in either of its two usual spellings.
fn inherits_lints(manifest: &str) -> bool {
    let mut table = String::new();
    for line in manifest.lines() {
        let line: String = line.split('#').next().unwrap_or_default().split_whitespace().collect();
        if line.starts_with('[') {
            table = line;
        } else if (table == "[lints]" && line == "workspace=true")
            || (table.is_empty() && line == "lints.workspace=true")
        {
            return true;
        }
    }
    false
}

fn house() -> Result<Vec<Member>, Box<dyn Error>> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let metadata = MetadataCommand::new().manifest_path(manifest).no_deps().exec()?;
    let root = metadata.workspace_root.as_std_path();
    let mut members = Vec::new();
    for package in metadata.workspace_packages() {
        let manifest = package.manifest_path.as_std_path();
        let folder = manifest.parent().ok_or("a manifest without a folder")?;
        let mut sources = BTreeSet::new();
        collect_files(&folder.join("src"), Path::new(""), &mut sources)?;
        members.push(Member {
            package: package.name.to_string(),
            folder: slashed(folder.strip_prefix(root)?),
            dependencies: package
                .dependencies
                .iter()
                .map(|dependency| Dependency {
                    package: dependency.name.clone(),
                    only_for_tests: dependency.kind == DependencyKind::Development,
                    features: dependency.features.clone(),
                })
                .collect(),
            features: package.features.clone().into_iter().collect(),
            sources,
            inherits_lints: inherits_lints(&fs::read_to_string(manifest)?),
        });
    }
    Ok(members)
}

fn collect_files(folder: &Path, relative: &Path, into: &mut BTreeSet<String>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path: PathBuf = relative.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            collect_files(&entry.path(), &path, into)?;
        } else {
            into.insert(slashed(&path));
        }
    }
    Ok(())
}

fn slashed(path: &Path) -> String {
    path.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}

#[test]
fn the_house_stands() -> Result<(), Box<dyn Error>> {
    let house = house()?;
    for needed in ["alivio-kernel", "alivio-platform", "alivio-http", "alivio-server"] {
        assert!(house.iter().any(|member| member.package == needed), "cargo metadata did not show {needed}");
    }
    let found = violations(&house);
    assert!(found.is_empty(), "the house is out of true:\n  {}\n", found.join("\n  "));
    Ok(())
}

mod a_bad_house_is_seen {
    use super::{Dependency, Member, inherits_lints, matches, violations};

    /// A small house that breaks nothing; every test below breaks one thing in it.
    fn sound() -> Vec<Member> {
        let mut house = vec![
            member("crates/kernel", &["serde", "uuid"]),
            member("crates/metrics", &["metrics"]),
            member("crates/outbox", &["alivio-kernel", "alivio-metrics", "tokio"]),
            member("crates/domain/accounts", &["alivio-kernel", "async-trait"]),
            member("crates/domain/messages", &["alivio-kernel"]),
            member(
                "crates/adapters/postgres",
                &["alivio-kernel", "alivio-outbox", "alivio-accounts", "diesel-async"],
            ),
            member("crates/adapters/crypto", &["alivio-messages"]),
            member("crates/platform", &["alivio-kernel", "alivio-outbox", "alivio-accounts", "tokio"]),
            member("crates/http", &["alivio-platform", "alivio-accounts", "actix-web", "utoipa"]),
            member("crates/checker", &["serde"]),
            member("crates/testkit", &["alivio-http", "alivio-postgres", "alivio-checker"]),
            member("apps/server", &["alivio-http", "alivio-postgres", "alivio-platform"]),
            member("apps/bench", &["alivio-checker"]),
        ];
        for_tests(&mut house, "alivio-postgres", "alivio-testkit");
        for_tests(&mut house, "alivio-accounts", "tokio");
        for_tests(&mut house, "alivio-accounts", "alivio-accounts");
        house
    }

    fn member(folder: &str, dependencies: &[&str]) -> Member {
        let name = folder.rsplit('/').next().unwrap_or_default();
        let sources =
            ["lib.rs", "model/mod.rs", "event.rs", "error.rs", "ports.rs", "service.rs", "testing/mod.rs"];
        Member {
            package: format!("alivio-{name}"),
            folder: folder.to_owned(),
            dependencies: dependencies
                .iter()
                .map(|package| Dependency {
                    package: (*package).to_owned(),
                    only_for_tests: false,
                    features: Vec::new(),
                })
                .collect(),
            features: Vec::new(),
            sources: sources.map(str::to_owned).into(),
            inherits_lints: true,
        }
    }

    fn change(house: &mut [Member], package: &str, with: impl Fn(&mut Member)) {
        house.iter_mut().filter(|member| member.package == package).for_each(with);
    }

    fn depend(house: &mut [Member], from: &str, on: &str, only_for_tests: bool) {
        change(house, from, |member| {
            let package = on.to_owned();
            member.dependencies.push(Dependency { package, only_for_tests, features: Vec::new() });
        });
    }

    fn for_tests(house: &mut [Member], from: &str, on: &str) {
        depend(house, from, on, true);
    }

    /// Exactly one violation, of that package, naming that word.
    #[track_caller]
    fn assert_only(house: &[Member], package: &str, word: &str) {
        let found = violations(house);
        assert!(
            matches!(found.as_slice(), [one] if one.starts_with(package) && one.contains(word)),
            "wanted one violation of {package} naming {word}, got {found:#?}"
        );
    }

    #[track_caller]
    fn assert_edge_refused(from: &str, on: &str) {
        let mut house = sound();
        depend(&mut house, from, on, false);
        assert_only(&house, from, &format!("`{on}`"));
    }

    #[test]
    fn the_sound_house_passes() {
        assert_eq!(violations(&sound()), Vec::<String>::new());
    }

    #[test]
    fn a_domain_uses_the_kernel_only() {
        for on in [
            "alivio-messages",
            "alivio-metrics",
            "alivio-outbox",
            "alivio-postgres",
            "alivio-platform",
            "alivio-http",
        ] {
            assert_edge_refused("alivio-accounts", on);
        }
    }

    #[test]
    fn a_domain_and_the_kernel_name_nothing_of_the_outside_world() {
        for on in [
            "diesel",
            "diesel-async",
            "actix-web",
            "tokio",
            "tokio-postgres",
            "reqwest",
            "utoipa",
            "hyper",
            "metrics",
        ] {
            assert_edge_refused("alivio-accounts", on);
            assert_edge_refused("alivio-kernel", on);
        }
    }

    #[test]
    fn the_kernel_uses_none_of_ours() {
        assert_edge_refused("alivio-kernel", "alivio-outbox");
        assert_edge_refused("alivio-kernel", "alivio-metrics");
        assert_edge_refused("alivio-kernel", "alivio-accounts");
    }

    #[test]
    fn the_outbox_uses_the_kernel_only() {
        assert_edge_refused("alivio-outbox", "alivio-accounts");
        assert_edge_refused("alivio-outbox", "alivio-postgres");
    }

    #[test]
    fn an_adapter_uses_kernel_outbox_and_domains_only() {
        for on in ["alivio-crypto", "alivio-platform", "alivio-http", "alivio-testkit"] {
            assert_edge_refused("alivio-postgres", on);
        }
        let mut house = sound();
        for_tests(&mut house, "alivio-postgres", "alivio-crypto");
        assert_only(&house, "alivio-postgres", "dev-depend on `alivio-crypto`");
    }

    #[test]
    fn the_platform_knows_neither_http_nor_adapters_nor_apps() {
        for on in ["alivio-http", "alivio-postgres", "alivio-server", "alivio-testkit"] {
            assert_edge_refused("alivio-platform", on);
        }
    }

    #[test]
    fn http_knows_neither_adapters_nor_apps() {
        for on in ["alivio-postgres", "alivio-server", "alivio-testkit"] {
            assert_edge_refused("alivio-http", on);
        }
    }

    #[test]
    fn nothing_depends_on_an_app_not_even_in_tests() {
        assert_edge_refused("alivio-testkit", "alivio-server");
        let mut house = sound();
        for_tests(&mut house, "alivio-testkit", "alivio-server");
        assert_only(&house, "alivio-testkit", "dev-depend on `alivio-server`");
    }

    #[test]
    fn the_checker_is_for_those_who_measure_and_for_tests() {
        assert_edge_refused("alivio-server", "alivio-checker");
        assert_edge_refused("alivio-platform", "alivio-checker");
        assert_edge_refused("alivio-checker", "alivio-messages");
        let mut house = sound();
        for_tests(&mut house, "alivio-server", "alivio-checker");
        assert_eq!(violations(&house), Vec::<String>::new());
    }

    #[test]
    fn only_tests_have_bugs_planted() {
        let on_platform = |house: &mut Vec<Member>, only_for_tests| {
            depend(house, "alivio-server", "alivio-platform", only_for_tests);
            change(house, "alivio-server", |member| {
                let last = member.dependencies.last_mut().unwrap();
                last.features.push("planted-bugs".to_owned());
            });
        };
        let mut house = sound();
        on_platform(&mut house, true);
        assert_eq!(violations(&house), Vec::<String>::new());
        on_platform(&mut house, false);
        assert_only(&house, "alivio-server", "`planted-bugs`");

        for way in ["planted-bugs", "alivio-platform/planted-bugs"] {
            let mut house = sound();
            change(&mut house, "alivio-server", |member| {
                member.features.push(("default".to_owned(), vec![way.to_owned()]));
            });
            assert_only(&house, "alivio-server", "`default`");
        }
    }

    #[test]
    fn a_package_is_called_as_its_folder() {
        let mut house = sound();
        change(&mut house, "alivio-crypto", |member| {
            member.folder = "crates/adapters/cryptography".to_owned()
        });
        assert_only(&house, "alivio-crypto", "alivio-cryptography");
    }

    #[test]
    fn a_crate_has_a_place_in_the_house() {
        let mut house = sound();
        house.push(member("crates/utils", &[]));
        assert_only(&house, "alivio-utils", "crates/utils");
    }

    #[test]
    fn a_domain_has_all_its_files() {
        for file in
            ["lib.rs", "model/mod.rs", "event.rs", "error.rs", "ports.rs", "service.rs", "testing/mod.rs"]
        {
            let mut house = sound();
            change(&mut house, "alivio-messages", |member| {
                member.sources.remove(file);
            });
            let word = file.strip_suffix("/mod.rs").or(file.strip_suffix(".rs")).unwrap_or_default();
            assert_only(&house, "alivio-messages", word);
        }
    }

    #[test]
    fn a_member_inherits_the_lints() {
        let mut house = sound();
        change(&mut house, "alivio-server", |member| member.inherits_lints = false);
        assert_only(&house, "alivio-server", "[lints]");

        assert!(inherits_lints("[package]\nname = \"a\"\n\n[lints]\nworkspace = true # as everyone\n"));
        assert!(inherits_lints("lints.workspace = true\n[package]\n"));
        assert!(!inherits_lints("[package]\nname = \"a\"\n"));
        assert!(!inherits_lints(
            "[lints]\n# workspace = true\n[dependencies]\nserde = { workspace = true }\n"
        ));
        assert!(!inherits_lints("[lints]\nworkspace = false\n"));
        assert!(!inherits_lints("[lints.clippy]\nworkspace = true\n"));
    }

    #[test]
    fn a_star_matches_what_starts_so() {
        assert!(matches("tokio*", "tokio") && matches("tokio*", "tokio-util") && matches("serde", "serde"));
        assert!(!matches("tokio*", "mio") && !matches("serde", "serde_json"));
    }
}

mod secrets_do_not_serialise {
    use std::collections::BTreeSet;
    use std::error::Error;
    use std::fs;
    use std::path::Path;

    use cargo_metadata::MetadataCommand;

    use super::collect_files;

    /// Types that hold what opens doors or names people. What contains one must not be written out as it is.
    const SECRETS: [&str; 4] = ["Sensitive", "Password", "SecretHash", "WrappedKey"];

    /// Types of `source` that derive or implement `Serialize` and are secrets or contain some: an answer to a `GET`
    /// could hold them (AZ-16).
    fn betrayals(source: &str) -> Vec<String> {
        let mut found = Vec::new();
        for (start, _) in source.match_indices("derive(") {
            let after = &source[start + "derive(".len()..];
            let Some((traits, after)) = after.split_once(')') else { continue };
            if !traits.split(',').any(|name| name.trim().rsplit("::").next() == Some("Serialize")) {
                continue;
            }
            let item = item(after);
            if words(item).any(|word| SECRETS.contains(&word)) {
                found.push(item.split('{').next().unwrap_or_default().trim().to_owned());
            }
        }
        let implemented = source.match_indices("Serialize for ").map(|(at, what)| &source[at + what.len()..]);
        found.extend(implemented.filter_map(|after| {
            let name = words(after).next()?;
            SECRETS.contains(&name).then(|| name.to_owned())
        }));
        found
    }

    /// The item that an attribute stands before, up to its end.
    fn item(after: &str) -> &str {
        let mut depth = 0_i32;
        let mut began = false;
        for (at, c) in after.char_indices() {
            match c {
                '{' | '(' => {
                    (depth, began) =
                        (depth + 1, began || after[..at].contains("struct ") || after[..at].contains("enum "))
                }
                '}' | ')' => depth -= 1,
                _ => {}
            }
            if began && depth == 0 {
                return &after[..=at];
            }
        }
        after
    }

    /// The words of code: comments and attributes are none.
    fn words(code: &str) -> impl Iterator<Item = &str> {
        let lines =
            code.lines().map(str::trim).filter(|line| !line.starts_with("//") && !line.starts_with("#["));
        lines
            .flat_map(|line| line.split(|c: char| !c.is_alphanumeric() && c != '_'))
            .filter(|word| !word.is_empty())
    }

    #[test]
    fn nothing_that_is_written_out_contains_a_secret() -> Result<(), Box<dyn Error>> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let metadata = MetadataCommand::new().manifest_path(manifest).no_deps().exec()?;
        let mut read = 0;
        for package in metadata.workspace_packages() {
            let folder = package.manifest_path.as_std_path().parent().ok_or("a manifest without a folder")?;
            let mut files = BTreeSet::new();
            collect_files(&folder.join("src"), Path::new(""), &mut files)?;
            for file in files.iter().filter(|file| file.ends_with(".rs")) {
                let source = fs::read_to_string(folder.join("src").join(file))?;
                read += source.matches("Serialize").count();
                let found = betrayals(&source);
                assert!(found.is_empty(), "{}/src/{file} writes secrets out: {found:?}", package.name);
            }
        }
        assert!(read > 20, "{read} mentions of Serialize: this tests nothing");
        Ok(())
    }

    #[test]
    fn a_betrayal_is_seen() {
        for bad in [
            "#[derive(Debug, Serialize)]\nstruct Body {\n    token: Sensitive<String>,\n}",
            "#[derive(serde::Serialize)]\n#[serde(rename_all = \"snake_case\")]\npub(crate) struct Body(Password);",
            "#[derive(Serialize)]\nenum Body {\n    A { hash: SecretHash },\n}",
            "impl Serialize for Sensitive<String> {",
        ] {
            assert_eq!(betrayals(bad).len(), 1, "{bad}");
        }
        for good in [
            "#[derive(Serialize)]\nstruct Body { name: String }\nstruct Other { token: Sensitive<String> }",
            "#[derive(Deserialize)]\nstruct Body { token: Sensitive<String> }",
            "#[derive(Serialize)]\n#[schema(format = Password)]\nstruct Body {\n    /// Not a Password.\n    name: String,\n}",
        ] {
            assert_eq!(betrayals(good), Vec::<String>::new(), "{good}");
        }
    }
}
