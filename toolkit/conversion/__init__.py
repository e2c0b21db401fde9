"""Models of other frameworks: made into Paddle's by converters that live in an environment of their own."""
