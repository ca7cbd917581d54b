//! The embedded cluster, with the real PostgreSQL of this machine.

#![cfg(test)]

use alivio_postgres::cluster::{
    Cluster, ClusterConfig, ClusterError, Download, MINIMUM_MAJOR, SharedCluster, find_programs,
    find_programs_in,
};
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

const HELPER: &str = "ALIVIO_CLUSTER_TEST_HELPER";
const SHARED_HELPER: &str = "ALIVIO_SHARED_CLUSTER_TEST_HELPER";
const PATIENCE: Duration = Duration::from_secs(30);
const SHORT_GRACE: Duration = Duration::from_millis(400);

/// A temporary directory that the PostgreSQL account can pass through.
fn directory() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o711)).unwrap();
    directory
}

fn config(directory: &Path) -> ClusterConfig {
    ClusterConfig { max_connections: 20, shared_buffers_mb: 16, ..ClusterConfig::new(directory) }
}

async fn start(directory: &Path) -> Cluster {
    Cluster::start(config(directory)).await.unwrap()
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn ask(client: &Client, query: &str) -> String {
    client.query_one(query, &[]).await.unwrap().get(0)
}

async fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "gave up waiting for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn postmaster(data: &Path) -> Option<u32> {
    fs::read_to_string(data.join("postmaster.pid")).ok()?.lines().next()?.parse().ok()
}

fn alive(pid: u32) -> bool {
    let asked = Command::new("kill").args(["-0", &pid.to_string()]).stderr(Stdio::null()).status();
    asked.unwrap().success()
}

fn we_are_root() -> bool {
    directory().path().metadata().unwrap().uid() == 0
}

/// Another process of this test program, which starts a cluster and waits to be killed.
struct Helper(Child);

impl Helper {
    fn start(variable: &str, directory: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "helper_process", "--nocapture"])
            .env(variable, directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines.map_while(Result::ok).any(|line| line.contains("helper is ready"));
        assert!(ready, "the helper ended before its cluster was ready");
        Self(child)
    }

    fn signal(&self, signal: &str) {
        assert!(
            Command::new("kill").args(["-s", signal, &self.0.id().to_string()]).status().unwrap().success()
        );
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().unwrap();
    }
}

/// Not a test: see [`Helper`].
#[tokio::test]
async fn helper_process() {
    if let Some(directory) = std::env::var_os(HELPER) {
        let _cluster = start(Path::new(&directory)).await;
        println!("helper is ready");
        std::future::pending::<()>().await;
    }
    if let Some(directory) = std::env::var_os(SHARED_HELPER) {
        let _cluster = SharedCluster::join_in(Path::new(&directory), SHORT_GRACE).await.unwrap();
        println!("helper is ready");
        std::future::pending::<()>().await;
    }
}

