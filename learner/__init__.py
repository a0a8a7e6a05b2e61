"""The cycle: snapshot, training, evaluation, gate, registry, deploy, schedule.

Must never open the live database: it asks the gateway for a snapshot over HTTP and reads frozen files. Holds nothing
here but this docstring: `service` imports `learner.alias`, and whatever stood here would be loaded with it.
"""
