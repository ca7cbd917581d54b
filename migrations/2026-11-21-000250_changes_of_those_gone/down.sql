DROP INDEX participants_gone;
