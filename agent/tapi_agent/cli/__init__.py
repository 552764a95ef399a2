"""The command line: a client of the socket, except run, demo, sandbox, migrate and config."""
