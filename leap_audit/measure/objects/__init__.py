"""Measurements of detectors: which objects they find, and what these detections depend on."""
