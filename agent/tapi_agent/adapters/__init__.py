"""The outside world behind the ports: stores, wire, device. Adapters do not know each other."""
