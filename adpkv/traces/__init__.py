"""Trace files as people publish them: one reader per format, noticed by the file's content."""