#[tokio::test]
async fn a_new_directory_starts_and_answers() {
    let directory = directory();
    let began = Instant::now();
    let cluster = start(&directory.path().join("not/yet/there")).await;
    println!("new cluster ready after {:?}", began.elapsed());
    cluster.ensure_database("al\"ivio &").await.unwrap();
    cluster.ensure_database("al\"ivio &").await.unwrap();

    let url = cluster.url("al\"ivio &");
    let client = connect(&url).await;
    assert_eq!(ask(&client, "SELECT current_database()::text").await, "al\"ivio &");
    let psql = Command::new(cluster.programs().bin_dir.join("psql"))
        .args([&url, "-XAtc", "SELECT current_user"])
        .output();
    if let Ok(psql) = psql {
        assert_eq!(String::from_utf8_lossy(&psql.stdout).trim(), "alivio", "{psql:?}");
    }
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_second_start_reuses_the_data() {
    let directory = directory();
    let cluster = start(directory.path()).await;
    let client = connect(&cluster.url("postgres")).await;
    client.batch_execute("CREATE TABLE kept AS SELECT 'still here' AS text").await.unwrap();
    cluster.stop().await.unwrap();

    let began = Instant::now();
    let cluster = start(directory.path()).await;
    println!("existing cluster ready after {:?}", began.elapsed());
    let client = connect(&cluster.url("postgres")).await;
    assert_eq!(ask(&client, "SELECT text FROM kept").await, "still here");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn committed_data_is_safe_and_private() {
    let directory = directory();
    let cluster = start(directory.path()).await;
    let client = connect(&cluster.url("postgres")).await;
    for (setting, expected) in [
        ("data_checksums", "on"),
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        ("listen_addresses", ""),
        ("server_encoding", "UTF8"),
        ("timezone", "UTC"),
    ] {
        assert_eq!(ask(&client, &format!("SHOW {setting}")).await, expected, "{setting}");
    }
    let socket = PathBuf::from(ask(&client, "SHOW unix_socket_directories").await);
    assert_eq!(socket.metadata().unwrap().mode() & 0o777, 0o700);
    assert_eq!(cluster.directory().metadata().unwrap().mode() & 0o777, 0o700);
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn ordered_stop_leaves_nothing_running_and_nothing_to_recover() {
    let directory = directory();
    let cluster = start(directory.path()).await;
    let data = cluster.directory().to_path_buf();
    let pid = postmaster(&data).unwrap();
    // An idle client must not hold up the shutdown.
    let _client = connect(&cluster.url("postgres")).await;
    cluster.stop().await.unwrap();
    assert!(!alive(pid));
    assert_eq!(postmaster(&data), None);
}

#[tokio::test]
async fn dropping_stops_it_too() {
    let directory = directory();
    let cluster = start(directory.path()).await;
    let pid = postmaster(cluster.directory()).unwrap();
    drop(cluster);
    wait_for("the postmaster to end", || !alive(pid)).await;
    start(directory.path()).await.stop().await.unwrap();
}

#[tokio::test]
async fn two_servers_on_one_directory_are_refused() {
    let directory = directory();
    let first = start(directory.path()).await;
    let error = Cluster::start(config(directory.path())).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, ClusterError::AlreadyRunning { .. }), "{text}");
    assert!(
        text.contains(&directory.path().display().to_string()) && text.contains("Stop it first"),
        "{text}"
    );
    assert_eq!(ask(&connect(&first.url("postgres")).await, "SELECT 'unharmed'").await, "unharmed");
    first.stop().await.unwrap();
}

#[tokio::test]
async fn a_stale_pid_file_is_not_fatal() {
    let directory = directory();
    let cluster = start(directory.path()).await;
    let data = cluster.directory().to_path_buf();
    cluster.stop().await.unwrap();
    let owner = data.metadata().unwrap();

    let mut dead = Command::new("true").spawn().unwrap();
    dead.wait().unwrap();
    // Of the same user as PostgreSQL, which would believe that this is its postmaster.
    let mut unrelated = Command::new("sleep");
    if we_are_root() {
        unrelated.uid(owner.uid()).gid(owner.gid());
    }
    let mut unrelated = unrelated.arg("60").current_dir("/").spawn().unwrap();
    for pid in [dead.id(), unrelated.id(), std::process::id()] {
        let file = data.join("postmaster.pid");
        fs::write(&file, format!("{pid}\n{}\n1700000000\n5432\n", data.display())).unwrap();
        chown(&file, Some(owner.uid()), Some(owner.gid())).unwrap();
        start(directory.path()).await.stop().await.unwrap();
    }
    unrelated.kill().unwrap();
    unrelated.wait().unwrap();
}

#[tokio::test]
async fn our_sudden_death_leaves_no_postgres() {
    let directory = directory();
    let data = directory.path().join("postgres/cluster");
    for signal in ["KILL", "TERM"] {
        let helper = Helper::start(HELPER, directory.path());
        let pid = postmaster(&data).unwrap();
        assert!(alive(pid));
        helper.signal(signal);
        wait_for("the postmaster to end", || !alive(pid)).await;
        wait_for("its pid file to go, as after an ordered shutdown", || postmaster(&data).is_none()).await;
    }
}

#[tokio::test]
async fn restart_at_once_after_sudden_death() {
    let directory = directory();
    for _ in 0..3 {
        let helper = Helper::start(HELPER, directory.path());
        helper.signal("KILL");
        let cluster = start(directory.path()).await;
        assert_eq!(ask(&connect(&cluster.url("postgres")).await, "SELECT 'back'").await, "back");
        cluster.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_crash_of_postgres_itself_is_recovered() {
    let directory = directory();
    let cluster = start(directory.path()).await;
    connect(&cluster.url("postgres"))
        .await
        .batch_execute("CREATE TABLE kept AS SELECT 'kept' AS text")
        .await
        .unwrap();
    let pid = postmaster(cluster.directory()).unwrap();
    assert!(Command::new("kill").args(["-s", "KILL", &pid.to_string()]).status().unwrap().success());
    cluster.stop().await.unwrap();
    let cluster = start(directory.path()).await;
    assert_eq!(ask(&connect(&cluster.url("postgres")).await, "SELECT text FROM kept").await, "kept");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_half_made_directory_is_replaced() {
    let directory = directory();
    let base = directory.path().join("postgres");
    for unfinished in ["cluster/base/1", "cluster.new-1/global"] {
        fs::create_dir_all(base.join(unfinished)).unwrap();
    }
    fs::set_permissions(&base, fs::Permissions::from_mode(0o711)).unwrap();
    let cluster = start(directory.path()).await;
    assert_eq!(ask(&connect(&cluster.url("postgres")).await, "SELECT 'made'").await, "made");
    assert!(!base.join("cluster.new-1").exists());
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn data_of_another_major_version_is_refused() {
    let directory = directory();
    let cluster = start(directory.path()).await;
    let file = cluster.directory().join("PG_VERSION");
    cluster.stop().await.unwrap();
    fs::write(&file, "9\n").unwrap();
    let text = Cluster::start(config(directory.path())).await.unwrap_err().to_string();
    assert!(text.contains("made by PostgreSQL 9") && text.contains("DATABASE_URL"), "{text}");
}

#[tokio::test]
async fn a_server_that_cannot_start_is_reported_with_its_own_words() {
    let directory = directory();
    start(directory.path()).await.stop().await.unwrap();
    let greedy = ClusterConfig { shared_buffers_mb: u32::MAX, ..config(directory.path()) };
    let began = Instant::now();
    let text = Cluster::start(greedy).await.unwrap_err().to_string();
    assert!(text.contains("shared_buffers") && text.contains("postgres.log"), "{text}");
    assert!(began.elapsed() < PATIENCE, "it must not wait for a server that has ended");
    start(directory.path()).await.stop().await.unwrap();
}

#[tokio::test]
async fn without_programs_the_error_says_what_to_install() {
    let directory = directory();
    for download in [Download::Never, Download::From("http://127.0.0.1:9/".into())] {
        let bare = ClusterConfig { program_dirs: Some(Vec::new()), download, ..config(directory.path()) };
        let text = Cluster::start(bare).await.unwrap_err().to_string();
        for needed in ["apt install postgresql", "brew install postgresql@16", "DATABASE_URL", "download"] {
            assert!(text.contains(needed), "{needed}: {text}");
        }
    }
    let text = find_programs_in(&[]).unwrap_err().to_string();
    assert!(text.contains("apt install postgresql"), "{text}");
}

#[test]
fn installed_programs_are_found() {
    let programs = find_programs().unwrap();
    assert!(programs.major >= MINIMUM_MAJOR, "{programs}");
    assert!(programs.bin_dir.join("initdb").exists(), "{programs}");
    // Also through a directory of links.
    let links = directory();
    for name in ["initdb", "postgres"] {
        std::os::unix::fs::symlink(programs.bin_dir.join(name), links.path().join(name)).unwrap();
    }
    assert_eq!(find_programs_in(&[links.path().into()]).unwrap(), programs);
}

#[tokio::test]
async fn a_deep_directory_gets_a_short_socket() {
    let directory = directory();
    let deep = directory.path().join("d".repeat(120));
    let cluster = start(&deep).await;
    assert!(!cluster.url("postgres").contains("dddd"));
    let client = connect(&cluster.url("postgres")).await;
    let socket = PathBuf::from(ask(&client, "SHOW unix_socket_directories").await);
    assert_eq!(socket.metadata().unwrap().mode() & 0o777, 0o700);
    cluster.stop().await.unwrap();
    fs::remove_dir_all(socket).unwrap();
}

#[tokio::test]
async fn root_runs_it_as_someone_else_even_where_that_user_cannot_go() {
    if !we_are_root() {
        alivio_testkit::skipping::say("only root lends PostgreSQL another account");
        return;
    }
    let closed = tempfile::tempdir().unwrap();
    fs::set_permissions(closed.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let cluster = start(closed.path()).await;
    assert!(!cluster.directory().starts_with(closed.path()));
    assert_ne!(cluster.directory().metadata().unwrap().uid(), 0);
    let status = fs::metadata(format!("/proc/{}", postmaster(cluster.directory()).unwrap())).unwrap();
    assert_ne!(status.uid(), 0);
    let elsewhere = cluster.directory().to_path_buf();
    cluster.stop().await.unwrap();

    let cluster = start(closed.path()).await;
    assert_eq!(cluster.directory(), elsewhere);
    cluster.stop().await.unwrap();
    fs::remove_dir_all(elsewhere.parent().unwrap()).unwrap();
}

#[tokio::test]
async fn a_shared_cluster_lives_as_long_as_its_last_holder() {
    let directory = directory();
    let data = directory.path().join("cluster");
    let first = SharedCluster::join_in(directory.path(), SHORT_GRACE).await.unwrap();
    let pid = postmaster(&data).unwrap();
    let client = connect(&first.url("postgres")).await;
    assert_eq!(ask(&client, "SHOW fsync").await, "off");
    let second = Helper::start(SHARED_HELPER, directory.path());
    assert_eq!(postmaster(&data), Some(pid), "the second process joined the same server");
    drop(first);
    // Longer than the grace: the second holder alone must keep it up.
    let until = Instant::now() + SHORT_GRACE * 3;
    wait_for("the grace to pass", || Instant::now() > until).await;
    assert_eq!(ask(&client, "SELECT 'still up'").await, "still up");

    second.signal("KILL");
    wait_for("the postmaster to end", || !alive(pid)).await;
    let again = SharedCluster::join_in(directory.path(), SHORT_GRACE).await.unwrap();
    assert_eq!(ask(&connect(&again.url("postgres")).await, "SELECT 'again'").await, "again");
    let pid = postmaster(&data).unwrap();
    drop(again);
    wait_for("the postmaster to end", || !alive(pid)).await;
}

#[tokio::test]
async fn joining_a_shared_cluster_at_any_moment_of_its_end_works() {
    let directory = directory();
    let data = directory.path().join("cluster");
    for milliseconds in (0..24).map(|step| step * 25) {
        // No grace: the stop begins at once, and the next join meets it at another stage.
        let cluster = SharedCluster::join_in(directory.path(), Duration::ZERO).await.unwrap();
        assert_eq!(ask(&connect(&cluster.url("postgres")).await, "SELECT 'joined'").await, "joined");
        drop(cluster);
        let until = Instant::now() + Duration::from_millis(milliseconds / 4);
        wait_for("another stage", || Instant::now() > until).await;
    }
    if let Some(pid) = postmaster(&data) {
        wait_for("the postmaster to end", || !alive(pid)).await;
    }
}

#[tokio::test]
async fn a_shared_cluster_starts_without_the_databases_of_earlier_runs() {
    let directory = directory();
    let cluster = SharedCluster::join_in(directory.path(), Duration::ZERO).await.unwrap();
    let client = connect(&cluster.url("postgres")).await;
    for database in ["test_leftover", "template_kept"] {
        client.batch_execute(&format!("CREATE DATABASE {database}")).await.unwrap();
    }
    let pid = postmaster(&directory.path().join("cluster")).unwrap();
    drop(cluster);
    wait_for("the postmaster to end", || !alive(pid)).await;

    let cluster = SharedCluster::join_in(directory.path(), Duration::ZERO).await.unwrap();
    let client = connect(&cluster.url("postgres")).await;
    let list = "SELECT string_agg(datname::text, ' ') FROM pg_database WHERE datname ~ '^(test|template)_'";
    assert_eq!(ask(&client, list).await, "template_kept");
    let pid = postmaster(&directory.path().join("cluster")).unwrap();
    drop(cluster);
    wait_for("the postmaster to end", || !alive(pid)).await;
}
