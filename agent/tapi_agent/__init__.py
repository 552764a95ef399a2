"""Offline-first licensing, entitlements and usage metering for edge vision boxes."""
