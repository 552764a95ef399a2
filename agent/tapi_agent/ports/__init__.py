"""One Protocol for each outside role. Services speak to these; adapters, fakes and the plugin host fulfil them."""
