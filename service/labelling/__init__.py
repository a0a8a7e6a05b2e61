"""The desks of annotators, reviewers and experts: the queue, and what people at it send."""
