"""Redis or Valkey as a cache: nothing in it is the only copy, and an eviction or FLUSHALL is a miss.

Only importer of redis. ``cache`` is what others use; it asks through ``link``, the one place that bounds time and trips
the ``breaker``, of a ``client`` for the ``address`` in the URL: a ``server``, a primary behind Sentinels (``sentinel``)
or a ``cluster``. Every failure is ``UnavailableError``; it costs a tenth of a second at most, and then nothing for as
long as the breaker is open (ADR 0013, 0014).
"""
