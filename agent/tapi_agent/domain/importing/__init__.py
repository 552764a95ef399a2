"""The old SQLite data: what its tables hold, what makes a row unfit for PostgreSQL, how both sides are compared.

``tables`` lists the old tables, column by column, each with its check (``checks``, ``json_text``, ``cameras``);
``tally`` adds up what was read, to be compared with what was stored; ``quarantine`` is what could not be taken over;
``reports`` is what an import tells of itself. Nothing here knows SQLite or PostgreSQL.
"""
