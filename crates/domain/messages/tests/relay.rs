//! What happened elsewhere, told here.
#![cfg(test)]

use std::sync::Arc;

use alivio_kernel::ids::{ConversationId, MessageId, UserId, Uuid};
use alivio_kernel::{Clock, ManualClock, Place};
use alivio_messages::testing::mocked;
use alivio_messages::{
    Mark, Marks, MarksMoved, Messages, MessagesPorts, MockChangeLog, MockLiveFeed, NotedChange,
};

const CONVERSATION: u128 = 1;
const READER: u128 = 2;
const MESSAGE: u128 = 3;

fn noted(kind: &str) -> NotedChange {
    NotedChange {
        place: Place { transaction: 1, number: 1 },
        kind: kind.to_owned(),
        conversation_id: ConversationId::from(Uuid::from_u128(CONVERSATION)),
        message_id: MessageId::from(Uuid::from_u128(MESSAGE)),
        revision: None,
        seq: 5,
        user_id: Some(UserId::from(Uuid::from_u128(READER))),
        at: ManualClock::default().now(),
    }
}

async fn relay(changes: MockChangeLog, live: &MockLiveFeed, noted: Vec<NotedChange>) {
    let messages = Messages::new(MessagesPorts { feed: Arc::new(changes), ..mocked() });
    messages.relay(noted, live).await.unwrap();
}

#[tokio::test]
async fn what_nobody_waits_for_is_not_even_read() {
    let mut live = MockLiveFeed::new();
    live.expect_awaits().times(3).return_const(false);
    let kinds = ["message.created", "message.updated", "receipt.read"];
    relay(MockChangeLog::new(), &live, kinds.map(noted).to_vec()).await;
}

#[tokio::test]
async fn marks_are_told_where_they_are_now_and_those_of_who_has_left_are_not() {
    let receipt = noted("receipt.read");
    let mut of_another = receipt.clone();
    of_another.user_id = Some(UserId::from(Uuid::from_u128(9)));
    let (conversation_id, user_id) = (receipt.conversation_id, UserId::from(Uuid::from_u128(READER)));
    let marks = Marks { user_id, delivered_up_to: 8, read_up_to: 7 };
    let mut changes = MockChangeLog::new();
    changes.expect_marks_of().times(1).returning(move |_| Ok(vec![(conversation_id, marks)]));
    let mut live = MockLiveFeed::new();
    live.expect_awaits().return_const(true);
    let told = MarksMoved {
        conversation_id,
        mark: Mark::Read,
        marks,
        message_id: receipt.message_id,
        at: receipt.at,
    };
    live.expect_marks_moved().withf(move |moved| *moved == told).times(1).returning(|_| ());
    relay(changes, &live, vec![receipt, of_another]).await;
}
