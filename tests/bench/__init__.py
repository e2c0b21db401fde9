"""The pipeline of a release against other ways to read the same images, in turn, each in a process of its own."""
