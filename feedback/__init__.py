"""What people said of replies, and what can be learnt from it.

The bottom of the house: shared types, errors, ids, settings; the store; ratings, annotations, pool, snapshots.
It knows neither `service` nor `learner`, and holds nothing here but this docstring, so that importing it is free.
"""
