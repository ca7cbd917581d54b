DROP FUNCTION append_messages;
DROP TABLE outbox, mark_moves, messages, participants, conversations, data_keys, websocket_tickets,
    refresh_tokens, sessions, care_relationships, users;
DROP SEQUENCE message_numbers, conversation_numbers;
