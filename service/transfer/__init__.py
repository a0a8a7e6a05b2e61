"""Feedback in bulk: files of other tools in and out, ratings in batches and by webhook."""
