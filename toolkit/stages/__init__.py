"""The stages: each a function from artifacts and options to one artifact."""
