DROP TABLE message_tokens;
