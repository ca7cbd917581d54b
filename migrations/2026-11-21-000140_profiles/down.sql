DROP TABLE avatars, credential_steps, professional_profiles;
DROP INDEX users_professionals;
ALTER TABLE users DROP COLUMN phone, DROP COLUMN profile_version;
