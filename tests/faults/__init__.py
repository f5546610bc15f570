"""Nothing lost, nothing twice, whatever fails in between: the proof, against the real pieces.

The functions run in processes of their own (``worker``), at thirty times the speed of the clock. Whatever they do is a
request, and every request goes through a proxy (``proxies``, ``mysql_proxy``) that counts it and can treat it badly:
kill the worker, refuse, delay, lose the answer. A ``site`` is all that such an experiment needs; its ``verdict`` counts
calls, lost ones and duplicated ones. The experiments are in ``kills``, ``api_faults``, ``storage_faults``,
``database_faults`` and ``poison``.

    pytest tests/faults                       each kind of fault once, or a few times, by the seed in ``test_faults``
    python -m tests.faults --minutes 30       the same ones round and round, with ever new seeds and places
"""
