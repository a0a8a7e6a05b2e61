"""Seeing the gateway work: calls and their ids, logs, meters, traces. Numbers and ids, never what people wrote."""
