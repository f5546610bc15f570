"""Nothing lost, nothing twice, whatever fails in between: the proof, against the real pieces.

The functions run in processes of their own (``worker``), at thirty times the speed of the clock. Whatever they do is a
request, and every request goes through a proxy (``proxies``, ``mysql_proxy``) that counts it and can treat it badly:
kill or freeze the worker, refuse, delay, lose the answer. Before the API there is a ``gateway``. A ``site`` is all
that such an experiment needs; its ``verdict`` counts calls, lost ones and duplicated ones, and how late good ones were
(``delays``). The experiments are in ``kills``, ``frozen``, ``api_faults``, ``gateway_faults``, ``bad_calls``,
``storage_faults``, ``database_faults``, ``table_faults``, ``leg_faults`` and ``poison``.

    pytest tests/faults                       most kinds once, or a few times, always with the same seed
    python -m tests.faults --minutes 30       the same ones round and round, with ever new seeds and places
"""
