"""The demonstration: the whole circle once, on a real small model, with played people and nothing else played."""
