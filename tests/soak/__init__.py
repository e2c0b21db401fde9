"""A soak of a running service: thousands of images of mixed sizes, and what they do to the memory of its replicas."""
