"""One module for each kind of model that is converted, and what they share."""
