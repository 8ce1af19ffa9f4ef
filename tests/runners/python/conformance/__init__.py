"""A small interpreter of conformance scripts over the public package."""
