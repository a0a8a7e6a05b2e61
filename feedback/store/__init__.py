"""The store: turns, ratings and annotations in one DuckDB file, owned by one process and written by one thread.

`database.Store` is its door. Holds nothing here but this docstring, so that importing `feedback` never loads DuckDB.
"""
