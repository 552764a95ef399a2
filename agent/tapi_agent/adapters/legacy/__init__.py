"""The SQLite files of the application that came before: found, opened and read, never written. Called by the import."""
