"""Fakes, engines and processes for tests: ours, and those of plugin authors. Shipped, and held to the real things."""
