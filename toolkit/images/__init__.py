"""Images for pipelines: read from requests, made ready for classifiers, varied for datasets."""
