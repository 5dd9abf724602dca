"""The Server-Sent Events + REST service that stays after the migration."""
