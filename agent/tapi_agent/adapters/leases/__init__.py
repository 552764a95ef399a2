"""Lease files in the form that Keygen has published: verified, decrypted, parsed. The home of ``cryptography``."""

from __future__ import annotations

from tapi_agent.adapters.leases.reader import LeaseFiles

__all__ = ["LeaseFiles"]
