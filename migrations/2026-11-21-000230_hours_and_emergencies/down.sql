DROP TABLE emergency_pages;
DROP TABLE emergencies;
DROP TABLE chat_hours;
DROP TABLE clinic_policies;
