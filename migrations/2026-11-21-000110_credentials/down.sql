DROP TABLE login_guards, password_resets, temporary_passwords, professional_registrations, invitations,
    pending_registrations;
ALTER TABLE users DROP COLUMN credential_epoch;
