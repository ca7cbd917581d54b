//! Coming back after a while: cursors, and when they are too old.
#![cfg(test)]

use std::sync::{Arc, Mutex};

use alivio_kernel::ids::{ConversationId, SessionId, UserId, Uuid};
use alivio_kernel::{Caller, Clock, ManualClock, PageSize, Place, Role};
use alivio_messages::testing::mocked;
use alivio_messages::{CHANGES_KEPT, Feed, Messages, MessagesPorts, MockChangeLog, StoredChange, Stretch};
use chrono::{DateTime, TimeDelta, Utc};

/// What the log of changes was asked for, and what it answers.
struct Desk {
    messages: Messages,
    clock: Arc<ManualClock>,
    asked: Arc<Mutex<Vec<Place>>>,
}

fn desk(horizon: u64, changes: Vec<StoredChange>) -> Desk {
    let (clock, asked) = (Arc::new(ManualClock::default()), Arc::new(Mutex::new(Vec::new())));
    let mut log = MockChangeLog::new();
    log.expect_horizon().returning(move || Ok(horizon));
    let seen = Arc::clone(&asked);
    log.expect_changes().returning(move |_, after, _| {
        seen.lock().unwrap().push(after);
        Ok(Stretch { horizon, changes: changes.clone() })
    });
    let messages = messages(log, Arc::clone(&clock));
    Desk { messages, clock, asked }
}

fn messages(log: MockChangeLog, clock: Arc<ManualClock>) -> Messages {
    Messages::new(MessagesPorts { feed: Arc::new(log), clock, ..mocked() })
}

impl Desk {
    async fn since(&self, caller: u128, since: Option<&str>) -> Feed {
        let size = PageSize::parse(Some(2), 2).unwrap();
        self.messages.feed(&someone(caller), since, size).await.unwrap()
    }
}

fn someone(n: u128) -> Caller {
    Caller {
        user_id: UserId::from(Uuid::from_u128(n)),
        role: Role::Doctor,
        session_id: SessionId::from(Uuid::from_u128(9)),
        address: None,
    }
}

fn change(transaction: u64, number: i64, at: DateTime<Utc>) -> StoredChange {
    StoredChange {
        place: Place { transaction, number },
        kind: "conversation.updated".to_owned(),
        conversation_id: ConversationId::from(Uuid::from_u128(5)),
        user_id: None,
        at,
        message: None,
    }
}

#[tokio::test]
async fn one_begins_at_the_horizon_and_reads_on_from_there() {
    let desk = desk(100, Vec::new());
    let begun = desk.since(1, None).await;
    assert!(begun.items.is_empty() && !begun.has_more && !begun.is_gap);
    let page = desk.since(1, Some(&begun.next_cursor)).await;
    assert!(page.items.is_empty() && !page.has_more && !page.is_gap);
    assert_eq!(*desk.asked.lock().unwrap(), [Place { transaction: 99, number: i64::MAX }]);
}

#[tokio::test]
async fn a_full_page_goes_on_from_its_last_change() {
    let at = ManualClock::default().now();
    let desk = desk(100, vec![change(100, 1, at), change(100, 2, at), change(101, 3, at)]);
    let begun = desk.since(1, None).await;
    let page = desk.since(1, Some(&begun.next_cursor)).await;
    assert_eq!((page.items.len(), page.has_more), (2, true));
    // The horizon has not moved, so this place is not behind it: it would be, had the log kept its word.
    let ahead = desk.since(1, Some(&page.next_cursor)).await;
    assert!(ahead.is_gap, "a place that the database has not come to");
    assert_eq!(desk.asked.lock().unwrap()[1], Place { transaction: 100, number: 2 });
}

#[tokio::test]
async fn an_old_cursor_is_a_gap_and_never_a_silent_hole() {
    let desk = desk(100, Vec::new());
    let begun = desk.since(1, None).await;
    desk.clock.advance(CHANGES_KEPT);
    assert!(!desk.since(1, Some(&begun.next_cursor)).await.is_gap);
    desk.clock.advance(TimeDelta::microseconds(1));
    let gap = desk.since(1, Some(&begun.next_cursor)).await;
    assert!(gap.is_gap && gap.items.is_empty() && !gap.has_more);
    // From where it leaves one, one goes on.
    assert!(!desk.since(1, Some(&gap.next_cursor)).await.is_gap);
}

#[tokio::test]
async fn a_cursor_of_another_or_of_nobody_is_a_gap() {
    let desk = desk(100, Vec::new());
    let mine = desk.since(1, None).await.next_cursor;
    let (body, proof) = mine.rsplit_once('.').unwrap();
    let earlier = format!("{}.{proof}", body.replacen("99", "98", 1));
    for cursor in [mine.as_str(), &earlier, body, "", ".", "x", "1.2.3.4", "99.1.1.00"] {
        assert!(desk.since(2, Some(cursor)).await.is_gap, "{cursor}");
    }
    assert!(desk.since(1, Some(&earlier)).await.is_gap);
    assert!(desk.asked.lock().unwrap().is_empty(), "a cursor was believed");
}

#[tokio::test]
async fn what_no_cursor_reaches_is_forgotten_and_nothing_else() {
    let clock = Arc::new(ManualClock::default());
    let now = clock.now();
    let mut log = MockChangeLog::new();
    log.expect_forget().times(2).returning(move |before, limit| {
        assert!(before < now - CHANGES_KEPT, "a cursor that is good could lead there");
        Ok(limit - i64::from(before < now - CHANGES_KEPT - TimeDelta::days(1) - TimeDelta::hours(1)))
    });
    let messages = messages(log, Arc::clone(&clock));
    assert!(messages.forget_changes().await.unwrap(), "there may be more");
    clock.advance(TimeDelta::hours(-2));
    assert!(!messages.forget_changes().await.unwrap(), "that was all");
}
