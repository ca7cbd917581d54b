DROP INDEX audit_log_by_action;
DROP INDEX audit_log_by_object;
DROP INDEX users_by_role;
DROP TABLE break_glass_grants;
