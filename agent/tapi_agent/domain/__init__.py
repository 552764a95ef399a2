"""The rules: pure functions and frozen values. No clock, no I/O, no logging; standard library and transitions only."""
