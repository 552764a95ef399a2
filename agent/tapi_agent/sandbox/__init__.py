"""The reference billing service (docs/sandbox.md): a program of its own, with a durable ledger and faults on demand.

It shares with the agent only the names in ``tapi_agent.domain``, and deliberately no code that reads or writes the
contract: a service that parsed with the client's parser would agree with the client's mistakes.

``server`` starts it and ``app`` wires it; ``licenses_api`` and ``usage_api`` speak the contract, ``admin_api`` serves
people and tests; ``subscriptions``, ``features``, ``usage`` and ``totals`` decide and reckon, ``ledger`` stores;
``leases`` draws up what ``minting`` writes and ``sealing`` signs, with ``keys``, ``terms`` and ``machines`` from the
ledger; ``fault_plan``, ``interference`` and ``lease_desk`` misbehave; ``process`` and ``admin`` run and steer it from
outside.
"""
