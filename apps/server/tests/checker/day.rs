//! A short day in a clinic: people write, read, change what they said, come and go; and what they saw is written down.

use std::time::Duration;

use alivio_checker::{End, Line, Recorder};
use alivio_kernel::{Clock, SystemClock};
use alivio_testkit::actor::Actor;
use alivio_testkit::history::{Came, Scribe, all_is_handled, read_end, remember_memberships};
use alivio_testkit::server::{ADMIN, AISHA, CARLOS, MARIA, TestServer};
use chrono::TimeDelta;
use tokio::sync::watch;

/// After the end is known, a message that has not come by then does not come.
const PATIENCE: Duration = Duration::from_secs(3);
/// What has not followed by then does not follow.
const ALL_DONE: Duration = Duration::from_secs(5);
/// Commands that a device has on their way at the same time.
const WINDOW: usize = 4;

fn names(prefix: &'static str, count: usize) -> impl Iterator<Item = (String, String)> + Send {
    (1..=count).map(move |n| (format!("{prefix}-{n}"), format!("{prefix} dice {n}")))
}

/// A message that was stored: its id and its place.
fn stored(came: &Came) -> Option<(String, i64)> {
    let Came::Done(message) = came else { return None };
    Some((message["id"].as_str()?.to_owned(), message["seq"].as_i64()?))
}

/// Spends the day on `server`.
pub(crate) async fn spend(server: &TestServer, database_url: &str) -> (Vec<Line>, End) {
    remember_memberships(database_url).await;
    let [maria, carlos, aisha, admin] = server.sign_in_all([MARIA, CARLOS, AISHA, ADMIN]).await;
    let group = maria.open_group("Guardia", &[&carlos, &aisha]).await;
    let recorder = Recorder::default();
    let device = |process: u64, actor: &Actor| Scribe::new(&recorder, process, actor);
    let (maria, carlos, aisha, admin) =
        (device(1, &maria), device(2, &carlos), device(3, &aisha), device(4, &admin));
    let end = watch::Sender::new(None);
    let mut following = Vec::new();
    let follow = |process: u64, actor: &Scribe| {
        let reader = device(process, &actor.actor);
        let (group, end) = (group.clone(), end.subscribe());
        tokio::spawn(async move { reader.follow(&group, end, PATIENCE).await })
    };
    following.push(follow(11, &maria));
    following.push(follow(12, &carlos));
    following.push(follow(13, &aisha));

    // One after the other, and again as if the answer had been lost.
    let mut said = Vec::new();
    for (name, words) in names("maria", 12) {
        said.extend(stored(&maria.send(&group, &name, &words).await));
        carlos.send(&group, &name.replace("maria", "carlos"), &words).await;
    }
    maria.send(&group, "maria-3", "maria dice 3").await;
    // Several at a time.
    carlos.write(&group, WINDOW, names("socket", 12), |_| ()).await;

    // Someone comes late, someone goes.
    maria.change_membership(&group, &aisha.actor.id, false).await;
    maria.change_membership(&group, &admin.actor.id, true).await;
    following.push(follow(14, &admin));
    carlos.write(&group, WINDOW, names("later", 6), |_| ()).await;

    // What becomes of what was said.
    if let [(first, _), (second, first_seq), (third, later_seq), ..] = said.as_slice() {
        maria.edit(&group, first, "maria se corrige").await;
        maria.edit(&group, first, "maria se corrige otra vez").await;
        carlos.react(&group, first, true).await;
        carlos.react(&group, third, true).await;
        carlos.react(&group, third, false).await;
        maria.delete(&group, second, false).await;
        carlos.read_up_to(&group, third, *later_seq).await;
        carlos.read_up_to(&group, second, *first_seq).await;
        // Told twice of the same.
        for _ in 0..2 {
            carlos.report(&group, third).await;
            maria.correct(&group, third, "correction", "maria quiso decir otra cosa").await;
        }
    }
    let soon = SystemClock.now() + TimeDelta::milliseconds(300);
    for _ in 0..2 {
        maria.put_off(&group, "put-off", "maria lo dice luego", soon).await;
    }
    if let Some((theirs, _)) = stored(&carlos.send(&group, "carlos-last", "algo feo").await) {
        maria.delete(&group, &theirs, true).await;
    }

    all_is_handled(database_url, ALL_DONE).await;

    // Those who come back are told what they missed, those who were sent away are not.
    let last = i64::try_from(maria.actor.log(&group).await.len()).expect("few");
    following.extend([follow(23, &aisha), follow(22, &carlos)]);
    end.send_replace(Some(last));
    let mut readers = Vec::new();
    for reader in following {
        readers.push(reader.await.expect("a reader"));
    }
    let everyone = [&maria, &carlos, &aisha, &admin];
    let conversation = read_end(database_url, &group, &everyone, readers).await;
    (recorder.lines(), End { conversations: vec![conversation] })
}
