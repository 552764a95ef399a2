"""Redis or Valkey as a cache: nothing in it is the only copy, and an eviction or FLUSHALL is a miss.

Only importer of redis. Every failure is ``UnavailableError``; it costs a tenth of a second at most, and then nothing
for as long as the breaker is open (ADR 0013).
"""
