"""What a study has found, tried again on fresh seeds against the known memories."""
